"""A profile is tried out on one file: what would change is told, and nothing is kept."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from karnak_core.config.profiles import named
from karnak_core.deidentify import Fetch, Profile
from karnak_core.deidentify import Project as EngineProject
from karnak_core.deliver.contexts import Contexts
from karnak_core.errors import NotFound
from karnak_core.lookups import Lookups
from karnak_core.projects import ProjectSecrets
from karnak_core.tryout import Output, Settings, Tried, try_file
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused

#: files at once; others wait
AT_ONCE = 2
#: seconds that one waits for its turn
PATIENCE = 20.0
#: seconds after which nobody works with a folder any more
STALE = 3600.0
#: codename of elements that ask a web service
_ASKS = "action.replace.api"
_turns = threading.BoundedSemaphore(AT_ONCE)


def try_out(
    console: Console,
    user: Identity,
    file: IO[bytes],
    *,
    profile: str,
    project: str = "",
    morph: bool = False,
    show_values: bool = False,
) -> Tried:
    """De-identify a file as a destination would, and return what that changed.

    Parameters
    ----------
    profile
        Its name; empty: that of the project.
    project
        Its name and secret are used, which is written down: it tells what becomes of any Patient ID and UID, and so
        who somebody was. Empty: a random secret, which is forgotten.
    show_values
        True: values of the file are among what is returned; else they are masked.

    Raises
    ------
    NotFound
        There is no such profile or project.
    Misconfigured
        The project's secret cannot be read.
    Refused
        429: too many others do this at the moment. 403: the project's secret, or what web services answer, is not for
        the user.
    """
    if project and not user.scopes & {Scope.IDENTITIES, Scope.SECRETS}:
        raise Refused(403, "the secret of a project needs the scope identities or secrets; leave out the project")
    used, engine_project = _used(console, profile, project)
    if _ASKS in used.codenames:
        # with credentials of the gateway, and the answer is shown: it may tell who somebody is
        if not user.scopes & {Scope.IDENTITIES, Scope.SECRETS}:
            raise Refused(403, f"profile {used.name} asks web services, which needs the scope identities or secrets")
        audit(console, user, "ask", f"web services of profile {used.name}", "try-out")
    if project:
        audit(console, user, "use", f"secret of project {project}", f"try-out of profile {used.name}")
    if not _turns.acquire(timeout=PATIENCE):
        raise Refused(429, "others are trying out profiles at the moment; try again in a minute")
    try:
        _remove_old(console.data_directory)
        # beside the data, as that is where a patient's data may be
        with (
            TemporaryDirectory(prefix="tryout-", dir=console.data_directory) as folder,
            _fetching(console, used) as fetch,
        ):
            path = Path(folder) / "received.dcm"
            with path.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            settings = Settings(
                profile=used,
                project=engine_project,
                morph=morph,
                at=datetime.now(UTC),
                changes=True,
                show_values=show_values,
                fetch=fetch,
            )
            return try_file(path, settings, Output(workspace=Path(folder)))
    finally:
        _turns.release()


def _used(console: Console, profile: str, project: str) -> tuple[Profile, EngineProject]:
    configuration = console.configuration
    configured = next((one for one in configuration.projects if one.name == project), None)
    if project and configured is None:
        raise NotFound(f"there is no project {project!r}")
    name = profile or (configured.profile if configured else "")
    try:
        used = named(configuration.profiles, name)
    except KeyError:
        raise NotFound(f"there is no profile {name!r}") from None
    if configured is None:
        return used, EngineProject(name="", secret=secrets.token_bytes(16))
    contexts = Contexts(console.plugins, console.vault, console.data_directory)
    secret = ProjectSecrets(console.database, console.vault).secret(configured, contexts.reveal)
    return used, EngineProject(name=configured.name, secret=secret)


def _remove_old(folder: Path) -> None:
    """Remove what a process that was killed has left."""
    for left in folder.glob("tryout-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left)


@contextmanager
def _fetching(console: Console, profile: Profile) -> Iterator[Fetch | None]:
    """Give what sends the requests of a profile; None: it has none."""
    if _ASKS not in profile.codenames:
        yield None
        return
    contexts = Contexts(console.plugins, console.vault, console.data_directory)
    lookups = Lookups(contexts.of(console.configuration, "", "").authenticators)
    try:
        yield lookups.fetch
    finally:
        lookups.close()
        contexts.close_all_but(None)


def told(tried: Tried) -> dict[str, Any]:
    """Return what a page says of it: the ending in words, and the reason."""
    words = {
        "tried": "This is what would change.",
        "excluded": "The profile keeps this instance back.",
        "failed": "It cannot be de-identified.",
        "skipped": "This is nothing to be de-identified.",
    }
    return {"ending": str(tried.ending), "words": words.get(str(tried.ending), ""), "reason": tried.reason}
