"""Questions about other nodes, asked of DCMTK, pynetdicom, Orthanc, and sockets that answer nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom import Dataset
from pynetdicom import AE, evt

from karnak_core.config.load import load
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import Misconfigured
from karnak_core.model import OpenContext
from karnak_core.plugins import load as load_plugins
from karnak_core.testing import missing, run_orthanc, run_store_scp, run_storescp, wait_until
from karnak_core.testing.waiting import free_port, listens, program
from karnak_core.tools import capabilities as proposing
from karnak_core.tools.capabilities import capabilities, name_of
from karnak_core.tools.dicomweb import Authorization, Probe, Support, authorization, check_web, classify
from karnak_core.tools.echo import EchoState, echo
from karnak_core.tools.monitoring import monitor
from karnak_core.tools.network import check_network, latency
from karnak_core.tools.nodes import DicomNode, Service, gateway_destinations
from karnak_core.tools.worklist import MOST, WorklistFilter, date_range, query, worklist

ORTHANC_WEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
EXAMPLES = Path("/usr/share/doc/dcmtk/examples/wlistdb/OFFIS")


def at(port: int, ae_title: str = "PACS", **more: Any) -> DicomNode:
    return DicomNode(ae_title=ae_title, hostname="127.0.0.1", port=port, **more)


@contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# ---- echo --------------------------------------------------------------------------------------------------------


def test_echo_says_how_long_it_took_and_who_answered(tmp_path: Path) -> None:
    with run_storescp(tmp_path / "stored") as scp:
        answer = echo(at(scp.port))
    assert (answer.state, answer.status, answer.hex_status, answer.ok) == (EchoState.SUCCESS, 0, "0000", True)
    assert answer.connect_ms is not None
    assert answer.execution_ms is not None
    assert answer.implementation_version.startswith("OFFIS_DCMTK")
    assert answer.implementation_uid.startswith("1.2.276.")


def test_echo_decodes_a_rejection() -> None:
    with run_store_scp(ae_title="STRICT", require_called_ae_title=True) as scp:
        answer = echo(at(scp.port, "OTHER"))
    assert (answer.state, answer.status, answer.hex_status, answer.ok) == (EchoState.REJECTED, None, None, False)
    assert "called AE title not recognised (permanent)" in answer.message


def test_echo_without_verification_is_unsupported() -> None:
    ae = AE(ae_title="NOECHO")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.2")
    server: Any = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        answer = echo(at(server.server_address[1]))
    finally:
        server.shutdown()
    assert (answer.state, answer.ok) == (EchoState.UNSUPPORTED, False)
    assert answer.implementation_version.startswith("PYNETDICOM")


def test_echo_answered_with_another_status_is_refused() -> None:
    ae = AE(ae_title="NOTNOW")
    ae.add_supported_context("1.2.840.10008.1.1")
    handlers: Any = [(evt.EVT_C_ECHO, lambda _event: 0x0210)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        answer = echo(at(server.server_address[1]))
    finally:
        server.shutdown()
    assert (answer.state, answer.hex_status, answer.ok) == (EchoState.REFUSED, "0210", False)


def test_echo_of_a_closed_port_and_of_a_silent_one_ends() -> None:
    assert echo(at(free_port())).state is EchoState.UNREACHABLE
    with silent() as port:
        answer = echo(at(port), answer=0.3)
    assert answer.state is EchoState.FAILED
    assert answer.connect_ms is not None


def test_nodes_of_a_list_are_asked_side_by_side_and_the_late_ones_are_not_waited_for(tmp_path: Path) -> None:
    with run_storescp(tmp_path / "stored") as scp, silent() as port:
        nodes = [at(scp.port), at(port, "SILENT"), at(free_port(), "CLOSED")]
        states = monitor(nodes, seconds=4.0)
    assert [state.node for state in states] == nodes
    assert [state.echo.state for state in states] == [EchoState.SUCCESS, EchoState.FAILED, EchoState.UNREACHABLE]
    assert "not answered within 4 s in all" in states[1].echo.message
    assert monitor([]) == []


# ---- the way there -----------------------------------------------------------------------------------------------


def test_network_says_what_listens_and_how_long_connections_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = check_network("localhost", port)
    assert (check.ok, check.open) == (True, True)
    assert "127.0.0.1" in (*check.addresses, check.host_message) or "::1" in check.addresses
    assert check.latency is not None
    assert (check.latency.attempts, check.latency.successes, check.latency.loss) == (4, 4, 0)
    assert check.port_message == f"localhost listening on {port}"


def test_network_of_a_name_that_is_not_known_and_of_a_closed_port() -> None:
    unknown = check_network("no-such-host.invalid", 104)
    assert (unknown.ok, unknown.addresses, unknown.latency) == (False, (), None)
    assert "not known" in unknown.host_message or "not found" in unknown.host_message
    closed = check_network("127.0.0.1", free_port())
    assert (closed.ok, closed.addresses, closed.latency) == (False, ("127.0.0.1",), None)
    assert "connection refused" in closed.port_message


def test_latency_is_told_in_one_line() -> None:
    measured = latency([2.0, 4.0, 9.0], 4)
    assert str(measured) == "min/avg/max 2/5/9 ms, 4 attempts, loss 25%"
    assert latency([], 4) is None


# ---- capabilities ------------------------------------------------------------------------------------------------


def test_capabilities_are_what_a_node_accepts() -> None:
    ct, jpeg = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70"
    with run_store_scp(sop_classes=[ct], transfer_syntaxes=["1.2.840.10008.1.2", jpeg]) as scp:
        found = capabilities(at(scp.port))
    assert (found.ok, found.storage) == (True, {ct: ("1.2.840.10008.1.2", jpeg)})
    assert [name_of(uid) for uid in found.services] == ["Verification SOP Class"]
    assert found.max_pdu_length == 1 << 17
    assert found.implementation_version.startswith("PYNETDICOM")
    assert "accepts 3 of 76 presentation contexts" in found.message


def test_capabilities_propose_ten_classes_in_seven_syntaxes() -> None:
    assert (len(proposing.STORAGE_CLASSES), len(proposing.TRANSFER_SYNTAXES), len(proposing.SERVICES)) == (10, 7, 6)
    assert all(name_of(uid) != uid for uid in (*proposing.STORAGE_CLASSES, *proposing.TRANSFER_SYNTAXES))


def test_capabilities_of_nobody() -> None:
    assert capabilities(at(free_port())).state is EchoState.UNREACHABLE


# ---- worklist ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WorklistPeer:
    """A worklist of DCMTK."""

    port: int


@pytest.fixture
def wlmscpfs(tmp_path: Path) -> Iterator[WorklistPeer]:
    """DCMTK's worklist server with its own examples, by the AE title OFFIS."""
    server, dump2dcm = program("wlmscpfs", "DCMTK"), program("dump2dcm", "DCMTK")
    dumps = sorted(EXAMPLES.glob("*.dump"))
    if not dumps:
        missing("the examples of DCMTK's worklists")
    folder = tmp_path / "worklists" / "OFFIS"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for dump in dumps:
        subprocess.run([dump2dcm, "-q", dump, folder / f"{dump.stem}.wl"], check=True, capture_output=True)
    port = free_port()
    command = [server, "-dfp", str(folder.parent), "--single-process", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, what="wlmscpfs listens")
        yield WorklistPeer(port=port)
    finally:
        process.kill()
        process.wait()


