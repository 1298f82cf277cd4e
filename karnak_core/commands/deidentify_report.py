"""What ``karnak deidentify`` tells: problems at once, differences where they are asked for, a summary at the end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

import click

from karnak_core.commands.common import WRONG, fail
from karnak_core.commands.people import console
from karnak_core.tryout import Ending, Heading, Tally, Tried, as_line, as_page, show_rows, show_tally, written
from karnak_core.tryout.diff import plain
from karnak_core.tryout.page import MOST_FILES


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is to be told, and where."""

    diff: bool
    #: true: each file's differences; false: all of them counted
    verbose: bool
    html: Path | None
    lines: Path | None
    show_values: bool
    as_json: bool
    dry_run: bool
    overwrite: bool

    @property
    def wants_changes(self) -> bool:
        """Tell whether changes have to be listed."""
        return self.diff or self.html is not None or self.lines is not None

    def check(self, source: Path) -> None:
        """End with exit status 2 where a file must not be written."""
        files = [path for path in (self.html, self.lines) if path is not None]
        for path in files:
            if path.exists() and (path.samefile(source) or not self.overwrite):
                fail(f"{path}: a file of this name exists; --overwrite replaces it, unless it is IN", WRONG)
        if len({path.resolve() for path in files}) < len(files):
            fail("--diff-html and --diff-json are the same file", WRONG)


@dataclass(kw_only=True)
class Report:
    """Takes what became of each file."""

    options: ReportOptions
    profile: str
    project: str
    #: where lines of JSON go
    lines: IO[bytes] | None = None
    tally: Tally = field(default_factory=Tally)
    endings: Counter[Ending] = field(default_factory=Counter)
    excluded_by: Counter[str] = field(default_factory=Counter)
    #: the first ones, for the page
    first: list[Tried] = field(default_factory=list)
    outputs: set[Path] = field(default_factory=set)

    @classmethod
    @contextmanager
    def opened(cls, options: ReportOptions, profile: str, project: str) -> Iterator[Self]:
        """Give a report; its files are there when everything went well."""
        with ExitStack() as stack:
            lines = None
            if options.lines is not None:
                lines = stack.enter_context(
                    written(options.lines, overwrite=options.overwrite, private=options.show_values)
                )
            report = cls(options=options, profile=profile, project=project, lines=lines)
            yield report
            if options.html is not None:
                page = stack.enter_context(
                    written(options.html, overwrite=options.overwrite, private=options.show_values)
                )
                page.write(report.page().encode("utf-8", "replace"))

    @property
    def failed(self) -> int:
        """Files that failed, folders that cannot be read among them."""
        return self.endings[Ending.FAILED]

    @property
    def skipped(self) -> int:
        """Files that are nothing to be de-identified."""
        return self.endings[Ending.SKIPPED]

    def unreadable_folder(self, error: OSError) -> None:
        """Tell of a folder whose files nobody can see."""
        self.endings[Ending.FAILED] += 1
        click.echo(f"{_name(error.filename)}: the folder cannot be read: {error.strerror}", err=True)

    def tell(self, tried: Tried) -> None:
        """Tell of one file."""
        options = self.options
        self.endings[tried.ending] += 1
        number = self.endings.total()
        if tried.ending is Ending.EXCLUDED:
            self.excluded_by[tried.excluded_by] += 1
        if options.wants_changes and tried.done and tried.ending is not Ending.AGAIN:
            self.tally.add(tried.rows)
        if options.html is not None and len(self.first) < MOST_FILES and tried.ending is not Ending.SKIPPED:
            self.first.append(tried)
        if self.lines is not None:
            line = as_line(tried, number, masked=not options.show_values, with_changes=True)
            self.lines.write(f"{line}\n".encode("utf-8", "replace"))
        if not tried.done:
            click.echo(f"{_name(tried.path)}: {_ending(tried)}", err=True)
        elif tried.output is not None:
            if tried.output in self.outputs and tried.ending is not Ending.AGAIN:
                click.echo(f"{_name(tried.path)}: has replaced another file of the same UID", err=True)
            self.outputs.add(tried.output)
        if options.as_json:
            click.echo(as_line(tried, number, masked=False, with_changes=options.diff))
        elif options.diff and options.verbose and tried.done:
            self._show(tried)

    def end(self) -> None:
        """Tell of all files together."""
        options = self.options
        if options.diff and not options.verbose and not options.as_json and self.tally.files:
            show_tally(console(), self.tally)
            click.echo()
        # standard output is for programs then
        click.echo(self.summary(), err=options.as_json)

    def summary(self) -> str:
        """Return the counts in words."""
        done = self.endings[Ending.WRITTEN] + self.endings[Ending.TRIED]
        excluded = f"{self.endings[Ending.EXCLUDED]} excluded"
        if self.excluded_by:
            by = ", ".join(f"{count} by {plain(name)!r}" for name, count in sorted(self.excluded_by.items()))
            excluded += f" ({by})"
        written_ = f"{done} {'would be written' if self.options.dry_run else 'written'}"
        again = self.endings[Ending.AGAIN]
        if again:
            written_ += f", {again} again"
        return f"{written_}, {excluded}, {self.failed} failed, {self.skipped} skipped"

    def page(self) -> str:
        """Return everything as a page."""
        heading = Heading(
            profile=self.profile,
            project=self.project,
            summary=self.summary(),
            moment=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            show_values=self.options.show_values,
            dry_run=self.options.dry_run,
        )
        return as_page(heading, self.first, self.tally, self.endings.total() - self.skipped)

    def _show(self, tried: Tried) -> None:
        out = console()
        where = f" -> {_name(tried.output)}" if tried.output is not None else ""
        out.print(f"{_name(tried.path)}{where}", markup=False)
        if tried.cleaned:
            out.print(f"  pixels: {', '.join(tried.cleaned)}", markup=False)
        for picture in tried.pictures:
            out.print(f"  picture: {picture}", markup=False)
        show_rows(out, tried.rows)
        out.print()


def _ending(tried: Tried) -> str:
    if tried.ending is Ending.EXCLUDED:
        return f"excluded by {plain(tried.excluded_by)!r}"
    return f"{tried.ending}: {plain(tried.reason)}"


def _name(path: Path | str) -> str:
    return plain(os.fsencode(path).decode("utf-8", "replace"))
