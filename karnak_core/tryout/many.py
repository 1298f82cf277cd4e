"""Many files: in this process, or in several of them, and told of in their order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from karnak_core.deidentify import Fetch, Profile, Project, basic_profile
from karnak_core.errors import KarnakError
from karnak_core.plugins import load
from karnak_core.tryout.noting import Settings
from karnak_core.tryout.one import Output, Tried, try_file

#: files that a process gets at once
CHUNK: Final = 16
#: chunks for each process that wait for it, or for being told of
AHEAD: Final = 3
#: fewer files are done about as soon as other processes have started
WORTH_PROCESSES: Final = 1000


class ProcessDied(KarnakError):
    """One of the processes that worked on the files ended by itself."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What `Settings` are made of; goes to other processes."""

    #: None: the built-in profile
    profile_text: str | None
    disabled_plugins: frozenset[str] = frozenset()
    project_name: str
    #: 16 bytes
    secret: bytes = field(repr=False)
    pseudonym: str | None = None
    morph: bool = False
    leak_check: bool = True
    at: datetime
    changes: bool = False
    show_values: bool = False

    def profile(self) -> Profile:
        """Return the profile; it may have problems."""
        if self.profile_text is None:
            return basic_profile()
        return Profile.from_yaml(self.profile_text, load(self.disabled_plugins).profile_elements)

    def settings(self, fetch: Fetch | None = None) -> Settings:
        """Return the settings; raises ProfileError where the profile has problems."""
        return Settings(
            profile=self.profile().require(),
            project=Project(name=self.project_name, secret=self.secret),
            pseudonym=self.pseudonym,
            morph=self.morph,
            leak_check=self.leak_check,
            at=self.at,
            changes=self.changes,
            show_values=self.show_values,
            fetch=fetch,
        )


def worthwhile_processes(files: int) -> int:
    """Return in how many processes so many files are done soonest."""
    return (os.cpu_count() or 1) if files >= WORTH_PROCESSES else 1


def try_files(
    files: Sequence[Path], recipe: Recipe, output: Output, *, processes: int = 1, fetch: Fetch | None = None
) -> Iterator[Tried]:
    """De-identify files; yield what became of each, in their order.

    Parameters
    ----------
    processes
        1: everything is done in this one. See `worthwhile_processes`.
    fetch
        Sends the requests of ``action.replace.api``. It cannot be handed to other processes: then this one does it all.

    Raises
    ------
    ProcessDied
        Nothing is known of files that are not told of.
    """
    if processes == 1 or fetch is not None:
        settings = recipe.settings(fetch)
        yield from (try_file(path, settings, output) for path in files)
        return
    # not forked: threads of this process may hold locks just then
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(recipe, output))
    try:
        chunks = iter([files[start : start + CHUNK] for start in range(0, len(files), CHUNK)])
        waiting: deque[Future[list[Tried]]] = deque()
        for chunk in chunks:
            waiting.append(executor.submit(_try_chunk, chunk))
            if len(waiting) >= processes * AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ProcessDied("a process that worked on the files died; is there enough memory?") from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def silence() -> None:
    """Let pydicom warn nobody, in the whole of this process: its warnings quote values of data sets."""
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.ERROR)


#: of a process that was started here
_work: tuple[Settings, Output]


def _start(recipe: Recipe, output: Output) -> None:
    global _work
    # whoever presses Ctrl-C means the process that started this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence()
    _work = recipe.settings(), output


def _try_chunk(paths: Sequence[Path]) -> list[Tried]:
    return [try_file(path, *_work) for path in paths]
