"""Peers that are broken, slow, silent or hostile, and the end of the gateway itself."""

from __future__ import annotations

import os
import resource

import pytest

from karnak_core.dimse import Association, ProposedContext, command, pdu

PROVIDER = pdu.SERVICE_PROVIDER


def drip(peer, data):
    """Send a byte each 20 ms until the peer has had enough."""
    peer.socket.settimeout(0.02)
    for byte in data:
        try:
            peer.send(bytes([byte]))
            if peer.socket.recv(100) is not None:
                peer.close()
                return
        except TimeoutError:
            continue
        except OSError:
            return
    pytest.fail("the slow drip was never ended")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 64,
    ],
    ids=["ssh", "tls", "http", "zeros"],
)
def test_garbage_is_aborted_as_unrecognised(acceptor, garbage):
    peer = acceptor.client()
    peer.send(garbage)
    assert peer.aborted() == (PROVIDER, pdu.UNRECOGNISED_PDU)
    acceptor.all_ended()
    assert acceptor.receiver.admitted == []


@pytest.mark.parametrize("kind", [pdu.P_DATA_TF, pdu.A_RELEASE_RQ, pdu.A_RELEASE_RP, pdu.A_ASSOCIATE_AC])
def test_anything_before_the_association_is_aborted_as_unexpected(acceptor, kind):
    peer = acceptor.client()
    peer.send(pdu.PDU_HEADER.pack(kind, 68), bytes(68))
    assert peer.aborted() == (PROVIDER, pdu.UNEXPECTED_PDU)


@pytest.mark.parametrize("length", [0, 67, (1 << 20) + 1, 0xFFFFFFF0])
def test_an_association_request_of_an_impossible_length_is_not_read(acceptor, length):
    peer = acceptor.client()
    peer.send(pdu.PDU_HEADER.pack(pdu.A_ASSOCIATE_RQ, length))
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


@pytest.mark.parametrize("length", [0, 5, 131072 + 65, 0xFFFFFFF0])
def test_a_data_pdu_of_an_impossible_length_is_not_read(acceptor, length):
    peer = acceptor.client()
    peer.associate()
    peer.send(pdu.PDU_HEADER.pack(pdu.P_DATA_TF, length))
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)
    acceptor.all_ended()


@pytest.mark.parametrize("damage", ["item", "sub-item", "context id", "ae title"])
def test_a_malformed_association_request_is_aborted(acceptor, wire, damage):
    request = bytearray(wire.associate_request())
    if damage == "item":
        request[76:78] = b"\xff\xff"
    elif damage == "sub-item":
        at = request.index(b"\x30\0\0")
        request[at + 2 : at + 4] = b"\x7f\xff"
    elif damage == "context id":
        request[request.index(b"\x20\0\0", 74) + 4] = 2
    else:
        request[10:26] = b"\xff" * 16
    peer = acceptor.client()
    peer.send(bytes(request))
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


@pytest.mark.parametrize("context_id", [0, 5, 255])
def test_a_context_that_was_not_accepted_is_aborted(acceptor, wire, context_id):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(context_id=context_id))
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


def test_a_data_set_on_another_context_than_its_command_is_aborted_and_discarded(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"xx"), wire.p_data(3, 2, b"yy"))
    assert peer.aborted() == (PROVIDER, pdu.UNEXPECTED_PARAMETER)
    acceptor.all_ended()
    assert acceptor.receiver.stores[0].discarded == 1


def test_a_data_set_without_command_is_aborted(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.p_data(1, 2, b"data"))
    assert peer.aborted() == (PROVIDER, pdu.UNEXPECTED_PARAMETER)


def test_a_command_inside_of_a_data_set_is_aborted_and_discarded(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"xx"), wire.store_command(2))
    assert peer.aborted() == (PROVIDER, pdu.UNEXPECTED_PARAMETER)
    acceptor.all_ended()
    assert acceptor.receiver.stores[0].discarded == 1


def test_a_command_longer_than_64_kib_is_aborted(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(*[wire.p_data(1, 1, bytes(20000))] * 4)
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


@pytest.mark.parametrize(
    "command_set",
    [b"", b"\0\0\0", b"\0\0\0\1\xff\xff\xff\xff", b"\x08\0\x18\0\0\0\0\0", command.short_element(0x0100, 1)],
    ids=["empty", "short", "long value", "other group", "no message ID"],
)
def test_an_invalid_command_set_is_aborted(acceptor, wire, command_set):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.p_data(1, 3, command_set))
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


