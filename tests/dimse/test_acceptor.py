"""What an acceptor grants and answers, seen by a peer that speaks in bytes."""

from __future__ import annotations

import errno

import pytest

from karnak_core.dimse import ProposedContext, StoreAnswer, command, negotiation, pdu, rejections

PRIVATE = "1.3.12.2.1107.5.9.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def test_echo_is_answered_with_success(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.echo_message(7))
    response = peer.response()
    assert command.number(response, command.COMMAND_FIELD) == command.C_ECHO_RSP
    assert command.number(response, command.MESSAGE_ID_BEING_RESPONDED_TO) == 7
    assert command.number(response, command.STATUS) == 0


def test_data_set_arrives_byte_for_byte_with_its_request(acceptor, wire):
    data = bytes(range(256)) * 500
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(data, 5, sop_instance="1.2.3.4"))
    response = peer.response()
    assert command.text(response, command.AFFECTED_SOP_INSTANCE_UID) == "1.2.3.4"
    assert command.text(response, command.AFFECTED_SOP_CLASS_UID) == wire.CT
    store = acceptor.receiver.stores[0]
    assert bytes(store.data) == data
    assert (store.finished, store.discarded) == (1, 0)
    assert store.request.sop_class_uid == wire.CT
    assert store.request.sop_instance_uid == "1.2.3.4"
    assert store.request.transfer_syntax_uid == wire.EXPLICIT
    assert store.request.message_id == 5
    assert store.request.association.calling_ae_title == "CT1"
    assert store.request.association.called_ae_title == "KARNAK"
    assert store.request.association.peer_host == "127.0.0.1"


def test_fragments_of_command_and_data_may_share_a_pdu(acceptor, wire):
    message = wire.command_set(command.C_STORE_RQ, 1)
    pdvs = [(1, 1, message[:50]), (1, 3, message[50:]), (1, 0, b"ab"), (1, 0, b""), (1, 2, b"cd")]
    content = b"".join(pdu.PDV_HEADER.pack(len(d) + 2, c, control) + d for c, control, d in pdvs)
    peer = acceptor.client()
    peer.associate()
    peer.send(pdu.PDU_HEADER.pack(pdu.P_DATA_TF, len(content)) + content)
    assert peer.status() == 0
    assert bytes(acceptor.receiver.stores[0].data) == b"abcd"


