"""The leak check: does a new data set still say who the patient is?

A second look at what de-identification made, by its own reader and its own rules: nothing here is shared with
`karnak_core.deidentify`. The received and the new data set go in, both encoded; places come out, never values.
"""

from __future__ import annotations

from karnak_core.leaks.beside import Beside, beside_pixels
from karnak_core.leaks.check import find_leaks
from karnak_core.leaks.encoded import Encoded, Leak

__all__ = ["Beside", "Encoded", "Leak", "beside_pixels", "find_leaks"]
