"""Read pseudonyms from a CSV file: everything that is wrong with it is told, by row; no value of it ever is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from karnak_core.pseudonyms.entries import REQUIRED, TEXTS, Entry, PseudonymError, problems_of

#: bytes of a file, at most
MAX_BYTES: Final = 64 << 20
#: what columns are taken for where no line names them and nobody says, in the order of the Java Karnak
BY_POSITION: Final = ("pseudonym", "patient_id", "first_name", "last_name", "issuer")
#: names of columns, without blanks and punctuation and in lower case
NAMES: Final[Mapping[str, str]] = {
    "pseudonym": "pseudonym",
    "externalpseudonym": "pseudonym",
    "patientid": "patient_id",
    "issuer": "issuer",
    "issuerofpatientid": "issuer",
    "firstname": "first_name",
    "givenname": "first_name",
    "lastname": "last_name",
    "familyname": "last_name",
    "surname": "last_name",
}


#: how to write a separator on the command line where quotes around it are not enough
SIGNS: Final[Mapping[str, str]] = {"\t": "'\\t'"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file is to be read."""

    #: one character
    separator: str = ","
    encoding: str = "utf-8-sig"
    #: the first line of data, counted from 1; None: 2 where the first line names columns, else 1
    from_line: int | None = None
    #: what of an entry -> the column's number, counted from 1, or its name in the line before the data
    columns: Mapping[str, str] = field(default_factory=dict)
    #: for every entry: ms since 1970; None: never
    expires_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a file has."""

    #: what of an entry -> index of the column, counted from 0
    columns: Mapping[str, int]
    #: entries with the number of the line they are on
    rows: Sequence[tuple[int, Entry]]


def read(content: bytes, layout: Layout) -> Sheet:
    """Read a file.

    Raises
    ------
    PseudonymError
        It cannot be read, or a row is too short or too long: every problem, by row. What the values are is looked at
        when they are stored.
    """
    if len(layout.separator) != 1 or layout.separator in '"\r\n':
        raise PseudonymError(["the separator is not one character, other than a quotation mark and a line end"])
    if len(content) > MAX_BYTES:
        raise PseudonymError([f"the file is larger than {MAX_BYTES >> 20} MiB"])
    broken: list[tuple[int, str]] = []
    lines = list(_lines(_text(content, layout.encoding), layout.separator, broken))
    if not lines:
        raise PseudonymError([_row(*one) for one in broken] or ["the file is empty"])
    header, named = _header(lines, layout.from_line)
    first = layout.from_line or lines[0][0] + bool(named or _by_name(layout))
    data = [(number, cells) for number, cells in lines if number >= first]
    if not data:
        raise PseudonymError([_row(*one) for one in broken] or [f"there is no row from line {first} on"])
    try:
        columns = _columns(layout, header, named, len(data[0][1]))
    except PseudonymError as error:
        problems_there = [*error.problems, *_other_separator(lines[0][1], layout.separator)]
        raise PseudonymError([*problems_there, *(_row(*one) for one in broken)]) from None
    width = max(len(header) if named else 0, len(data[0][1]))
    problems = broken
    rows: list[tuple[int, Entry]] = []
    for number, cells in data:
        if len(cells) > width:
            problems.append((number, f"has {len(cells)} columns, and the first one {width}"))
        elif lacking := [name for name, index in columns.items() if index >= len(cells)]:
            wanted = ", ".join(f"the {TEXTS[name]} is column {columns[name] + 1}" for name in lacking)
            problems.append((number, f"has {len(cells)} columns; {wanted}"))
        else:
            texts = {name: cells[index] for name, index in columns.items()}
            rows.append((number, Entry(**texts, expires_at=layout.expires_at)))
    if problems:
        # what is wrong with values, too, so that one look at the file is enough
        problems += problems_of(rows, lambda number: f"row {number}")
        raise PseudonymError([_row(*one) for one in sorted(problems)])
    return Sheet(columns=columns, rows=rows)


def guessed(first: Sequence[str]) -> tuple[dict[str, int], bool]:
    """Return what the columns of a file are by its first line, and whether that line names them.

    What of an entry -> index of the column, counted from 0; by position where the line names none.
    """
    named = {NAMES[_plain(cell)]: index for index, cell in enumerate(first) if _plain(cell) in NAMES}
    return named or {name: index for index, name in enumerate(BY_POSITION[: len(first)])}, bool(named)


def _text(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except LookupError:
        problem = f"{encoding!r} is no known encoding"
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, at) + 1
        problem = f"row {line}: is not {encoding.removesuffix('-sig').upper()} text; say which encoding it is in"
    raise PseudonymError([problem])


def _row(number: int, problem: str) -> str:
    return f"row {number}: {problem}"


def _other_separator(first: Sequence[str], separator: str) -> list[str]:
    """Return a hint where a line that is one column has another separator in it."""
    if len(first) > 1:
        return []
    found = [sign for sign in ";\t,|" if sign != separator and sign in first[0]]
    return (
        [f"its columns seem to be separated otherwise; try --separator {SIGNS.get(found[0], repr(found[0]))}"]
        if found
        else []
    )


def _lines(text: str, separator: str, broken: list[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not blank, with the number of the line that each begins on.

    Where a row is no CSV, the rows end, and that is added to ``broken``.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        unclosed = "unexpected end of data" in str(error)
        broken.append((number, "a quotation mark is not closed" if unclosed else f"is no CSV: {error}"))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _header(lines: Sequence[tuple[int, list[str]]], from_line: int | None) -> tuple[Sequence[str], Mapping[str, int]]:
    """Return the line that names columns, the last one before the data, and which ones; the first line if none does."""
    before = lines[:1] if from_line is None else [line for line in lines if line[0] < from_line]
    for number, cells in reversed(before):
        if named := _named(number, cells):
            return cells, named
    return lines[0][1], {}


def _named(line: int, cells: Sequence[str]) -> dict[str, int]:
    """Return the columns that a line names; none where it names none."""
    found: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = NAMES.get(_plain(cell))
        if name in found:
            raise PseudonymError(
                [f"row {line}: columns {found[name] + 1} and {index + 1} are both named as the {TEXTS[name]}"]
            )
        if name is not None:
            found[name] = index
    return found


def _by_name(layout: Layout) -> bool:
    return any(not column.isdigit() for column in layout.columns.values())


def _columns(layout: Layout, first: Sequence[str], named: Mapping[str, int], width: int) -> dict[str, int]:
    """Return where each text of an entry is: where somebody says, else by names, else by position."""
    problems: list[str] = []
    columns = dict(named)
    if not named and not layout.columns:
        columns = {name: index for index, name in enumerate(BY_POSITION[:width])}
    for name, column in layout.columns.items():
        index = int(column) - 1 if column.isdigit() else _index_of(column, first)
        if index is None or index < 0:
            problems.append(
                f"no column {column!r} for the {TEXTS[name]}; write its number, or its name in the line before the data"
            )
            continue
        columns = {other: there for other, there in columns.items() if there != index or other in layout.columns}
        columns[name] = index
    for name in REQUIRED:
        if name not in columns and name not in layout.columns:
            problems.append(f"it is not known which column is the {TEXTS[name]}")
    indexes = list(columns.values())
    if len(set(indexes)) < len(indexes):
        problems.append("one column is to be two things")
    if problems:
        raise PseudonymError(problems)
    return columns


def _index_of(name: str, cells: Sequence[str]) -> int | None:
    return next((index for index, cell in enumerate(cells) if cell.strip() == name.strip()), None)
