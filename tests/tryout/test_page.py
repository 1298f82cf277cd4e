"""The page for browsers: complete, harmless, and silent about patients unless it says that it is not."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from karnak_core.tryout import Ending, Heading, Row, Tally, Tried, Value, What, as_page
from karnak_core.tryout.page import MOST_FILES

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7 * 7 }}\x1b[1m\u202e"


class Seen(HTMLParser):
    """Collects elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def heading(*, show_values: bool = False, dry_run: bool = False, profile: str = "Research A") -> Heading:
    return Heading(
        profile=profile,
        project="STUDY-A",
        summary="1 written, 0 excluded, 0 failed, 0 skipped",
        moment="2026-01-02 03:04 UTC",
        show_values=show_values,
        dry_run=dry_run,
    )


def tried(*rows: Row, path: str = "Doe^Jane.dcm", ending: Ending = Ending.WRITTEN, reason: str = "") -> Tried:
    return Tried(
        path=Path(path), ending=ending, reason=reason, modality="CT", sop_instance_uid="2.25.7", rows=tuple(rows)
    )


def row(before: str | None = "old", after: str | None = "new", element: str = "e", path: str = "(0008,1030)") -> Row:
    kinds = {(True, False): What.ADDED, (False, True): What.REMOVED, (False, False): What.CHANGED}
    return Row(
        what=kinds[before is None, after is None],
        path=path,
        name="Study Description",
        vr="LO",
        before=None if before is None else Value(text=None, characters=len(before)),
        after=None if after is None else Value(text=after, characters=len(after)),
        element=element,
        codename="expression.on.tags" if element else "",
    )


def page_of(*files: Tried, count: int | None = None, **options: object) -> str:
    tally = Tally()
    for one in files:
        if one.done:
            tally.add(one.rows)
    return as_page(heading(**options), files, tally, len(files) if count is None else count)  # type: ignore[arg-type]


def test_page_shows_every_change_with_who_decided() -> None:
    seen = Seen(page_of(tried(row(), row(after=None, path="(0008,103E)"), row(before=None, element=""))))
    for text in ("Changed (1)", "Removed (1)", "Added (1)", "(0008,103E)", "••• 3", "Karnak itself", "STUDY-A"):
        assert text in seen.text
    assert "expression.on.tags" in seen.text


@pytest.mark.parametrize("show_values", [True, False])
def test_hostile_values_are_text_wherever_they_stand(show_values: bool) -> None:
    hostile = tried(row(after=HOSTILE, element=HOSTILE), path=HOSTILE.replace("/", ""), reason=HOSTILE)
    failed = tried(ending=Ending.FAILED, reason=HOSTILE)
    page = page_of(hostile, failed, hostile, show_values=show_values, profile=HOSTILE)
    seen = Seen(page)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert [name for name, _ in seen.attributes if name.startswith("on")] == []
    assert HOSTILE[:40] in seen.text
    assert "{{ 7 * 7 }}" in seen.text
    assert not {"\x1b", "\u202e"} & set(page)


def test_page_needs_nothing_else_and_may_load_nothing() -> None:
    seen = Seen(page_of(tried(row())))
    assert {"link", "img", "iframe", "object", "script"} & set(seen.tags) == set()
    assert [value for name, value in seen.attributes if name in ("src", "href")] == []
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes


def test_names_of_files_are_left_out_where_values_are_masked() -> None:
    assert "Doe" not in page_of(tried(row()))
    assert "File 1" in page_of(tried(row()))
    assert "Doe^Jane.dcm" in page_of(tried(row()), show_values=True)


def test_uid_that_is_still_the_old_one_is_left_out_where_values_are_masked() -> None:
    kept = tried(row())
    assert "2.25.7" not in page_of(kept)
    assert "2.25.7" in page_of(kept, show_values=True)
    assert "2.25.7" in page_of(replace(kept, has_new_uids=True))


def test_page_with_values_says_so() -> None:
    assert "handle it as you handle the originals" in page_of(tried(row()), show_values=True)
    assert "handle it as you handle the originals" not in page_of(tried(row()))


def test_page_of_a_dry_run_says_so() -> None:
    assert "What de-identification would do" in page_of(tried(row()), dry_run=True)
    assert "What de-identification did" in page_of(tried(row()))


def test_many_files_are_counted_and_the_first_shown_one_by_one() -> None:
    files = [tried(row(), path=f"{number}.dcm") for number in range(MOST_FILES + 5)]
    seen = Seen(page_of(*files))
    assert seen.tags.count("details") == MOST_FILES
    assert "All files" in seen.text
    assert f"{MOST_FILES + 5}" in seen.text
    assert "5 more files are counted above" in seen.text


def test_file_without_changes_and_one_that_failed_are_there_with_the_reason() -> None:
    seen = Seen(page_of(tried(), tried(ending=Ending.FAILED, reason="leak check: (0008,1030)")))
    assert "nothing is changed" in seen.text
    assert "failed: leak check: (0008,1030)" in seen.text