def test_worklist_is_asked_for_and_filtered(wlmscpfs: WorklistPeer) -> None:
    node = at(wlmscpfs.port, "OFFIS")
    everything = worklist(node, WorklistFilter())
    assert everything.ok, everything.message
    assert len(everything.entries) == len(list(EXAMPLES.glob("*.dump")))
    modalities = {entry["Modality"] for entry in everything.entries}
    assert len(modalities) > 1
    one = sorted(modalities)[0]
    some = worklist(node, WorklistFilter(modality=one))
    assert {entry["Modality"] for entry in some.entries} == {one}
    assert worklist(node, WorklistFilter(modality="all")).entries == everything.entries
    first = everything.entries[0]
    named = worklist(node, WorklistFilter(patient_name=f"{first['PatientName'][:4]}*"))
    assert first in named.entries


def test_worklist_of_a_range_of_days(wlmscpfs: WorklistPeer) -> None:
    node = at(wlmscpfs.port, "OFFIS")
    days = sorted(entry["ScheduledProcedureStepStartDate"] for entry in worklist(node, WorklistFilter()).entries)
    first, last = (datetime.strptime(day, "%Y%m%d").date() for day in (days[0], days[-1]))
    assert first < last
    whole = worklist(node, WorklistFilter(from_date=first, to_date=last))
    assert len(whole.entries) == len(days)
    before = worklist(node, WorklistFilter(to_date=first))
    assert 0 < len(before.entries) < len(days)
    after = worklist(node, WorklistFilter(from_date=last + timedelta(days=1)))
    assert (after.ok, after.entries) == (True, ())


