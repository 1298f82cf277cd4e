"""pynetdicom in both roles."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from karnak_core.dimse import Association, AssociationRejected, ProposedContext

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = [ProposedContext(CT, [EXPLICIT]), ProposedContext(VERIFICATION, ["1.2.840.10008.1.2"])]


@pytest.fixture
def make_scp():
    """Makes storage SCPs of pynetdicom; what they get is in their list."""
    servers = []

    def make(status=0x0000, **options):
        received = []

        def handle(event):
            received.append(event.request.DataSet.getvalue())
            return status

        ae = AE("PACS")
        for name, value in options.items():
            setattr(ae, name, value)
        ae.add_supported_context(CT, EXPLICIT)
        ae.add_supported_context(VERIFICATION)
        servers.append(ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)]))
        return servers[-1].server_address[1], received

    yield make
    for server in servers:
        server.shutdown()


def open_association(port):
    return Association.open("127.0.0.1", port, calling_ae_title="KARNAK", called_ae_title="PACS", contexts=CONTEXTS)


@pytest.mark.parametrize("maximum_pdu_size", [0, 4096, 16382])
def test_our_requestor_stores_to_pynetdicom_byte_for_byte(make_scp, make_part10, maximum_pdu_size):
    port, received = make_scp(maximum_pdu_size=maximum_pdu_size)
    files = [make_part10(f"1.2.4.{number}", 250 * 40 * number) for number in range(1, 6)]
    with open_association(port) as assoc:
        assert assoc.send_c_echo() == 0
        for number, (path, offset, _) in enumerate(files, 1):
            assert assoc.send_c_store(CT, f"1.2.4.{number}", 1, path, offset).status == 0
    assert received == [data for _, _, data in files]


def test_a_failure_status_of_pynetdicom_is_returned(make_scp):
    port, _ = make_scp(0xA700)
    with open_association(port) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, [b"\x08\0\x60\0CS\x02\0CT"]).status == 0xA700


def test_a_rejection_by_pynetdicom_is_said_in_words(make_scp):
    port, _ = make_scp(require_called_aet=True, ae_title="OTHER")
    with pytest.raises(AssociationRejected, match=r"called AE title not recognised \(permanent\)"):
        open_association(port)


def test_pynetdicom_stores_to_our_acceptor_byte_for_byte(acceptor, make_part10):
    ae = AE("CT1")
    ae.add_requested_context(CT, EXPLICIT)
    ae.add_requested_context(VERIFICATION)
    assoc = ae.associate("127.0.0.1", acceptor.port, ae_title="KARNAK")
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0
    files = [make_part10(f"1.2.5.{number}", 250 * 400 * number) for number in range(1, 4)]
    for path, _, _ in files:
        assert assoc.send_c_store(dcmread(path)).Status == 0
    assoc.release()
    assert assoc.is_released
    acceptor.all_ended()
    assert [bytes(store.data) for store in acceptor.receiver.stores] == [data for _, _, data in files]
    request = acceptor.receiver.stores[0].request
    assert request.sop_instance_uid == "1.2.5.1"
    assert request.association.implementation_version_name.startswith("PYNETDICOM")


def test_pynetdicom_aborts_an_association_with_our_acceptor(acceptor):
    ae = AE("CT1")
    ae.add_requested_context(VERIFICATION)
    assoc = ae.associate("127.0.0.1", acceptor.port, ae_title="KARNAK")
    assoc.abort()
    acceptor.all_ended()
    assert len(acceptor.receiver.over) == 1