def test_a_message_arriving_byte_by_byte_is_stored(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    for byte in wire.store_message(b"0123456789" * 30, size=64):
        peer.send(bytes([byte]))
    assert peer.status() == 0
    assert bytes(acceptor.receiver.stores[0].data) == b"0123456789" * 30


def test_requests_sent_ahead_are_answered_in_order(acceptor, wire):
    peer = acceptor.client()
    acceptance = peer.associate(max_operations=50)
    assert acceptance.window == (16, 1)
    peer.send(*(wire.store_message(b"x" * 3000, number) for number in range(1, 41)))
    answered = [command.number(peer.response(), command.MESSAGE_ID_BEING_RESPONDED_TO) for _ in range(40)]
    assert answered == list(range(1, 41))


def test_unlimited_operations_are_granted_as_sixteen(acceptor):
    assert acceptor.client().associate(max_operations=0).window == (16, 1)


def test_the_first_known_transfer_syntax_of_the_requestor_is_accepted(acceptor, wire):
    jpeg_ls = "1.2.840.10008.1.2.4.80"
    acceptance = acceptor.client().associate(
        ProposedContext(wire.CT, ["1.2.3.4.5.6", jpeg_ls, wire.EXPLICIT]),
        ProposedContext(wire.CT, [wire.IMPLICIT, wire.EXPLICIT]),
        ProposedContext(wire.CT, ["1.2.3.4.5.6"]),
        ProposedContext(STUDY_ROOT_FIND, [wire.IMPLICIT]),
        ProposedContext(PRIVATE, [wire.IMPLICIT]),
    )
    assert acceptance.contexts[1] == (0, jpeg_ls)
    assert acceptance.contexts[3] == (0, wire.IMPLICIT)
    assert acceptance.contexts[5][0] == negotiation.TRANSFER_SYNTAXES_NOT_SUPPORTED
    assert acceptance.contexts[7][0] == negotiation.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert acceptance.contexts[9] == (0, wire.IMPLICIT)
    assert acceptance.max_pdu_length == 131072


def test_128_contexts_are_negotiated(acceptor, wire):
    contexts = [ProposedContext(f"{wire.CT}.{number}", [wire.EXPLICIT]) for number in range(128)]
    acceptance = acceptor.client().associate(*contexts)
    assert len(acceptance.contexts) == 128
    assert all(result == 0 for result, _ in acceptance.contexts.values())


def test_unknown_items_user_identity_and_roles_do_not_disturb(acceptor, wire):
    request = wire.associate_request()
    identity = bytes.fromhex("5800000a 01 00 0004 75736572 0000".replace(" ", ""))
    role = bytes([0x54, 0, 0, 4 + len(wire.CT), 0, len(wire.CT)]) + wire.CT.encode() + b"\1\1"
    unknown = b"\x5f\0\0\2zz"
    at = request.rindex(b"\x50\0")
    length = int.from_bytes(request[at + 2 : at + 4], "big")
    user = request[at + 4 :] + identity + role + unknown
    assert len(request[at + 4 :]) == length
    content = request[6:at] + b"\x50\0" + len(user).to_bytes(2, "big") + user + b"\x77\0\0\0"
    peer = acceptor.client()
    peer.send(pdu.PDU_HEADER.pack(1, len(content)) + content)
    kind, answer = peer.pdu()
    assert kind == pdu.A_ASSOCIATE_AC
    assert bytes([0x54, 0, 0, 4 + len(wire.CT), 0, len(wire.CT)]) + wire.CT.encode() + b"\1\0" in answer


def test_padded_uids_are_read_and_syntaxes_that_are_no_uids_refused(acceptor, wire, caplog):
    request = wire.associate_request(
        ProposedContext(wire.CT + ".10", ["1.2.840.10008.1.2.20"]),
        ProposedContext("1.22.3", ["1.22.3"]),
        ProposedContext(wire.CT, ["1.22.3", wire.IMPLICIT]),
    )
    request = request.replace(b".1.1.2.10", b".1.1.2.1\0").replace(b"1.2.840.10008.1.2.20", b"1.2.840.10008.1.2.2 ")
    peer = acceptor.client()
    peer.send(request.replace(b"1.22.3", b"1.02.3"))
    kind, content = peer.pdu()
    acceptance = negotiation.decode_acceptance(pdu.PDU_HEADER.pack(kind, len(content)) + content)
    assert acceptance.contexts[1] == (0, "1.2.840.10008.1.2.2")
    assert acceptance.contexts[3][0] == negotiation.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert acceptance.contexts[5] == (0, wire.IMPLICIT)
    assert [record for record in caplog.records if record.name.startswith("py")] == []


def test_titles_padded_with_nul_and_odd_version_names_are_let_pass(acceptor, wire):
    request = bytearray(wire.associate_request().replace(b"KARNAK", b"K\n\xff\0AK"))
    request[10:42] = b"KARNAK".ljust(16, b"\0") + b"CT1".ljust(16, b"\0")
    peer = acceptor.client()
    peer.send(bytes(request))
    assert peer.pdu()[0] == pdu.A_ASSOCIATE_AC
    admitted = acceptor.receiver.admitted[0]
    assert (admitted.called_ae_title, admitted.calling_ae_title) == ("KARNAK", "CT1")
    assert admitted.implementation_version_name == ""


@pytest.mark.parametrize("title", [b"A\nB", b"A\\B", b"\x1b[1m", b"   "])
def test_a_title_that_is_none_is_aborted(acceptor, wire, title):
    request = bytearray(wire.associate_request())
    request[26:42] = title.ljust(16)
    peer = acceptor.client()
    peer.send(bytes(request))
    assert peer.aborted() == (pdu.SERVICE_PROVIDER, pdu.INVALID_PARAMETER)


@pytest.mark.parametrize(
    "rejection",
    [
        rejections.CALLED_AE_TITLE_NOT_RECOGNISED,
        rejections.CALLING_AE_TITLE_NOT_RECOGNISED,
        rejections.LOCAL_LIMIT_EXCEEDED,
        rejections.TEMPORARY_CONGESTION,
    ],
    ids=str,
)
def test_a_rejection_reaches_the_requestor(acceptor, wire, rejection):
    acceptor.receiver.rejection = rejection
    peer = acceptor.client()
    peer.send(wire.associate_request())
    kind, content = peer.pdu()
    assert kind == pdu.A_ASSOCIATE_RJ
    assert tuple(content[1:]) == (rejection.result, rejection.source, rejection.reason)
    peer.ended()
    acceptor.all_ended()
    assert acceptor.receiver.over == []


def test_an_error_while_admitting_is_no_permission(acceptor, wire):
    acceptor.receiver.admit_error = RuntimeError("who?")
    peer = acceptor.client()
    peer.send(wire.associate_request())
    assert peer.pdu() == (pdu.A_ASSOCIATE_RJ, bytes([0, 2, 3, 1]))


def test_another_application_context_is_rejected(acceptor, wire):
    peer = acceptor.client()
    peer.send(wire.associate_request().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2"))
    assert peer.pdu() == (pdu.A_ASSOCIATE_RJ, bytes([0, 1, 1, 2]))


def test_another_protocol_version_is_rejected(acceptor, wire):
    request = bytearray(wire.associate_request())
    request[7] = 2
    peer = acceptor.client()
    peer.send(bytes(request))
    assert peer.pdu() == (pdu.A_ASSOCIATE_RJ, bytes([0, 1, 2, 2]))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_answers_out_of_resources_and_the_association_goes_on(acceptor, wire, code):
    acceptor.receiver.write_error = OSError(code, "full")
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(b"x" * 50000))
    assert peer.status() == 0xA700
    assert (acceptor.receiver.stores[0].finished, acceptor.receiver.stores[0].discarded) == (0, 1)
    acceptor.receiver.write_error = None
    peer.send(wire.store_message(b"y" * 50000, 2))
    assert peer.status() == 0
    assert bytes(acceptor.receiver.stores[1].data) == b"y" * 50000


@pytest.mark.parametrize("where", ["write_error", "begin_error", "finish_error"])
def test_an_unexpected_error_answers_processing_failure_without_its_words(acceptor, wire, where):
    setattr(acceptor.receiver, where, RuntimeError("Doe^John"))
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(b"x" * 50000))
    response = peer.response()
    assert command.number(response, command.STATUS) == 0x0110
    assert "Doe" not in command.text(response, command.ERROR_COMMENT)
    setattr(acceptor.receiver, where, None)
    peer.send(wire.store_message(b"y", 2))
    assert peer.status() == 0