@pytest.mark.parametrize("pdv_length", [0, 1, 5, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_pdv_that_does_not_fit_its_pdu_is_aborted(acceptor, pdv_length):
    peer = acceptor.client()
    peer.associate()
    peer.send(pdu.PDU_HEADER.pack(pdu.P_DATA_TF, 8), pdu.PDV_HEADER.pack(pdv_length, 1, 3), b"xx")
    assert peer.aborted() == (PROVIDER, pdu.INVALID_PARAMETER)


def test_a_second_association_request_is_aborted(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.associate_request())
    assert peer.aborted() == (PROVIDER, pdu.UNEXPECTED_PDU)


def test_a_connection_without_a_word_ends_by_artim(make_acceptor):
    acceptor = make_acceptor(artim=0.2)
    peer = acceptor.client()
    acceptor.client().close()
    peer.ended()
    acceptor.all_ended()


def test_half_an_association_request_ends_by_artim(make_acceptor, wire):
    acceptor = make_acceptor(artim=0.2)
    peer = acceptor.client()
    peer.send(wire.associate_request()[:100])
    peer.ended()
    acceptor.all_ended()


def test_an_association_request_that_drips_in_ends_by_artim(make_acceptor, wire):
    acceptor = make_acceptor(artim=0.3)
    drip(acceptor.client(), wire.associate_request())
    acceptor.all_ended()


def test_an_idle_association_is_aborted(make_acceptor):
    acceptor = make_acceptor(idle=0.2)
    peer = acceptor.client()
    peer.associate()
    assert peer.aborted() == (PROVIDER, pdu.NO_REASON)
    acceptor.all_ended()


def test_half_a_pdu_ends_by_the_pdu_timeout(make_acceptor, wire):
    acceptor = make_acceptor(pdu=0.2)
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"x" * 5000)[:3000])
    assert peer.aborted() == (PROVIDER, pdu.NO_REASON)
    acceptor.all_ended()
    assert acceptor.receiver.stores[0].discarded == 1


def test_a_pdu_that_drips_in_ends_by_the_pdu_timeout(make_acceptor, wire):
    acceptor = make_acceptor(pdu=0.3)
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command())
    drip(peer, wire.p_data(1, 0, b"x" * 5000))
    acceptor.all_ended()
    assert acceptor.receiver.stores[0].discarded == 1


def test_a_message_whose_rest_never_comes_ends_by_the_dimse_timeout(make_acceptor, wire):
    acceptor = make_acceptor(dimse=0.2)
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"x" * 5000))
    assert peer.aborted() == (PROVIDER, pdu.NO_REASON)


def test_a_message_of_ever_more_tiny_pdus_ends_by_the_dimse_timeout(make_acceptor, wire):
    acceptor = make_acceptor(dimse=0.3)
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command())
    drip(peer, wire.p_data(1, 0, b"") * 100)
    acceptor.all_ended()


def test_a_client_that_never_reads_ends_by_the_send_timeout(make_acceptor, wire):
    acceptor = make_acceptor(send=0.2, send_buffer=16384)
    peer = acceptor.client(receive_buffer=4096)
    peer.associate()
    peer.socket.settimeout(0.5)
    try:
        while True:
            peer.send(wire.echo_message() * 100)
    except OSError:
        pass
    acceptor.all_ended()


def test_more_than_1024_open_files_do_not_matter(acceptor, wire):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("the limit of open files is below 2048")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        contexts = [ProposedContext(wire.CT, [wire.EXPLICIT])]
        with Association.open(
            "127.0.0.1", acceptor.port, calling_ae_title="A", called_ae_title="B", contexts=contexts
        ) as assoc:
            assert assoc._connection.socket.fileno() > 1024
            assert assoc.send_c_store(wire.CT, "1.2.3", 1, [b"data"]).status == 0
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- the end of the gateway --------------------------------------------------------------------------------


def test_stop_aborts_an_idle_association_at_once(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.echo_message())
    assert peer.status() == 0
    acceptor.associations[0].stop()
    acceptor.associations[0].stop()
    assert peer.aborted() == (pdu.SERVICE_USER, 0)
    acceptor.all_ended()
    acceptor.associations[0].stop()


def test_stop_ends_a_connection_that_has_not_asked_for_anything(acceptor, wire):
    peer = acceptor.client()
    wire.eventually(lambda: acceptor.associations)
    acceptor.associations[0].stop()
    peer.ended()
    acceptor.all_ended()


def test_stop_lets_a_store_finish_and_answers_it(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"x" * 5000))
    wire.eventually(lambda: acceptor.receiver.stores and acceptor.receiver.stores[0].data)
    acceptor.associations[0].stop()
    peer.send(wire.p_data(1, 2, b"y" * 5000), wire.store_message(b"not any more", 2))
    assert peer.status() == 0
    assert peer.aborted() == (pdu.SERVICE_USER, 0)
    acceptor.all_ended()
    assert len(acceptor.receiver.stores) == 1
    assert acceptor.receiver.stores[0].finished == 1


def test_stop_while_making_durable_still_answers(acceptor, wire):
    acceptor.receiver.may_finish.clear()
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(b"x"))
    assert acceptor.receiver.finishing.wait(60)
    acceptor.associations[0].stop()
    acceptor.receiver.may_finish.set()
    assert peer.status() == 0
    assert peer.aborted() == (pdu.SERVICE_USER, 0)


def test_abort_discards_a_store_in_the_middle(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"x" * 5000))
    wire.eventually(lambda: acceptor.receiver.stores and acceptor.receiver.stores[0].data)
    acceptor.associations[0].abort()
    assert peer.aborted() == (pdu.SERVICE_USER, 0)
    acceptor.all_ended()
    assert (acceptor.receiver.stores[0].finished, acceptor.receiver.stores[0].discarded) == (0, 1)
