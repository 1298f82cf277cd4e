"""Lists of nodes as CSV files: what a row says, and which problem each row has."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from karnak_core.tools.nodes import (
    WORKLIST,
    WORKSTATION,
    DicomNode,
    Service,
    WebEndpoint,
    distinct,
    endpoint_problems,
    node_problems,
)

#: bytes and rows of a file, at most
MOST_BYTES: Final = 1 << 20
MOST_ROWS: Final = 5000
NODE_HEADER: Final = ("description", "aetitle", "hostname", "port", "nodeType", "nodeGroup")
WEB_HEADER: Final = ("description", "url", "services", "group")
#: a first cell that makes a row a header
_HEADERS: Final = frozenset({"description", "name"})

T = TypeVar("T", DicomNode, WebEndpoint)


@dataclass(frozen=True, kw_only=True)
class Parsed(Generic[T]):
    """What a file has."""

    #: what can be imported
    entries: tuple[T, ...]
    #: ``row N: …``, one for each problem; the row is left out unless it is called a note
    problems: tuple[str, ...]


def parse_nodes(text: str, *, group: str | None = None, force_group: bool = False) -> Parsed[DicomNode]:
    """Read DICOM nodes: ``description,aetitle,hostname,port[,nodeType[,nodeGroup]]``.

    A fifth cell is the type where there is a sixth, the group; alone it is the group, as older files have it, unless
    it is WORKLIST, WORKSTATION or empty. A worklist is in no group.

    Parameters
    ----------
    group
        Of rows that name none.
    force_group
        True: of all rows, whatever they name.
    """
    entries: list[DicomNode] = []
    problems: list[str] = []
    for row, cells in _rows(text, problems):
        if len(cells) < 4:
            problems.append(f"row {row}: {len(cells)} columns are not the 4 of description,aetitle,hostname,port")
            continue
        node_type, own_group = _type_and_group(cells)
        found = [] if cells[3].isascii() and cells[3].isdigit() else [f"port {cells[3][:20]!r} is not 1 to 65535"]
        node = DicomNode(
            description=cells[0],
            ae_title=cells[1],
            hostname=cells[2],
            # 1: what is wrong with it has been said
            port=int(cells[3][:9]) if not found else 1,
            node_type=node_type,
            group=None if node_type == WORKLIST else group if force_group else own_group or group,
        )
        found = [*(rule for _, rule in node_problems(node)), *found]
        problems += [f"row {row}: {rule}" for rule in found]
        if not found:
            entries.append(node)
    return Parsed(entries=tuple(distinct(entries)), problems=tuple(problems))


def parse_endpoints(text: str, *, group: str | None = None, force_group: bool = False) -> Parsed[WebEndpoint]:
    """Read DICOMweb endpoints: ``description,url[,services[,group]]``; the same address counts once.

    Services are separated by ``;`` or ``,``; one that is not known is left out with a note, and the row is kept.
    Parameters as of :func:`parse_nodes`.
    """
    entries: dict[str, WebEndpoint] = {}
    problems: list[str] = []
    for row, cells in _rows(text, problems):
        if len(cells) < 2:
            problems.append(f"row {row}: 1 column is not the 2 of description,url")
            continue
        services, unknown = parse_services(cells[2] if len(cells) > 2 else "")
        own_group = cells[3] if len(cells) > 3 else ""
        endpoint = WebEndpoint(
            description=cells[0],
            url=cells[1],
            services=services,
            group=group if force_group else own_group or group,
        )
        known = ", ".join(service.label for service in Service)
        problems += [f"row {row}: note: service {name[:32]!r} is not known; known: {known}" for name in unknown]
        found = [rule for _, rule in endpoint_problems(endpoint)]
        problems += [f"row {row}: {rule}" for rule in found]
        if not found:
            entries.setdefault(endpoint.url, endpoint)
    return Parsed(entries=tuple(entries.values()), problems=tuple(problems))


def parse_services(text: str) -> tuple[tuple[Service, ...], list[str]]:
    """Return the services that a text names, in their order and each once, and the names that are none."""
    names = [name.strip().upper().replace("-", "_") for name in text.replace(",", ";").split(";") if name.strip()]
    known = tuple(service for service in Service if service.value in names)
    return known, [name for name in names if name not in {service.value for service in Service}]


def export_nodes(nodes: Iterable[DicomNode]) -> str:
    """Return the file of these nodes; every cell is quoted."""
    return _written(
        NODE_HEADER,
        (
            (node.description, node.ae_title, node.hostname, str(node.port), node.node_type, node.group or "")
            for node in nodes
        ),
    )


def export_endpoints(endpoints: Iterable[WebEndpoint]) -> str:
    """Return the file of these endpoints; every cell is quoted."""
    return _written(
        WEB_HEADER,
        (
            (endpoint.description, endpoint.url, ";".join(endpoint.services), endpoint.group or "")
            for endpoint in endpoints
        ),
    )


def decoded(content: bytes) -> str:
    """Return the text of a file.

    Raises
    ------
    ValueError
        It is too large, or not UTF-8.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"the file is larger than {MOST_BYTES >> 10} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("the file is not UTF-8") from error


def _type_and_group(cells: Sequence[str]) -> tuple[str, str]:
    fifth = cells[4] if len(cells) > 4 else ""
    if fifth.upper() == WORKLIST:
        return WORKLIST, ""
    if len(cells) > 5:
        return fifth or WORKSTATION, cells[5]
    return WORKSTATION, "" if fifth.upper() == WORKSTATION else fifth


def _rows(text: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that count, by their number from 1 on, the ones left out included."""
    reader = csv.reader(io.StringIO(text, newline=""))
    row = 0
    while True:
        row += 1
        try:
            cells = [_unescaped(cell.strip()) for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(f"row {row}: is not CSV: {error}")
            return
        if row > MOST_ROWS:
            problems.append(f"row {row}: the file has more than {MOST_ROWS} rows")
            return
        if not any(cells) or cells[0].startswith("#") or cells[0].lower() in _HEADERS:
            continue
        yield row, cells


def _written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_escaped(cell) for cell in row] for row in rows)
    return file.getvalue()


def _escaped(cell: str) -> str:
    # a spreadsheet would take it for a formula
    return f"'{cell}" if cell[:1] in _FORMULA else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA and len(cell) > 1 else cell


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