def test_an_answer_given_at_the_beginning_comes_after_the_data_set(acceptor, wire):
    acceptor.receiver.refusal = StoreAnswer(0x0110, "no destination is enabled: " + "x" * 100)
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(b"x" * 50000))
    response = peer.response()
    assert command.number(response, command.STATUS) == 0x0110
    assert len(command.text(response, command.ERROR_COMMENT)) == 64
    peer.send(wire.echo_message(2))
    assert peer.status() == 0


def test_other_requests_are_answered_as_unrecognised_operations(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    for field in (0x0020, 0x0021, 0x0010, 0x0100, 0x0130):
        peer.send(wire.p_data(1, 3, wire.command_set(field, 9)), wire.p_data(1, 2, b"identifier"))
        response = peer.response()
        assert command.number(response, command.STATUS) == 0x0211
        assert command.number(response, command.COMMAND_FIELD) == field | 0x8000
    peer.send(wire.p_data(1, 3, wire.command_set(command.C_CANCEL_RQ, 9, data_set=False)))
    peer.send(wire.echo_message())
    assert peer.status() == 0


@pytest.mark.parametrize(
    ("texts", "status"),
    [
        ({"sop_instance": "../../etc/passwd"}, 0x0117),
        ({"sop_instance": ""}, 0x0117),
        ({"sop_class": "1.2.840.10008.5.1.4.1.2.2.1"}, 0x0122),
        ({"data_set": False}, 0xC000),
    ],
)
def test_a_store_request_that_makes_no_sense_is_refused(acceptor, wire, texts, status):
    peer = acceptor.client()
    peer.associate()
    command_set = wire.command_set(command.C_STORE_RQ, 1, **texts)
    peer.send(wire.p_data(1, 3, command_set))
    if texts.get("data_set", True):
        peer.send(wire.p_data(1, 2, b"data"))
    assert peer.status() == status
    peer.send(wire.store_message(b"y", 2))
    assert peer.status() == 0
    assert len(acceptor.receiver.stores) == 1


def test_padding_of_uids_is_taken_off(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_message(b"y", sop_instance="1.2.34 \0"))
    assert peer.status() == 0
    assert acceptor.receiver.stores[0].request.sop_instance_uid == "1.2.34"


def test_a_response_fits_the_pdus_of_a_tiny_peer(acceptor, wire):
    request = wire.associate_request()
    assert request.count(b"\x51\0\0\4\0\2\0\0") == 1
    peer = acceptor.client()
    peer.send(request.replace(b"\x51\0\0\4\0\2\0\0", b"\x51\0\0\4\0\0\0\x40"))
    assert peer.pdu()[0] == pdu.A_ASSOCIATE_AC
    peer.send(wire.store_message(b"x"))
    collected, control = b"", 0
    while control != 3:
        kind, content = peer.pdu()
        assert kind == pdu.P_DATA_TF
        assert len(content) <= 64
        control = content[5]
        collected += content[6:]
    assert command.number(command.decode(collected), command.STATUS) == 0


def test_release_is_answered_and_ends_the_association(acceptor, wire):
    peer = acceptor.client()
    peer.associate()
    peer.send(pdu.RELEASE_REQUEST)
    assert peer.pdu() == (pdu.A_RELEASE_RP, bytes(4))
    peer.ended()
    acceptor.all_ended()
    assert len(acceptor.receiver.over) == 1


@pytest.mark.parametrize("end", ["abort", "close", "reset"])
def test_an_association_that_ends_in_mid_object_discards_it(acceptor, wire, end):
    peer = acceptor.client()
    peer.associate()
    peer.send(wire.store_command(), wire.p_data(1, 0, b"x" * 5000), wire.p_data(1, 0, b"y" * 5000)[:2000])
    wire.eventually(lambda: acceptor.receiver.stores and acceptor.receiver.stores[0].data)
    if end == "abort":
        peer.send(b"z" * 3012, pdu.abort_pdu(0))
        peer.ended()
    elif end == "close":
        peer.close()
    else:
        peer.reset()
    acceptor.all_ended()
    store = acceptor.receiver.stores[0]
    assert (store.finished, store.discarded) == (0, 1)
    assert len(acceptor.receiver.over) == 1
