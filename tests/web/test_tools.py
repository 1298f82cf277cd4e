"""The DICOM tools, by the API and by the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from web_support import Client, ConsoleApp

from karnak_core.testing import run_store_scp, run_storescp
from karnak_core.testing.waiting import free_port
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, DicomNode
from karnak_plugins.web_console import asking

TOOLS = "/api/v1/tools"
PATIENT = "DOE^<script>alert(1)</script>"


def configure(app: ConsoleApp, *destinations: dict[str, Any], **more: Any) -> None:
    """Let a forward node have these destinations."""
    whole = {"forward_nodes": [{"ae_title": "FORWARD", "destinations": list(destinations)}], **more}
    app.console.change(lambda _document: whole, expected_version=None, author="test", comment="")


def dicom(name: str, port: int, ae_title: str = "PACS", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "dicom", "ae_title": ae_title, "hostname": "127.0.0.1", "port": port, **more}


def typed(port: int, ae_title: str = "PACS", hostname: str = "127.0.0.1") -> dict[str, Any]:
    return {"ae_title": ae_title, "hostname": hostname, "port": port}


@pytest.fixture
def program(console_app: ConsoleApp) -> Client:
    """A program that may use the tools, and nothing else."""
    return console_app.with_token("tools")


@pytest.fixture
def worklist_port() -> Iterator[int]:
    """A worklist with one entry, whose text is hostile."""

    def answer(_event: Any) -> Iterator[tuple[int, Dataset]]:
        ds, step = Dataset(), Dataset()
        ds.PatientName, ds.PatientID = PATIENT, "4711"
        step.Modality, step.ScheduledProcedureStepStartDate = "CT", "20260131"
        step.ScheduledProcedureStepStartTime = "0815"
        ds.ScheduledProcedureStepSequence = [step]
        yield 0xFF00, ds

    ae = AE(ae_title="WL")
    ae.add_supported_context("1.2.840.10008.5.1.4.31")
    handlers: Any = [(evt.EVT_C_FIND, answer)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield server.server_address[1]
    server.shutdown()


# ---- the API -----------------------------------------------------------------------------------------------------


def test_echo_of_a_typed_node_and_of_a_destination(console_app: ConsoleApp, program: Client, tmp_path: Path) -> None:
    with run_storescp(tmp_path / "stored") as scp:
        configure(console_app, dicom("pacs", scp.port))
        answer = program.post(f"{TOOLS}/echo", json={"node": typed(scp.port)})
        known = program.get(f"{TOOLS}/nodes", params={"group": GATEWAY_DESTINATIONS}).json()["items"]
        by_key = program.post(f"{TOOLS}/echo", json={"known": known[0]["key"]})
    assert answer.status_code == 200
    assert (answer.json()["ok"], answer.json()["state"], answer.json()["status"]) == (True, "success", "0000")
    assert answer.json()["implementation_version"].startswith("OFFIS_DCMTK")
    assert by_key.json()["ok"] is True


def test_our_title_is_dcm_tools_unless_another_one_is_given(program: Client) -> None:
    titles: list[str] = []
    ae = AE(ae_title="PACS")
    ae.add_supported_context("1.2.840.10008.1.1")

    def answer(event: Any) -> int:
        titles.append(event.assoc.requestor.ae_title.strip())
        return 0

    handlers: Any = [(evt.EVT_C_ECHO, answer)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        port = server.server_address[1]
        program.post(f"{TOOLS}/echo", json={"node": typed(port)})
        program.post(f"{TOOLS}/echo", json={"node": typed(port), "calling_ae_title": "OTHER"})
    finally:
        server.shutdown()
    assert titles == ["DCM-TOOLS", "OTHER"]


WRONG_BODIES: list[tuple[Any, str]] = [
    ({}, ""),
    ({"node": {"ae_title": "A", "hostname": "h", "port": 1}, "known": "n:1"}, ""),
    ({"node": {"ae_title": "", "hostname": "h", "port": 1}}, "ae_title"),
    ({"node": {"ae_title": "A", "hostname": "file:///etc", "port": 1}}, "hostname"),
    ({"node": {"ae_title": "A", "hostname": "h", "port": 0}}, "node.port"),
    ({"node": {"ae_title": "A", "hostname": "h", "port": 1}, "calling_ae_title": " "}, "calling_ae_title"),
    ({"node": {"ae_title": "A", "hostname": "h", "port": 1}, "more": 1}, "more"),
]


def test_what_is_wrong_with_a_question_is_told_by_its_place(program: Client) -> None:
    for body, place in WRONG_BODIES:
        answer = program.post(f"{TOOLS}/echo", json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["place"] == place


def test_node_that_is_not_there_is_not_found(program: Client) -> None:
    for known in ("n:1", "n:x", "g:PACS@nowhere:1", "", "n:99999999999999999999"):
        assert program.post(f"{TOOLS}/echo", json={"known": known}).status_code == 404


def test_network_capabilities_and_monitor(console_app: ConsoleApp, program: Client) -> None:
    with run_store_scp() as scp:
        configure(console_app, dicom("pacs", scp.port), dicom("closed", free_port(), "CLOSED"))
        network = program.post(f"{TOOLS}/network", json={"hostname": "127.0.0.1", "port": scp.port}).json()
        found = program.post(f"{TOOLS}/capabilities", json={"node": typed(scp.port)}).json()
        states = program.post(f"{TOOLS}/monitor", json={"group": GATEWAY_DESTINATIONS}).json()["items"]
    assert (network["ok"], network["open"], network["latency"]["loss"]) == (True, True, 0)
    assert len(found["storage"]) == 10
    assert {len(one["transfer_syntaxes"]) for one in found["storage"]} == {7}
    assert [(state["node"]["ae_title"], state["echo"]["ok"]) for state in states] == [("PACS", True), ("CLOSED", False)]
    assert program.post(f"{TOOLS}/monitor", json={"group": "nobody's"}).status_code == 404


def test_worklist_is_shown_and_the_look_is_recorded(
    console_app: ConsoleApp, program: Client, worklist_port: int
) -> None:
    body = {"node": typed(worklist_port, "WL"), "modality": "ALL", "from_date": "2026-01-01", "to_date": "2026-02-01"}
    answer = program.post(f"{TOOLS}/worklist", json=body)
    assert answer.status_code == 200
    assert answer.json()["entries"][0]["PatientName"] == PATIENT
    entries = console_app.with_token("users").get("/api/v1/audit").json()["items"]
    looked = next(entry for entry in entries if entry["action"] == "look at")
    assert looked["object"] == f"worklist of WL 127.0.0.1 {worklist_port}"
    assert "DOE" not in str(entries)


@pytest.mark.parametrize(
    "more", [{"from_date": "2026-02-01", "to_date": "2026-01-01"}, {"patient_id": "a\\b"}, {"from_date": "yesterday"}]
)
def test_worklist_filters_that_are_wrong_are_refused(program: Client, more: dict[str, str]) -> None:
    answer = program.post(f"{TOOLS}/worklist", json={"node": typed(free_port()), **more})
    assert answer.status_code == 422


def test_dicomweb_of_an_address_of_an_endpoint_and_of_a_destination(console_app: ConsoleApp, program: Client) -> None:
    url = f"http://127.0.0.1:{free_port()}/dicom-web"
    configure(console_app, {"name": "cloud", "type": "stow", "url": url})
    endpoint = program.post(f"{TOOLS}/endpoints", json={"url": url}).json()
    for body in ({"url": url}, {"endpoint_id": endpoint["id"]}, {"destination": "FORWARD/cloud"}):
        answer = program.post(f"{TOOLS}/dicomweb", json=body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["ok"], answer.json()["connected"]) == (False, False)
        assert "connection refused" in answer.json()["message"]
    unknown = program.post(f"{TOOLS}/dicomweb", json={"url": url, "authenticator": "nobody"}).json()
    assert unknown["token_acquired"] is False
    assert "not defined" in unknown["token_error"]
    assert program.post(f"{TOOLS}/dicomweb", json={"destination": "FORWARD/nobody"}).status_code == 404
    assert program.post(f"{TOOLS}/dicomweb", json={}).status_code == 422
    bad = program.post(f"{TOOLS}/dicomweb", json={"url": "file:///etc/passwd"}).json()
    assert (bad["ok"], bad["probes"]) == (False, [])


def test_probe_says_what_the_destination_says(console_app: ConsoleApp, program: Client, tmp_path: Path) -> None:
    with run_storescp(tmp_path / "stored") as scp:
        configure(console_app, dicom("pacs", scp.port, paused=True), dicom("closed", free_port(), "CLOSED"))
        good = program.post(f"{TOOLS}/probe", json={"destination": "FORWARD/pacs"}).json()
        bad = program.post(f"{TOOLS}/probe", json={"destination": "FORWARD/closed"}).json()
    assert good["ok"] is True
    assert "answers C-ECHO with success" in good["message"]
    assert "paused" in good["note"]
    assert (bad["ok"], bad["note"]) == (False, "")
    assert program.post(f"{TOOLS}/probe", json={"destination": "FORWARD/nobody"}).status_code == 404


def test_only_so_many_questions_are_asked_at_once(program: Client) -> None:
    taken = [asking.slot() for _ in range(asking.AT_ONCE)]
    for one in taken:
        one.__enter__()
    try:
        answer = program.post(f"{TOOLS}/network", json={"hostname": "127.0.0.1", "port": 1})
    finally:
        for one in taken:
            one.__exit__(None, None, None)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert program.post(f"{TOOLS}/network", json={"hostname": "127.0.0.1", "port": 1}).status_code == 200


def test_other_scopes_and_roles_do_not_ask(console_app: ConsoleApp) -> None:
    reader = console_app.with_token("read")
    assert reader.post(f"{TOOLS}/echo", json={"node": typed(1)}).status_code == 403
    user = console_app.signed_in("ursula", "user")
    assert user.get("/tools/echo").status_code == 403
    assert user.submit("/tools/echo", {"ae_title": "A", "hostname": "127.0.0.1", "port": "1"}).status_code == 403


# ---- the pages ---------------------------------------------------------------------------------------------------

TABS = ("echo", "network", "monitor", "capabilities", "worklist", "dicomweb", "destination")


def test_every_tool_has_a_page_also_where_nothing_is_configured(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    for tool in TABS:
        answer = client.get(f"/tools/{tool}")
        assert answer.status_code == 200, tool
        assert 'aria-current="page"' in answer.text
    assert client.get("/tools").headers["Location"] == "/tools/echo"
    assert client.get("/tools/nothing").status_code == 404
    assert client.submit("/tools/nothing").status_code == 404


def test_answer_stands_below_the_form(console_app: ConsoleApp, worklist_port: int) -> None:
    client = console_app.signed_in()
    with run_store_scp() as scp:
        configure(console_app, dicom("pacs", scp.port), {"name": "disk", "type": "folder", "directory": "out"})
        known = asking.key_of(DicomNode(ae_title="PACS", hostname="127.0.0.1", port=scp.port))
        fields = {"known": known, "calling_ae_title": "DCM-TOOLS"}
        for tool, words in (
            ("echo", "0x0000 success"),
            ("network", "listening on"),
            ("capabilities", "CT Image Storage"),
            ("monitor", "1 of 1 answer"),
            ("destination", "answers C-ECHO with success"),
        ):
            more = {"group": GATEWAY_DESTINATIONS, "destination": "FORWARD/pacs"}
            answer = client.submit(f"/tools/{tool}", {**fields, **more})
            assert answer.status_code == 200, answer.text
            assert words in answer.text, tool
    web = client.submit("/tools/dicomweb", {"url": f"http://127.0.0.1:{free_port()}/"})
    assert "connection refused" in web.text
    target = {"ae_title": "WL", "hostname": "127.0.0.1", "port": str(worklist_port), "calling_ae_title": "DCM-TOOLS"}
    listed = client.submit("/tools/worklist", {**target, "modality": "ALL", "from_date": "2026-01-01"})
    assert "DOE^&lt;script&gt;alert(1)&lt;/script&gt;" in listed.text
    assert "<script>alert" not in listed.text
    assert "2026-01-31" in listed.text


WRONG: list[tuple[str, dict[str, str], str]] = [
    ("echo", {"calling_ae_title": "DCM-TOOLS"}, "AE title is missing"),
    (
        "echo",
        {"known": "n:7", "calling_ae_title": "DCM-TOOLS"},
        "there is no such node any more|there is no such node",
    ),
    ("echo", {"ae_title": "A", "hostname": "h", "port": "1", "calling_ae_title": ""}, "AE title is missing"),
    ("network", {"hostname": "h", "port": "70000"}, "70000 is not 1 to 65535"),
    ("monitor", {"group": "nobody's", "calling_ae_title": "A"}, "there is no such group"),
    ("dicomweb", {}, "is missing; or choose one"),
    ("dicomweb", {"target": "e:5"}, "there is no such endpoint"),
    ("dicomweb", {"target": "d:A/b"}, "there is no such destination any more"),
    ("destination", {"destination": "A/b"}, "there is no such destination"),
    ("worklist", {"known": "", "calling_ae_title": "A"}, "hostname is missing"),
]


def test_what_is_wrong_is_told_at_its_field(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    for tool, fields, words in WRONG:
        answer = client.submit(f"/tools/{tool}", fields)
        assert answer.status_code == 422, (tool, fields)
        assert any(word in answer.text for word in words.split("|")), (tool, fields)
        assert "aria-invalid" in answer.text, (tool, fields)


def test_last_echoes_are_remembered(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert "Asked lately" not in client.get("/tools/echo").text
    node = {"ae_title": "NOBODY", "hostname": "127.0.0.1", "port": str(free_port()), "calling_ae_title": "A"}
    client.submit("/tools/echo", node)
    page = client.get("/tools/echo").text
    assert "Asked lately" in page
    assert f"NOBODY 127.0.0.1 {node['port']}" in page


def test_worklist_days_that_are_wrong_are_told(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    node = {"ae_title": "WL", "hostname": "127.0.0.1", "port": str(free_port()), "calling_ae_title": "A"}
    swapped = client.submit("/tools/worklist", {**node, "from_date": "2026-02-01", "to_date": "2026-01-01"})
    assert (swapped.status_code, "is before the first day" in swapped.text) == (422, True)
    none = client.submit("/tools/worklist", {**node, "from_date": "31.1.2026"})
    assert (none.status_code, "is not a day such as" in none.text) == (422, True)


# ---- in a browser ------------------------------------------------------------------------------------------------


def test_tools_are_used_in_a_browser(
    make_page: Callable[..., Any],
    make_running_console: Callable[..., Any],
    worklist_port: int,
    tmp_path: Path,
) -> None:
    from conftest import sign_in
    from web_support import check_accessibility

    with run_storescp(tmp_path / "stored") as scp:
        node = {"ae_title": "FORWARD", "destinations": [dicom("pacs", scp.port, "STORESCP")]}
        console = make_running_console({"forward_nodes": [node]})
        page = make_page(color_scheme="light")
        sign_in(page, console)
        page.get_by_role("link", name="DICOM tools").click()
        page.wait_for_load_state()
        page.get_by_label("A node of the lists").select_option(label=f"STORESCP at 127.0.0.1:{scp.port}")
        page.get_by_role("button", name="Send a C-ECHO").click()
        page.get_by_text("0x0000 success").first.wait_for()
        check_accessibility(page)
        page.get_by_role("link", name="Worklist").click()
        page.get_by_label("AE title", exact=True).fill("WL")
        page.get_by_label("Host").fill("127.0.0.1")
        page.get_by_label("Port").fill(str(worklist_port))
        page.get_by_role("button", name="Ask for the worklist").click()
        page.get_by_role("cell", name="4711").wait_for()
        page.wait_for_load_state()
        page.get_by_role("button", name="Patient name").click()
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Patient name")
        check_accessibility(page)
        page.emulate_media(color_scheme="dark")
        forms = ("/nodes", "/nodes/add", "/nodes/endpoints/add", "/audit", "/help")
        for path in (*(f"/tools/{tool}" for tool in TABS), *forms):
            page.goto(f"{console.url}{path}")
            check_accessibility(page)
