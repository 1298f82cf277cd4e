"""Studies as a tree in the terminal: destination, study, series, reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from karnak_core.commands.people import STYLES, console, moment
from karnak_core.spool.aggregates import Counts, Series, Study
from karnak_core.spool.views import iso

#: counts that are told where they are not zero, and in which colour
TOLD = (
    ("sent", "green"),
    ("duplicate", "green"),
    ("failed", "bold red"),
    ("excluded", "yellow"),
    ("waiting", "cyan"),
    ("discarded", "dim"),
)


def study_json(study: Study) -> dict[str, Any]:
    """Return what ``--json`` prints of a study; times are ISO 8601 in UTC."""
    found = asdict(study)
    for counts in (found["counts"], *(one["counts"] for one in found["series"])):
        for name in ("first_at", "last_at"):
            counts[name] = iso(counts[name])
    return found


def print_studies(studies: Sequence[Study]) -> None:
    """Print a tree for each destination."""
    out = console()
    trees: dict[tuple[str, str], Tree] = {}
    for study in studies:
        key = (study.forward_node, study.destination)
        tree = trees.setdefault(key, Tree(f"[bold]{escape(key[0])} → {escape(key[1])}[/]", guide_style="dim"))
        _add(tree, study)
    for tree in trees.values():
        out.print(tree)
    if not trees:
        out.print("no study")


def _add(tree: Tree, study: Study) -> None:
    counts = study.counts
    branch = tree.add(f"{badge(counts)} study {escape(study.study_instance_uid)}  {numbers(counts)}")
    said = _facts(study.facts, "PatientID", "AccessionNumber", "StudyDate", "StudyDescription")
    branch.label = f"{branch.label}\n{said}" if said else branch.label
    if study.sent_study_instance_uid and study.sent_study_instance_uid != study.study_instance_uid:
        sent = _facts(study.sent_facts, "PatientID", "AccessionNumber", "StudyDate", "StudyDescription")
        branch.label = f"{branch.label}\n[dim]sent as {escape(study.sent_study_instance_uid)}  {sent}[/]"
    times = f"{moment(counts.first_at)} to {moment(counts.last_at)}"
    branch.label = f"{branch.label}\n[dim]{times}[/]"
    for series in study.series:
        _add_series(branch, series)


def _add_series(branch: Tree, series: Series) -> None:
    said = _facts(series.facts, "Modality", "SeriesNumber", "SeriesDescription")
    leaf = branch.add(
        f"{badge(series.counts)} series {escape(series.series_instance_uid)}  {said}  {numbers(series.counts)}"
    )
    for one in series.reasons:
        style = STYLES.get(one.state.value, "")
        leaf.add(f"{one.count}x [{style}]{one.state.value}[/]: {escape(one.text)}")


def badge(counts: Counts) -> str:
    """Return in one word whether somebody has to look at it."""
    if counts.failed:
        return f"[bold white on red] {counts.failed} failed [/]"
    if counts.waiting:
        return f"[black on cyan] {counts.waiting} waiting [/]"
    if counts.excluded:
        return f"[black on yellow] {counts.excluded} excluded [/]"
    return "[black on green] OK [/]"


def numbers(counts: Counts) -> str:
    """Return what became of how many."""
    told = [f"[{style}]{getattr(counts, name)} {name}[/]" for name, style in TOLD if getattr(counts, name)]
    again = f", {counts.retries} {'retry' if counts.retries == 1 else 'retries'}" if counts.retries else ""
    return f"{counts.instances} instance{'' if counts.instances == 1 else 's'}: {', '.join(told)}{again}"


def _facts(facts: Mapping[str, str], *keywords: str) -> str:
    return " · ".join(escape(facts[keyword]) for keyword in keywords if facts.get(keyword))
