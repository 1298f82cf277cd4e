"""Lists of nodes as CSV: the rows that older programs write are read, and what is wrong is said by row."""

from __future__ import annotations

import pytest

from karnak_core.tools.node_csv import (
    MOST_BYTES,
    MOST_ROWS,
    decoded,
    export_endpoints,
    export_nodes,
    parse_endpoints,
    parse_nodes,
)
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, DicomNode, Service, WebEndpoint

HEADER = "description,aetitle,hostname,port,nodeType,nodeGroup\n"


@pytest.mark.parametrize(
    ("row", "node_type", "group"),
    [
        ("Public,DICOMSERVER,dicomserver.co.uk,11112,PACS,SiteA", "PACS", "SiteA"),
        ("Public,DICOMSERVER,dicomserver.co.uk,11112,PACS_WEB", "WORKSTATION", "PACS_WEB"),
        ("Public,DICOMSERVER,dicomserver.co.uk,11112", "WORKSTATION", None),
        ("Public,DICOMSERVER,dicomserver.co.uk,11112,", "WORKSTATION", None),
        ("Public,DICOMSERVER,dicomserver.co.uk,11112,workstation", "WORKSTATION", None),
        ("Public,DICOMSERVER,dicomserver.co.uk,11112,,SiteA", "WORKSTATION", "SiteA"),
        ("WL,ADVT,dicomserver.co.uk,104,WORKLIST", "WORKLIST", None),
        ("WL,ADVT,dicomserver.co.uk,104,worklist,SiteA", "WORKLIST", None),
    ],
)
def test_type_and_group_are_where_older_files_have_them(row: str, node_type: str, group: str | None) -> None:
    parsed = parse_nodes(HEADER + row)
    assert parsed.problems == ()
    assert [(node.node_type, node.group) for node in parsed.entries] == [(node_type, group)]


def test_rows_without_a_group_get_the_default_and_all_of_them_a_forced_one() -> None:
    text = HEADER + "a,A,host,104,PACS,Own\nb,B,host,104\nw,W,host,104,WORKLIST\n"
    assert [node.group for node in parse_nodes(text, group="Default").entries] == ["Own", "Default", None]
    forced = parse_nodes(text, group="Forced", force_group=True)
    assert [node.group for node in forced.entries] == ["Forced", "Forced", None]


def test_blank_rows_comments_and_headers_are_left_out() -> None:
    text = "\n  \n# a comment,with,four,cells\nDESCRIPTION,x,y,z\nName,x,y,1\na,A,host,104\n"
    parsed = parse_nodes(text)
    assert (parsed.problems, [node.ae_title for node in parsed.entries]) == ((), ["A"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,A,host", "row 1: 3 columns are not the 4"),
        ("a,A,host,notaport", "row 1: port 'notaport' is not 1 to 65535"),
        ("a,A,host,0", "row 1: port 0 is not 1 to 65535"),
        ("a,A,host,65536", "row 1: port 65536 is not 1 to 65535"),
        ("a,A,host,٣", "row 1: port '٣' is not 1 to 65535"),
        ("a,,host,104", "row 1: AE title is missing"),
        ("a,SEVENTEEN_LETTERS,host,104", "row 1: AE title 'SEVENTEEN_LETTERS' is longer than 16 characters"),
        ("a,A\\B,host,104", "row 1: AE title 'A\\\\B' has characters"),
        ("a,Ä,host,104", "row 1: AE title 'Ä' has characters"),
        ("a,A,,104", "row 1: hostname is missing"),
        ("a,A,host/evil,104", "row 1: hostname 'host/evil' is not a DNS name"),
        ("a,A,host,104,PACS,gateway DESTINATIONS", f"row 1: group '{GATEWAY_DESTINATIONS}' is what the configuration"),
    ],
)
def test_row_that_is_wrong_is_left_out_and_said(row: str, words: str) -> None:
    parsed = parse_nodes(row)
    assert parsed.entries == ()
    assert len(parsed.problems) == 1
    assert parsed.problems[0].startswith(words)


