"""What a requestor sends and how it takes what a peer does, played by scripts in bytes."""

from __future__ import annotations

import io
import socket
import threading

import pytest

from karnak_core.dimse import (
    Association,
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    ConnectionFailed,
    ConnectionLost,
    PeerTimeout,
    ProposedContext,
    ProtocolError,
    StoreResponse,
    Timeouts,
    command,
    negotiation,
    pdu,
    rejections,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
CONTEXTS = [ProposedContext(CT, [EXPLICIT, IMPLICIT]), ProposedContext("1.2.840.10008.1.1", [IMPLICIT])]


def open_association(port: int, **options):
    options = {"contexts": CONTEXTS, "calling_ae_title": "KARNAK", "called_ae_title": "PACS"} | options
    return Association.open("127.0.0.1", port, **options)


def accept(peer, *, max_pdu_length=131072, window=None, contexts=None):
    """Play the acceptor of an association."""
    kind, content = peer.pdu()
    assert kind == pdu.A_ASSOCIATE_RQ
    proposal = negotiation.decode_request(pdu.PDU_HEADER.pack(kind, len(content)) + content)
    if contexts is None:
        contexts = {key: (0, context.transfer_syntaxes[0]) for key, context in proposal.contexts.items()}
    answer = negotiation.encode_acceptance(proposal, contexts, window or 1)
    peer.send(answer.replace(b"\x51\0\0\4\0\2\0\0", b"\x51\0\0\4" + max_pdu_length.to_bytes(4, "big")))
    return proposal


def read_store(peer, longest=131072):
    """Read a C-STORE-RQ and its data set; return both, and the lengths of the PDUs."""
    elements, data, lengths, encoded = {}, b"", [], b""
    while True:
        kind, content = peer.pdu()
        assert kind == pdu.P_DATA_TF
        assert len(content) <= longest
        lengths.append(len(content))
        length, _, control = pdu.PDV_HEADER.unpack_from(content)
        assert length == len(content) - 4
        if control & pdu.COMMAND:
            encoded += content[6:]
            elements = command.decode(encoded)
            continue
        data += content[6:]
        if control & pdu.LAST:
            return elements, data, lengths


def release(peer):
    assert peer.pdu() == (pdu.A_RELEASE_RQ, bytes(4))
    peer.send(pdu.RELEASE_RESPONSE)
    peer.ended()


@pytest.mark.parametrize(
    "rejection", [value for value in vars(rejections).values() if isinstance(value, rejections.Rejection)], ids=str
)
def test_a_rejection_is_said_in_words(make_script, rejection):
    def play(peer):
        peer.pdu()
        peer.send(negotiation.encode_rejection(rejection))

    script = make_script(play)
    with pytest.raises(AssociationRejected) as caught:
        open_association(script.port)
    assert str(caught.value) == f"rejected by PACS at 127.0.0.1:{script.port}: {rejection}"
    assert caught.value.permanent == (rejection.result == 1)


def test_the_words_of_a_rejection_name_peer_reason_and_permanence():
    error = AssociationRejected("PACS at 10.0.0.7:104", 1, 1, 7)
    assert str(error) == "rejected by PACS at 10.0.0.7:104: called AE title not recognised (permanent)"


def test_a_refused_connection_is_said_in_words():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"cannot connect to PACS at 127.0.0.1:{port}: connection refused"):
        open_association(port)


def test_an_unknown_host_is_said_in_words():
    with pytest.raises(ConnectionFailed, match=r"cannot connect to PACS at no-such-host.invalid:104"):
        Association.open("no-such-host.invalid", 104, calling_ae_title="A", called_ae_title="PACS", contexts=CONTEXTS)


def test_more_than_128_contexts_are_refused_before_connecting():
    with pytest.raises(ValueError, match="129 presentation contexts"):
        open_association(1, contexts=CONTEXTS[:1] * 129)
    with pytest.raises(ValueError, match="0 presentation contexts"):
        open_association(1, contexts=[])


@pytest.mark.parametrize("title", ["", " ", "A" * 17, "Ä", "A\n"])
def test_an_impossible_ae_title_is_refused_before_connecting(title):
    with pytest.raises(ValueError, match="AE title"):
        open_association(1, called_ae_title=title)


