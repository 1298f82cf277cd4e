"""``karnak deidentify``: de-identify files as a gateway would, and see what that does to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from karnak_core.commands.common import FAILED, WRONG, Place, data_options, fail
from karnak_core.commands.deidentify_report import Report, ReportOptions
from karnak_core.commands.deidentify_with import found_with
from karnak_core.deidentify import DeidentificationError, Project
from karnak_core.deidentify.patient import checked_pseudonym
from karnak_core.tryout import Output, Recipe, files_in, try_files, worthwhile_processes
from karnak_core.tryout.many import silence
from karnak_core.tryout.one import workspace_of

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("source", metavar="IN", type=click.Path(exists=True, path_type=Path))
@click.argument("target", metavar="[OUT]", required=False, type=click.Path(path_type=Path))
@click.option("--profile", metavar="FILE", help="A profile's file; 'basic', the built-in profile, if left out.")
@click.option("--project", metavar="NAME", help="Project; one of the gateway in --data gives its profile and secret.")
@click.option(
    "--secret",
    metavar="HEX",
    envvar="KARNAK_SECRET",
    help="The project's secret, 32 hex digits. Everybody on this machine can see it in the list of processes: "
    "better --secret-file, or the environment [env: KARNAK_SECRET].",
)
@click.option("--secret-file", metavar="FILE", type=_FILE, help="A file with the secret.")
@click.option("--pseudonym", metavar="P", help="Of every patient; derived from each Patient ID if left out.")
@click.option("--morph", is_flag=True, help="Tag morphing: the profile alone, the patient keeps who it is.")
@click.option("--diff", is_flag=True, help="Show what changed: of a file everything, of a folder counted.")
@click.option("--verbose", is_flag=True, help="With --diff: everything, of every file of a folder.")
@click.option("--diff-html", metavar="FILE", type=_FILE, help="Write what changed as a page for a browser.")
@click.option("--diff-json", metavar="FILE", type=_FILE, help="Write what changed as JSON, a line for each file.")
@click.option("--show-values", is_flag=True, help="Show values of the original in all of these; else masked.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each file.")
@click.option("--dry-run", is_flag=True, help="Write no instance.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist; never IN.")
@click.option("--no-leak-check", is_flag=True, help="Do not search what is written for the patient's identifiers.")
@click.option(
    "--preview",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write pictures (PNG) of cleaned pixels, before and after; they show the original.",
)
@click.option("--processes", type=click.IntRange(1, 256), help="As many as there are cores for a folder of many files.")
@data_options
def deidentify(
    place: Place,
    source: Path,
    target: Path | None,
    profile: str | None,
    project: str | None,
    secret: str | None,
    secret_file: Path | None,
    pseudonym: str | None,
    morph: bool,
    diff: bool,
    verbose: bool,
    diff_html: Path | None,
    diff_json: Path | None,
    show_values: bool,
    as_json: bool,
    dry_run: bool,
    overwrite: bool,
    no_leak_check: bool,
    preview: Path | None,
    processes: int | None,
) -> None:
    """De-identify IN, a file or a folder of files, to OUT, as a gateway would.

    In a folder, the new files are called by their new UIDs, never by their old names.
    """
    output = replace(_output(source, target, overwrite=overwrite, dry_run=dry_run), preview=preview)
    _check_pseudonym(pseudonym, morph=morph)
    options = ReportOptions(
        diff=diff,
        verbose=verbose or source.is_file(),
        html=diff_html,
        lines=diff_json,
        show_values=show_values,
        as_json=as_json,
        dry_run=dry_run,
        overwrite=overwrite,
    )
    options.check(source)
    used = found_with(place, profile, project, secret, secret_file)
    try:
        Project(name=used.project_name, secret=used.secret)
    except ValueError as error:
        fail(f"--project: {error}", WRONG)
    recipe = Recipe(
        profile_text=used.profile_text,
        disabled_plugins=used.disabled_plugins,
        project_name=used.project_name,
        secret=used.secret,
        pseudonym=pseudonym,
        morph=morph,
        leak_check=not no_leak_check,
        at=datetime.now(UTC),
        changes=options.wants_changes,
        show_values=show_values,
    )
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        silence()
        report = stack.enter_context(Report.opened(options, used.profile.name, used.project_name))
        fetch = stack.enter_context(used.fetching())
        files = [source] if source.is_file() else list(files_in(source, target, report.unreadable_folder))
        advance = stack.enter_context(_progress(len(files)))
        processes = processes or worthwhile_processes(len(files))
        for tried in try_files(files, recipe, output, processes=processes, fetch=fetch):
            report.tell(tried)
            advance()
    report.end()
    if report.failed or (source.is_file() and report.skipped):
        raise SystemExit(FAILED)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar where there is a terminal and more than one file; give what moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    off = total < 2 or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as progress:
        task = progress.add_task("de-identifying", total=total)
        yield lambda: progress.advance(task)


def _output(source: Path, target: Path | None, *, overwrite: bool, dry_run: bool) -> Output:
    if target is None:
        if not dry_run:
            fail("OUT is missing; without it there is only --dry-run", WRONG)
        return Output(workspace=workspace_of(None))
    inside = source.resolve()
    if target.exists() and target.resolve() in (inside, *(inside.parents if source.is_dir() else ())):
        fail(f"{target}: OUT must not be IN, nor hold it", WRONG)
    if source.is_dir() and target.exists() and not target.is_dir():
        fail(f"{target}: OUT has to be a folder, as IN is one", WRONG)
    if dry_run:
        return Output(workspace=workspace_of(None))
    workspace = workspace_of(target)
    if source.is_dir() or target.is_dir():
        return Output(workspace=workspace, folder=target, overwrite=overwrite)
    return Output(workspace=workspace, file=target, overwrite=overwrite)


def _check_pseudonym(pseudonym: str | None, *, morph: bool) -> None:
    if pseudonym is None:
        return
    if morph:
        fail("--pseudonym has no meaning with --morph: the patient keeps who it is", WRONG)
    try:
        checked_pseudonym(pseudonym)
    except DeidentificationError as error:
        fail(f"--pseudonym: {error.reason}", WRONG)
