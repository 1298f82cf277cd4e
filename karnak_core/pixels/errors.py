"""Why pixels stay as they are: errors that are permanent, each with a reason without any patient's data.

The sender of an instance decides what follows: it goes out in its original transfer syntax where nothing had to be
done to its pixels and the peer takes that, else it is kept as failed.
"""

from __future__ import annotations

from karnak_core.errors import Permanent


class CannotTranscode(Permanent):
    """A codec refuses the pixels, or what it made of them does not decode to the same."""


class CannotDecode(CannotTranscode):
    """The pixels cannot be read: cut off, corrupt, contradicting their description, or in an unsupported syntax."""
