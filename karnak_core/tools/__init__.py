"""Questions about other nodes: do they answer, what do they take, what is on their worklist. No part of the data path.

Each question is a function that returns what was seen, also where it is that nobody answers; it is bounded in time
and size, and works in the thread that asks. `nodes` says who can be asked, `node_csv` and `node_lists` keep lists of
them; `echo`, `network`, `capabilities`, `worklist`, `dicomweb` ask one, and `monitoring` asks many at once.
"""

from __future__ import annotations
