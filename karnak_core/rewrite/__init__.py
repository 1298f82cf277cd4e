"""An instance's file becomes another one: taken apart, changed, and put together; pixel data is not held in memory."""

from __future__ import annotations

from karnak_core.rewrite.apart import Apart, taken_apart
from karnak_core.rewrite.made import MadeFile
from karnak_core.rewrite.pieces import Pieces, Stretch
from karnak_core.rewrite.together import Together, put_together

__all__ = ["Apart", "MadeFile", "Pieces", "Stretch", "Together", "put_together", "taken_apart"]