@pytest.mark.parametrize("answer", [b"", b"\2\0\0\0"], ids=["silent", "half an answer"])
def test_a_peer_that_does_not_answer_ends_by_the_acse_timeout(make_script, answer):
    def play(peer):
        peer.pdu()
        peer.send(answer)
        assert peer.aborted() == (pdu.SERVICE_USER, 0)

    with pytest.raises(PeerTimeout, match="no answer to the association request from PACS"):
        open_association(make_script(play).port, timeouts=Timeouts(acse=0.2))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", ProtocolError),
        (pdu.PDU_HEADER.pack(2, 0xFFFFFFF0), ProtocolError),
        (pdu.PDU_HEADER.pack(2, 100) + b"\x20" * 100, ProtocolError),
        (pdu.PDU_HEADER.pack(4, 100), ProtocolError),
        (pdu.abort_pdu(2, 1), AssociationAborted),
        (b"", ConnectionLost),
    ],
)
def test_an_answer_that_is_none_ends_the_request(make_script, answer, error):
    def play(peer):
        peer.pdu()
        peer.send(answer)
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(1000):
            pass

    with pytest.raises(error):
        open_association(make_script(play).port)


#: what the peer says of its PDUs, and how long ours are then
LENGTHS = [(0, 1 << 20), (128, 128), (4096, 4096), (4097, 4096), (16384, 16384), (1 << 24, 1 << 20)]


@pytest.mark.parametrize(
    ("max_pdu_length", "longest", "size"),
    [
        *((*lengths, size) for lengths in LENGTHS for size in (2, 4090, 300_000)),
        # of several of the longest PDUs
        (0, 1 << 20, 3_000_000),
        (1 << 24, 1 << 20, 3_000_000),
    ],
)
def test_data_sets_of_any_length_fit_the_pdus_of_the_peer(make_script, max_pdu_length, longest, size):
    data = (bytes(range(256)) * (size // 256 + 1))[:size]

    def play(peer):
        accept(peer, max_pdu_length=max_pdu_length)
        for start in (0, 3):
            elements, received, _ = read_store(peer, longest)
            assert received == data[start:]
            peer.send(store_ok(elements))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, io.BytesIO(data), 0).status == 0
        chunks = [data[at : at + 70_001] for at in range(3, size, 70_001)] if size > 3 else [data[3:]]
        assert assoc.send_c_store(CT, "1.2.3", 1, chunks).status == 0


def store_ok(elements, status=0):
    message_id = command.number(elements, command.MESSAGE_ID)
    encoded = command.short_element(command.COMMAND_FIELD, command.C_STORE_RSP)
    encoded += command.short_element(command.MESSAGE_ID_BEING_RESPONDED_TO, message_id)
    encoded += command.short_element(command.COMMAND_DATA_SET_TYPE, command.NO_DATA_SET)
    encoded += command.short_element(command.STATUS, status)
    return pdu.command_pdus(1, command.with_group_length(encoded), 1000)


def test_offset_and_length_choose_a_part_of_the_file(make_script, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"preamble" + b"data set" + b"trailer")

    def play(peer):
        accept(peer)
        for _ in range(3):
            elements, received, _ = read_store(peer)
            assert received == b"data set"
            peer.send(store_ok(elements))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, path, 8, 8).status == 0
        assert assoc.send_c_store(CT, "1.2.3", 1, str(path), 8, 8).status == 0
        with path.open("rb") as file:
            assert assoc.send_c_store(CT, "1.2.3", 1, file, 8, 8).status == 0


def test_chunks_of_every_shape_arrive_in_order(make_script):
    chunks = [b"a", b"", bytearray(b"b" * 9), memoryview(b"c" * 5000), b"d" * 4090, b"e" * 4090, b"", b"f"]
    whole = b"".join(chunks)

    def play(peer):
        accept(peer, max_pdu_length=4096)
        elements, received, lengths = read_store(peer, 4096)
        assert received == whole
        assert set(lengths[1:-1]) == {4096}
        peer.send(store_ok(elements))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, iter(chunks)).status == 0


def test_a_response_tells_comment_and_offending_elements(make_script):
    def play(peer):
        accept(peer)
        read_store(peer)
        elements = command.short_element(command.COMMAND_FIELD, command.C_STORE_RSP)
        elements += command.short_element(command.MESSAGE_ID_BEING_RESPONDED_TO, 1)
        elements += command.short_element(command.COMMAND_DATA_SET_TYPE, command.NO_DATA_SET)
        elements += command.short_element(command.STATUS, 0xA900)
        elements += b"\0\0\1\x09\x08\0\0\0" + b"\x10\0\x20\0\x10\0\x30\0"
        elements += command.text_element(command.ERROR_COMMENT, "no", b" ")
        peer.send(pdu.command_pdus(1, command.with_group_length(elements), 50))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        response = assoc.send_c_store(CT, "1.2.3", 1, [b"data"])
    assert response == StoreResponse(1, 0xA900, "no", (0x00100020, 0x00100030))


