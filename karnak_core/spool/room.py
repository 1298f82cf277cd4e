"""How much room must be left, and how the ledger gives back what it does not need.

Without room the ledger cannot note that something was sent, so nothing would ever be removed: new instances never use
the last of it.
"""

from __future__ import annotations

from karnak_core.database import Database
from karnak_core.spool.files import SpoolFolder

#: bytes that are the ledger's, whatever the configuration says
LEDGER_BYTES = 16 << 20
#: bytes that the ledger may hold unused, for what comes next, while there is room
SPARE_BYTES = 64 << 20


def needed(reserve: int) -> int:
    """Return how many bytes must be free for an instance to be accepted."""
    return max(reserve, LEDGER_BYTES)


def give_back(database: Database, folder: SpoolFolder, reserve: int) -> int:
    """Let the ledger give back what it holds unused and the file system lacks; return how many bytes."""
    # half as much again, so that receiving does not stop and go at the limit
    short = needed(reserve) * 3 // 2 - folder.free_bytes()
    return database.give_back(short) if short > 0 else 0


def give_back_spare(database: Database) -> int:
    """Let the ledger give back what it has not needed for long; return how many bytes."""
    spare = database.unused_bytes() - SPARE_BYTES
    return database.give_back(spare) if spare > 0 else 0
