"""The whole story of something in the ledger, as the console tells it."""

from __future__ import annotations

from karnak_core.errors import NotFound
from karnak_core.monitor import standing, story
from karnak_core.monitor.story import Story
from karnak_core.spool import standing as ledger
from karnak_plugins.web_console.console import Console


def story_of(console: Console, uid: str) -> Story:
    """Return what happened to an instance, a series or a study, and what happens next; raises NotFound."""
    found = None
    if uid.isprintable():
        with console.database.read() as connection:
            # on a shared ledger others may do it
            running = standing.runs(console.data_directory) or bool(ledger.live_processes(connection))
            found = story.tell(connection, console.configuration, uid.strip(), running=running)
    if found is None:
        days = console.configuration.storage.retention_days
        raise NotFound(
            f"nothing is known about this UID: it was not received here, or was forgotten after {days} days "
            "(storage.retention_days)"
        )
    return found