def test_the_window_is_what_both_agree_on(make_script):
    def play(peer):
        assert accept(peer, window=4).window == (16, 1)
        requests = [read_store(peer)[0] for _ in range(4)]
        peer.send(*(store_ok(elements) for elements in reversed(requests)))
        peer.send(store_ok(read_store(peer)[0], 0xB000))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        assert assoc.window == 4
        for _ in range(4):
            assoc.start_c_store(CT, "1.2.3", 1, [b"data"])
        assert assoc.outstanding == 4
        # the fifth waits for an answer first
        assert assoc.start_c_store(CT, "1.2.3", 1, [b"data"]) == 5
        assert [assoc.next_response().message_id for _ in range(5)] == [4, 3, 2, 1, 5]
        with pytest.raises(ValueError, match="outstanding"):
            assoc.next_response()


def test_without_negotiation_one_operation_is_outstanding(make_script):
    def play(peer):
        assert accept(peer).window is None
        release(peer)

    with open_association(make_script(play).port, max_operations=1) as assoc:
        assert assoc.window == 1


def test_only_what_was_offered_counts_as_accepted(make_script):
    def play(peer):
        accept(peer, contexts={1: (0, "1.2.840.10008.1.2.4.50"), 3: (0, IMPLICIT), 5: (3, IMPLICIT), 7: (0, IMPLICIT)})
        release(peer)

    contexts = [*CONTEXTS, ProposedContext(CT, [IMPLICIT])]
    with open_association(make_script(play).port, contexts=contexts) as assoc:
        assert assoc.accepted == {"1.2.840.10008.1.1": {IMPLICIT: 3}}
        assert assoc.accepts(CT, EXPLICIT) is None
        assert assoc.accepts("1.2.840.10008.1.1", IMPLICIT) == 3


def test_an_early_refusal_is_returned_although_the_peer_stops_reading(make_script):
    def play(peer):
        accept(peer)
        _, content = peer.pdu()
        peer.send(store_ok(command.decode(content[6:]), 0xA700))
        refused.set()
        assert over.wait(60)

    def chunks():
        yield bytes(1 << 20)
        # it comes before the time for sending is over
        assert refused.wait(60)
        for _ in range(100):
            yield bytes(1 << 20)

    refused, over = threading.Event(), threading.Event()
    assoc = open_association(make_script(play).port, timeouts=Timeouts(send=0.3))
    try:
        assoc.start_c_store(CT, "1.2.3", 1, chunks())
        assert assoc.next_response().status == 0xA700
        assert not assoc.is_alive()
    finally:
        over.set()


def test_an_early_refusal_of_a_peer_that_reads_on_leaves_the_association_usable(make_script):
    def play(peer):
        accept(peer)
        _, content = peer.pdu()
        peer.send(store_ok(command.decode(content[6:]), 0xA700))
        read_store(peer)
        peer.send(store_ok(read_store(peer)[0]))
        release(peer)

    with open_association(make_script(play).port) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, (bytes(1 << 20) for _ in range(20))).status == 0xA700
        assert assoc.send_c_store(CT, "1.2.3", 1, [b"data"]).status == 0


@pytest.mark.parametrize("reads_on", [True, False])
def test_an_abort_in_the_middle_of_a_data_set_is_noticed(make_script, reads_on):
    def play(peer):
        accept(peer)
        peer.pdu()
        peer.send(pdu.abort_pdu(2, 6))
        if reads_on:
            while peer.socket.recv(1 << 16):
                pass

    assoc = open_association(make_script(play).port)
    with pytest.raises(AssociationAborted, match=r"aborted by PACS .* invalid PDU parameter value"):
        assoc.send_c_store(CT, "1.2.3", 1, (bytes(1 << 20) for _ in range(1000)))
    assert not assoc.is_alive()
    with pytest.raises(AssociationAborted):
        assoc.send_c_store(CT, "1.2.3", 1, [b"data"])
    assoc.release()
    assoc.abort()


def test_a_peer_that_takes_no_data_ends_by_the_send_timeout(make_script):
    def play(peer):
        accept(peer)
        assert over.wait(60)

    over = threading.Event()
    assoc = open_association(make_script(play).port, timeouts=Timeouts(send=0.2))
    try:
        with pytest.raises(PeerTimeout, match=r"PACS at .* took no data in time"):
            assoc.send_c_store(CT, "1.2.3", 1, (bytes(1 << 20) for _ in range(100)))
    finally:
        over.set()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", PeerTimeout),
        (b"\4\0\0", PeerTimeout),
        (pdu.abort_pdu(0), AssociationAborted),
        (pdu.RELEASE_REQUEST, AssociationReleased),
        (pdu.RELEASE_RESPONSE, ProtocolError),
        (pdu.PDU_HEADER.pack(4, 0x7FFFFFFF), ProtocolError),
        (b"\xff" * 10, ProtocolError),
    ],
)
def test_without_a_response_the_association_is_over(make_script, answer, error):
    def play(peer):
        accept(peer)
        read_store(peer)
        peer.send(answer)
        while peer.socket.recv(1000):
            pass

    short = Timeouts(dimse=0.2, pdu=0.2) if error is PeerTimeout else Timeouts()
    assoc = open_association(make_script(play).port, timeouts=short)
    with pytest.raises(error):
        assoc.send_c_store(CT, "1.2.3", 1, [b"data"])
    assert not assoc.is_alive()
    assoc.release()