def test_worklist_of_an_unknown_title_says_why_not(wlmscpfs: WorklistPeer) -> None:
    answer = worklist(at(wlmscpfs.port, "NOBODY"), WorklistFilter())
    assert not answer.ok
    assert answer.message


@contextmanager
def worklist_scp(answers: list[tuple[int, Dataset | None]], ae_title: str = "WL") -> Iterator[int]:
    """A worklist in this process, which answers every query so."""
    ae = AE(ae_title=ae_title)
    ae.add_supported_context("1.2.840.10008.5.1.4.31")
    handlers: Any = [(evt.EVT_C_FIND, lambda _event: iter(answers))]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def entry(number: int) -> Dataset:
    ds = Dataset()
    ds.PatientID = str(number)
    return ds


def test_worklist_that_fails_half_way_says_its_status() -> None:
    with worklist_scp([(0xFF00, entry(1)), (0xA700, None)]) as port:
        answer = worklist(at(port, "WL"), WorklistFilter())
    assert (answer.state, len(answer.entries)) == (EchoState.REFUSED, 1)
    assert "0xA700 out of resources" in answer.message


def test_worklist_without_end_is_cut() -> None:
    with worklist_scp([(0xFF00, entry(number)) for number in range(MOST + 50)]) as port:
        answer = worklist(at(port, "WL"), WorklistFilter())
    assert (answer.ok, answer.cut, len(answer.entries)) == (True, True, MOST)


def test_worklist_is_not_asked_for_where_it_is_not_offered() -> None:
    with run_store_scp() as scp:
        assert worklist(at(scp.port), WorklistFilter()).state is EchoState.UNSUPPORTED


def test_days_are_one_range() -> None:
    first, last = date(2026, 1, 2), date(2026, 3, 4)
    assert date_range(first, last) == "20260102-20260304"
    assert date_range(first, None) == "20260102-"
    assert date_range(None, last) == "-20260304"
    assert date_range(first, first) == "20260102"
    assert date_range(None, None) == ""
    step = query(WorklistFilter(from_date=first, to_date=last)).ScheduledProcedureStepSequence[0]
    assert step.ScheduledProcedureStepStartDate == "20260102-20260304"
    assert "ScheduledProcedureStepEndDate" not in step


@pytest.mark.parametrize("text", ["x" * 65, "a\\b", "a\x00b"])
def test_filter_that_no_value_can_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="patient_id"):
        query(WorklistFilter(patient_id=text))


def test_letters_of_every_script_can_be_looked_for() -> None:
    assert query(WorklistFilter(patient_name="Müller*")).SpecificCharacterSet == "ISO_IR 192"


# ---- DICOMweb ----------------------------------------------------------------------------------------------------