def test_every_problem_of_a_row_is_said() -> None:
    parsed = parse_nodes("a,,,notaport")
    assert [problem.partition(": ")[2][:12] for problem in parsed.problems] == [
        "AE title is ",
        "hostname is ",
        "port 'notapo",
    ]


def test_same_address_counts_once_in_a_group() -> None:
    text = "a,A,host,104,PACS,One\nb,A,HOST,104,PACS,One\nc,A,host,104,PACS,Two\n"
    assert [node.description for node in parse_nodes(text).entries] == ["a", "c"]


def test_export_quotes_every_cell_and_is_read_back_as_it_was() -> None:
    nodes = (
        DicomNode(ae_title="A", hostname="host", port=104, description='says "hello", =1+1', group="Site A"),
        DicomNode(ae_title="-B", hostname="::1", port=105, description="=1+1", node_type="PACS", group="Site A"),
        DicomNode(ae_title="W", hostname="host", port=106, node_type="WORKLIST"),
        DicomNode(ae_title="N", hostname="host", port=107),
    )
    text = export_nodes(nodes)
    assert text.splitlines()[0] == '"description","aetitle","hostname","port","nodeType","nodeGroup"'
    assert '"\'=1+1"' in text, "a spreadsheet would take it for a formula"
    parsed = parse_nodes(text)
    assert (parsed.entries, parsed.problems) == (nodes, ())


def test_services_of_endpoints_are_read_in_every_spelling() -> None:
    parsed = parse_endpoints("Cloud,https://stow.example/dicom-web,qido_rs;STOW-RS,SiteA\n")
    assert parsed.entries == (
        WebEndpoint(
            description="Cloud",
            url="https://stow.example/dicom-web",
            services=(Service.STOW_RS, Service.QIDO_RS),
            group="SiteA",
        ),
    )
    assert parse_endpoints('a,https://host/x,"STOW-RS, wado-uri"').entries[0].services == (
        Service.STOW_RS,
        Service.WADO_URI,
    )
    assert parse_endpoints("a,https://host/x,").entries[0].services == ()
    assert parse_endpoints("a,https://host/x").entries[0].services == ()


def test_unknown_service_is_noted_and_its_row_kept() -> None:
    parsed = parse_endpoints("a,https://host/x,STOW-RS;BOGUS")
    assert parsed.entries[0].services == (Service.STOW_RS,)
    assert len(parsed.problems) == 1
    assert "BOGUS" in parsed.problems[0]


@pytest.mark.parametrize(
    "url", ["not-a-url", "ftp://host/x", "file:///etc/passwd", "https://", "http://user:secret@host/", "http://h:0/"]
)
def test_address_that_is_none_is_left_out(url: str) -> None:
    parsed = parse_endpoints(f"a,{url}")
    assert parsed.entries == ()
    assert "URL" in parsed.problems[0]


def test_endpoints_are_exported_with_semicolons_and_read_back() -> None:
    endpoints = (
        WebEndpoint(url="https://a/x", description="A", services=(Service.STOW_RS, Service.QIDO_RS), group="S"),
        WebEndpoint(url="http://b/x"),
    )
    text = export_endpoints(endpoints)
    assert text.splitlines()[:2] == [
        '"description","url","services","group"',
        '"A","https://a/x","STOW_RS;QIDO_RS","S"',
    ]
    assert parse_endpoints(text).entries == endpoints
    twice = parse_endpoints(text + text)
    assert twice.entries == endpoints


def test_names_of_services_are_for_people() -> None:
    assert [service.label for service in Service] == [
        "STOW-RS",
        "QIDO-RS",
        "WADO-RS",
        "WADO-URI",
        "UPS-RS",
        "Capabilities",
    ]


def test_files_that_are_too_large_or_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than 1024 KiB"):
        decoded(b"x" * (MOST_BYTES + 1))
    with pytest.raises(ValueError, match="not UTF-8"):
        decoded(b"\xff\xfe")
    assert decoded("\ufeffä".encode()) == "ä"
    parsed = parse_nodes("\n".join(f"a,A{number},host,104" for number in range(MOST_ROWS + 1)))
    assert len(parsed.entries) == MOST_ROWS
    assert parsed.problems == (f"row {MOST_ROWS + 1}: the file has more than {MOST_ROWS} rows",)