def test_a_closed_connection_instead_of_a_response_is_a_lost_one(make_script):
    def play(peer):
        accept(peer)
        read_store(peer)

    assoc = open_association(make_script(play).port)
    with pytest.raises(ConnectionLost, match=r"PACS at 127.0.0.1"):
        assoc.send_c_store(CT, "1.2.3", 1, [b"data"])


def test_a_response_to_something_else_is_a_protocol_error(make_script, wire):
    def play(peer):
        accept(peer)
        read_store(peer)
        peer.send(wire.store_response(77))
        assert peer.aborted() == (pdu.SERVICE_PROVIDER, pdu.UNEXPECTED_PARAMETER)

    with pytest.raises(ProtocolError, match=r"PACS at .*: a response to no request"):
        open_association(make_script(play).port).send_c_store(CT, "1.2.3", 1, [b"data"])


@pytest.mark.parametrize("said", [b"", pdu.abort_pdu(0), pdu.RELEASE_REQUEST], ids=["closed", "abort", "release"])
def test_an_association_the_peer_has_ended_is_not_alive(make_script, wire, said):
    def play(peer):
        accept(peer)
        peer.send(store_ok(read_store(peer)[0]))
        assert stored.wait(60)
        peer.send(said)

    stored = threading.Event()
    assoc = open_association(make_script(play).port)
    assoc.send_c_store(CT, "1.2.3", 1, [b"data"])
    assert assoc.is_alive()
    stored.set()
    wire.eventually(lambda: not assoc.is_alive())


def test_a_file_shorter_than_said_aborts_what_was_begun(make_script, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 << 20))

    def play(peer):
        accept(peer)
        with pytest.raises((AssertionError, EOFError)):
            read_store(peer)

    assoc = open_association(make_script(play).port)
    with pytest.raises(EOFError):
        assoc.send_c_store(CT, "1.2.3", 1, path, 0, 4 << 20)
    assert not assoc.is_alive()


def test_a_source_that_fails_before_anything_was_sent_leaves_the_association_usable(make_script, tmp_path):
    def play(peer):
        accept(peer)
        peer.send(store_ok(read_store(peer)[0]))
        release(peer)

    def failing():
        raise ZeroDivisionError
        yield b""

    with open_association(make_script(play).port) as assoc:
        with pytest.raises(FileNotFoundError):
            assoc.send_c_store(CT, "1.2.3", 1, tmp_path / "missing")
        with pytest.raises(ZeroDivisionError):
            assoc.send_c_store(CT, "1.2.3", 1, failing())
        assert assoc.send_c_store(CT, "1.2.3", 1, [b"data"]).status == 0


def test_both_asking_to_release_ends_cleanly(make_script):
    def play(peer):
        accept(peer)
        assert peer.pdu()[0] == pdu.A_RELEASE_RQ
        peer.send(pdu.RELEASE_REQUEST)
        assert peer.pdu()[0] == pdu.A_RELEASE_RP
        peer.send(pdu.RELEASE_RESPONSE)
        peer.ended()

    open_association(make_script(play).port).release()


def test_a_release_that_is_not_answered_becomes_an_abort(make_script):
    def play(peer):
        accept(peer)
        assert peer.pdu()[0] == pdu.A_RELEASE_RQ
        assert peer.aborted() == (pdu.SERVICE_USER, 0)

    # the answer to the request for the association has to come in this time, too
    open_association(make_script(play).port, timeouts=Timeouts(acse=2.0)).release()


def test_an_exception_in_the_with_block_aborts(make_script):
    def play(peer):
        accept(peer)
        assert peer.aborted() == (pdu.SERVICE_USER, 0)

    with pytest.raises(ZeroDivisionError), open_association(make_script(play).port):
        raise ZeroDivisionError


def test_a_maximum_pdu_length_that_is_nonsense_is_aborted(make_script):
    def play(peer):
        accept(peer, max_pdu_length=5)
        assert peer.aborted()[0] == pdu.SERVICE_PROVIDER

    with pytest.raises(ProtocolError, match="maximum PDU length of 5"):
        open_association(make_script(play).port)