class Server:
    """An HTTP server whose answers are given: by method and path, else by method."""

    def __init__(self, answers: dict[str, tuple[int, dict[str, str]]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []


@contextmanager
def web(
    answers: dict[str, tuple[int, dict[str, str]]], context: ssl.SSLContext | None = None
) -> Iterator[tuple[Server, str]]:
    """Run a server; yields it and its address."""
    served = Server(answers)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            served.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            path = self.path.partition("?")[0]
            status, headers = served.answers.get(f"{self.command} {path}") or served.answers[self.command]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_OPTIONS = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Not write anything."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served, f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def supports(probes: tuple[Probe, ...]) -> dict[Service, Support]:
    return {probe.service: probe.support for probe in probes}


def test_services_of_orthanc_are_found(tmp_path: Path) -> None:
    if not ORTHANC_WEB.exists():
        missing("Orthanc's DICOMweb plugin")
    with run_orthanc(tmp_path, Plugins=[str(ORTHANC_WEB)], DicomWeb={"Enable": True}) as orthanc:
        check = check_web(f"http://127.0.0.1:{orthanc.http_port}/dicom-web/studies")
    assert (check.ok, check.connected, check.certificate, check.token_acquired) == (True, True, None, None)
    found = supports(check.probes)
    assert found[Service.QIDO_RS] is Support.SUPPORTED
    assert found[Service.WADO_RS] is Support.SUPPORTED


@pytest.mark.parametrize(
    ("status", "support"),
    [
        *((status, Support.SUPPORTED) for status in (200, 204, 206, 400, 404, 406)),
        *((status, Support.NOT_SUPPORTED) for status in (405, 501)),
        *((status, Support.INCONCLUSIVE) for status in (401, 403, 302, 500, 503)),
    ],
)
def test_answers_are_classified(status: int, support: Support) -> None:
    assert classify(status) is support


def test_probes_are_told_in_one_line_each() -> None:
    told = str(Probe(service=Service.STOW_RS, support=Support.SUPPORTED, detail="HTTP 200"))
    assert told == "STOW-RS: supported — HTTP 200"
    assert str(Probe(service=Service.QIDO_RS, support=Support.INCONCLUSIVE)) == "QIDO-RS: inconclusive"


def test_each_service_is_asked_and_nothing_is_stored_nor_followed() -> None:
    answers = {
        "OPTIONS": (200, {"Allow": "GET, POST"}),
        "GET": (404, {}),
        "GET /dicom-web/workitems": (501, {}),
        "GET /dicom-web/studies": (302, {"Location": "http://127.0.0.1:1/elsewhere"}),
    }
    with web(answers) as (server, url):
        check = check_web(url)
    assert check.ok
    assert supports(check.probes) == {
        Service.STOW_RS: Support.SUPPORTED,
        Service.QIDO_RS: Support.INCONCLUSIVE,
        Service.WADO_RS: Support.SUPPORTED,
        Service.WADO_URI: Support.SUPPORTED,
        Service.UPS_RS: Support.NOT_SUPPORTED,
        Service.CAPABILITIES: Support.SUPPORTED,
    }
    assert {method for method, _, _ in server.asked} == {"GET", "OPTIONS"}
    assert {authorization for _, _, authorization in server.asked} == {""}


@pytest.mark.parametrize(
    ("headers", "support"), [({}, Support.INCONCLUSIVE), ({"Allow": "GET, HEAD"}, Support.NOT_SUPPORTED)]
)
def test_storing_is_told_by_the_header_allow(headers: dict[str, str], support: Support) -> None:
    with web({"OPTIONS": (200, headers), "GET": (200, {})}) as (_, url):
        assert supports(check_web(url).probes)[Service.STOW_RS] is support


def test_answer_401_is_an_answer() -> None:
    with web({"OPTIONS": (401, {}), "GET": (401, {})}) as (_, url):
        check = check_web(url)
    assert (check.ok, check.status) == (True, 401)
    assert supports(check.probes)[Service.QIDO_RS] is Support.INCONCLUSIVE


def test_nobody_there_and_no_address() -> None:
    closed = check_web(f"http://127.0.0.1:{free_port()}/dicom-web")
    assert (closed.ok, closed.connected, closed.probes) == (False, False, ())
    assert "connection refused" in closed.message
    for url in ("not-a-url", "file:///etc/passwd", "gopher://host/", "http://"):
        none = check_web(url)
        assert (none.ok, none.valid) == (False, False)
        assert "unexpected error" in none.message


def test_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    with silent() as port:
        check = check_web(f"http://127.0.0.1:{port}/")
    assert (check.ok, check.connected, check.status) == (False, True, None)
    assert "does not answer within" in check.message


class Tokens:
    """An authenticator that has a token, or none."""

    def __init__(self, error: str = "") -> None:
        self._error = error

    def headers(self, refresh: bool = False) -> dict[str, str]:
        if self._error:
            raise Misconfigured(self._error)
        return {"Authorization": "Bearer token"}

    def close(self) -> None:
        """Have nothing to give back."""


def test_token_is_sent_where_there_is_one_and_missed_where_it_is_not_to_be_had() -> None:
    known = {"good": Tokens(), "bad": Tokens("the token server is away")}
    with web({"OPTIONS": (200, {}), "GET": (200, {})}) as (server, url):
        good = check_web(url, authorize=authorization("good", known))
        sent = {asked[2] for asked in server.asked}
        bad = check_web(url, authorize=authorization("bad", known))
        unknown = check_web(url, authorize=authorization("unknown", known))
    assert (good.ok, good.token_acquired, good.authorized, sent) == (True, True, True, {"Bearer token"})
    assert (bad.ok, bad.token_acquired, bad.token_error) == (False, False, "the token server is away")
    assert (unknown.ok, unknown.token_acquired) == (False, False)
    assert "not defined" in unknown.token_error


def server_context(authority: trustme.CA, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", **more).configure_cert(context)
    return context


def test_certificate_is_told_and_one_that_is_trusted_gets_the_token(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    answers = {"OPTIONS": (200, {}), "GET": (200, {})}
    token = Authorization(headers={"Authorization": "Bearer token"})
    with web(answers, server_context(authority)) as (server, url):
        check = check_web(url, authorize=token, tls=ClientTLS(ca=str(tmp_path / "ca.pem")))
    assert check.ok, check
    assert check.certificate is not None
    assert (check.certificate.trusted, check.certificate_valid, check.authorized) == (True, True, True)
    assert check.certificate.names == ("127.0.0.1",)
    assert check.certificate.session.startswith("TLSv1")
    assert {asked[2] for asked in server.asked} == {"Bearer token"}


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificate_that_is_not_trusted_is_looked_at_but_gets_no_token() -> None:
    token = Authorization(headers={"Authorization": "Bearer token"})
    with web({"OPTIONS": (200, {}), "GET": (200, {})}, server_context(trustme.CA())) as (server, url):
        check = check_web(url, authorize=token)
    assert check.ok, "it can be reached"
    assert check.certificate is not None
    assert (check.certificate.trusted, check.authorized) == (False, False)
    assert "authority that is not in" in check.certificate.trouble
    assert {asked[2] for asked in server.asked} == {""}


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificate_that_has_expired_is_not_good() -> None:
    past = datetime.now(UTC) - timedelta(days=3)
    context = server_context(trustme.CA(), not_before=past, not_after=past + timedelta(days=1))
    with web({"OPTIONS": (200, {}), "GET": (200, {})}, context) as (_, url):
        check = check_web(url)
    assert (check.ok, check.certificate_valid) == (False, False)
    assert "certificate is not valid now" in check.message


# ---- who can be asked --------------------------------------------------------------------------------------------


def test_gateway_destinations_are_each_listed_once(tmp_path: Path) -> None:
    def dicom(name: str, title: str, description: str) -> dict[str, Any]:
        address = {"ae_title": title, "hostname": "pacs.local", "port": 11112}
        return {"name": name, "type": "dicom", "description": description, **address}

    destinations = [
        dicom("a", "PACS_AET", "The archive"),
        dicom("b", "PACS_AET", "The archive again"),
        dicom("c", "VIEWER", ""),
        {"name": "d", "type": "stow", "url": "http://stow.local/dicom-web"},
    ]
    document = {"forward_nodes": [{"ae_title": "FORWARD", "destinations": destinations}]}
    configuration = load(document, load_plugins())
    context = OpenContext(data_directory=tmp_path)
    found = gateway_destinations(configuration, context)
    assert [(str(node), node.description) for node in found] == [
        ("PACS_AET pacs.local 11112", "The archive"),
        ("VIEWER pacs.local 11112", "VIEWER"),
    ]
    assert gateway_destinations(load({"forward_nodes": []}, load_plugins()), context) == []
