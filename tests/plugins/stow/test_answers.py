"""What each answer of a server means for each instance, with a reason that a person can act on."""

from __future__ import annotations

import gzip

import pytest
from scripted import MakeInstances, MakePart, Request, Say, ScriptedServer, as_json, as_xml, in_both, item, listed

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Outgoing, Sent
from karnak_plugins.stow_dest.stow import StoreOverHTTP

NAME = "Test^Nobody"


def outcome(part: StoreOverHTTP, outgoing: Outgoing) -> Sent | DeliveryError:
    ((answered, answer),) = part.send_batch([outgoing])
    assert answered is outgoing
    if isinstance(answer, DeliveryError):
        assert answer.reason.isprintable()
        assert outgoing.sop_instance_uid not in answer.reason
        assert NAME not in answer.reason
        assert len(answer.reason) < 500
    return answer


# ---- statuses that speak for all of a request --------------------------------------------------------------------

RETRYABLE = [408, 423, 425, 429, 500, 502, 503, 504, 507, 599]
PERMANENT = [400, 404, 405, 406, 410, 411, 413, 415, 422, 431, 451, 501, 505]
MISCONFIGURED = [300, 301, 302, 303, 307, 308, 401, 403, 407, 511]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Retryable) for status in RETRYABLE),
        *((status, Permanent) for status in PERMANENT),
        *((status, Misconfigured) for status in MISCONFIGURED),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>Test^Nobody has it already</html>", b'{"title": "Test^Nobody"}'])
def test_a_status_decides(
    server: ScriptedServer,
    make_part: MakePart,
    make_instances: MakeInstances,
    status: int,
    kind: type[DeliveryError],
    body: bytes,
) -> None:
    server.steps = [Say(status=status, body=body, type="text/html")]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert type(answer) is kind
    assert isinstance(answer, DeliveryError)
    assert answer.reason.startswith(f"STOW-RS refused by 127.0.0.1:{server.port}: HTTP {status}: ")
    assert server.faults == []


def test_413_says_where_such_limits_are(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Say(status=413)]
    answer = outcome(make_part(server.url), make_instances(pixels=900)[0])
    assert isinstance(answer, Permanent)
    for word in ("below 2 MB", "nginx client_max_body_size (1 MB", "IIS maxAllowedContentLength (30 MB"):
        assert word in answer.reason


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_says_where_it_leads(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int
) -> None:
    server.steps = [Say(status=status, headers={"Location": "https://other.example.org/secret-token/studies?t=1"})]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert isinstance(answer, Misconfigured)
    assert "to https://other.example.org; instances are not sent on: put the address" in answer.reason
    assert "secret-token" not in answer.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["/login", "http://[bad", "", "javascript:alert(1)"])
def test_a_redirect_to_anything_has_a_reason(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, value: str
) -> None:
    server.steps = [Say(status=302, headers={"Location": value})]
    assert isinstance(outcome(make_part(server.url), make_instances()[0]), Misconfigured)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:30:00 GMT", "X-Date": "1"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "9" * 400}, 999999999.0),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after_is_honoured(
    server: ScriptedServer,
    make_part: MakePart,
    make_instances: MakeInstances,
    status: int,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    server.steps = [Say(status=status, headers=headers)]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert isinstance(answer, Retryable)
    assert answer.retry_after == seconds


def test_retry_after_as_a_date_goes_by_the_servers_clock() -> None:
    from karnak_plugins.stow_dest.client import Reply
    from karnak_plugins.stow_dest.words import retry_after

    headers = {"Retry-After": "Wed, 21 Oct 2015 07:30:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(Reply(status=503, phrase="", headers=headers)) == 120.0


def test_a_server_that_asks_for_a_pause_gets_it(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Say(status=429, headers={"Retry-After": "60"})]
    part = make_part(server.url, max_instances_per_request=2)
    instances = make_instances(6)
    for _ in range(2):
        answers = dict(enumerate(part.send_batch(instances)))
        assert len(answers) == 6
        for _, answer in answers.values():
            assert isinstance(answer, Retryable)
            assert answer.retry_after
            assert 50 < answer.retry_after <= 60
    assert len(server.requests) == 1


# ---- the server's own words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (Say(status=400, phrase="Length Required"), '"Length Required"'),
        (Say(status=400, phrase="Bad Request", body=b'{"title": "Payment Required"}'), '"Payment Required"'),
        (Say(status=400, body=b'{"error": {"status": "INVALID_ARGUMENT", "message": "Doe^John"}}'), "INVALID_ARGUMENT"),
        (Say(status=403, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'}), "insufficient_scope"),
    ],
)
def test_machine_readable_words_of_the_server_are_told(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, say: Say, words: str
) -> None:
    server.steps = [say]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert isinstance(answer, DeliveryError)
    assert words in answer.reason
    assert "Doe" not in answer.reason


@pytest.mark.parametrize(
    "text", ["Test^Nobody exists", "NOBODY TEST refused", "TEST-1 of 19700101", "1.2.840.113 exists", "x" * 90, "a\tb"]
)
def test_words_that_may_be_a_patients_are_not_told(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, text: str
) -> None:
    server.steps = [Say(status=400, phrase=text.replace("\t", " 1"), body=as_json({"title": text}))]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert isinstance(answer, Permanent)
    assert answer.reason == f"STOW-RS refused by 127.0.0.1:{server.port}: HTTP 400: takes it for malformed"


# ---- answers about single instances ------------------------------------------------------------------------------

REASONS = [
    (0x0110, Retryable), (272, Retryable), (0xA700, Retryable), (0xA7FF, Retryable), (0x0213, Retryable),
    (45071, Retryable), (0xA900, Permanent), (43265, Permanent), (0xA9FF, Permanent), (0xC000, Permanent),
    (0xC122, Permanent), (0xCFFF, Permanent), (0x0122, Permanent), (0x0117, Permanent), (0xFFFF, Permanent),
    (7, Permanent), (70000, Permanent), (-1, Permanent), (0x0124, Misconfigured),
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize(("reason", "kind"), REASONS)
def test_a_failure_reason_decides(
    server: ScriptedServer,
    make_part: MakePart,
    make_instances: MakeInstances,
    status: int,
    reason: int,
    kind: type[DeliveryError],
) -> None:
    (outgoing,) = make_instances()
    part = make_part(server.url)
    for say in in_both(status, failed=[item(outgoing.sop_instance_uid, failure=reason)]):
        server.steps = [say]
        answer = outcome(part, outgoing)
        assert type(answer) is kind
        assert isinstance(answer, DeliveryError)
        assert f"refused by 127.0.0.1:{server.port}: 0x{reason:04X} " in answer.reason


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize("reason", [0x0111, 45070])
def test_a_duplicate_is_done(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int, reason: int
) -> None:
    (outgoing,) = make_instances()
    part = make_part(server.url)
    for say in in_both(status, failed=[item(outgoing.sop_instance_uid, failure=reason)]):
        server.steps = [say]
        answer = outcome(part, outgoing)
        assert isinstance(answer, Sent)
        assert answer.duplicate
        assert answer.warning.startswith(f"0x{reason:04X} ")


def test_a_failure_without_a_reason_is_tried_again(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    (outgoing,) = make_instances()
    server.steps = [Say(status=409, body=as_json(listed(failed=[item(outgoing.sop_instance_uid)])))]
    answer = outcome(make_part(server.url), outgoing)
    assert type(answer) is Retryable
    assert "no failure reason given" in answer.reason


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize(
    ("warning", "words"),
    [
        (0xB000, "0xB000 coercion of data elements"),
        (0xB006, "0xB006 elements discarded"),
        (0xB007, "0xB007 data set does not match SOP class"),
        (1, "0x0001 requested optional attributes are not supported"),
        (0xC000, "0xC000 warning"),
        (0, ""),
    ],
)
def test_what_is_stored_is_sent_with_its_warning(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int, warning: int, words: str
) -> None:
    (outgoing,) = make_instances()
    part = make_part(server.url)
    for say in in_both(status, stored=[item(outgoing.sop_instance_uid, warning=warning)]):
        server.steps = [say]
        assert outcome(part, outgoing) == Sent(warning=words)


@pytest.mark.parametrize("as_xml_too", [0, 1])
def test_each_instance_of_a_request_has_its_own_outcome(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, as_xml_too: int
) -> None:
    stored, warned, full, wrong, there, unlisted = instances = make_instances(6)
    server.steps = [
        in_both(
            202,
            stored=[item(stored.sop_instance_uid), item(warned.sop_instance_uid, warning=0xB000)],
            failed=[
                item(full.sop_instance_uid, failure=0xA700),
                item(wrong.sop_instance_uid, failure=0xA900),
                item(there.sop_instance_uid, failure=0x0111),
            ],
        )[as_xml_too]
    ]
    answers = [answer for _, answer in sorted(make_part(server.url).send_batch(instances), key=order_of(instances))]
    assert answers[:2] == [Sent(), Sent(warning="0xB000 coercion of data elements")]
    assert type(answers[2]) is Retryable
    assert type(answers[3]) is Permanent
    assert answers[4] == Sent(duplicate=True, warning="0x0111 duplicate SOP instance")
    assert type(answers[5]) is Retryable
    assert "lists the instance neither as stored nor as failed" in str(answers[5])
    assert unlisted.sop_instance_uid not in str(answers[5])
    assert len(server.requests) == 1


def order_of(instances: list[Outgoing]):  # type: ignore[no-untyped-def]
    return lambda pair: instances.index(pair[0])


def test_what_holds_the_destination_comes_after_what_was_stored(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    refused, stored = make_instances(2)
    server.steps = [
        Say(
            status=202,
            body=as_json(
                listed(stored=[item(stored.sop_instance_uid)], failed=[item(refused.sop_instance_uid, failure=0x0124)])
            ),
        )
    ]
    answers = list(make_part(server.url).send_batch([refused, stored]))
    assert answers[0] == (stored, Sent())
    assert isinstance(answers[1][1], Misconfigured)


def test_an_instance_in_both_sequences_is_not_sent(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    (outgoing,) = make_instances()
    uid = outgoing.sop_instance_uid
    server.steps = [Say(body=as_json(listed(stored=[item(uid)], failed=[item(uid, failure=0xA700)])))]
    assert type(outcome(make_part(server.url), outgoing)) is Retryable


def test_a_failure_without_uid_is_that_of_the_only_instance(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Say(status=409, body=as_json(listed(failed=[item(failure=0xC000)])))]
    assert type(outcome(make_part(server.url), make_instances()[0])) is Permanent


def test_failures_without_uid_are_found_by_sending_one_at_a_time(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    good, bad, other = make_instances(3)

    def unreadable(request: Request) -> Say:
        stored = [item(uid) for uid in request.uids if uid != bad.sop_instance_uid]
        failed = [item(failure=0xC000)] if bad.sop_instance_uid in request.uids else []
        # and it forgets one when it fails
        return Say(
            status=202 if stored else 409, body=as_json(listed(stored=stored[: 1 if failed else 9], failed=failed))
        )

    server.steps = [unreadable] * 3
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch([good, bad, other])}
    assert answers[id(good)] == answers[id(other)] == Sent()
    assert isinstance(answers[id(bad)], Permanent)


# ---- forms of answers --------------------------------------------------------------------------------------------


def forms(uid: str) -> dict[str, Say]:
    ds = listed(stored=[item(uid)])
    json_text, xml = as_json(ds), as_xml(ds)
    wrapped = b"--b1\r\nContent-Type: application/dicom+xml\r\n\r\n" + xml + b"\r\n--b1--\r\n"
    multipart = 'multipart/related; type="application/dicom+xml"; boundary=b1'
    return {
        "JSON as XML": Say(body=json_text, type="application/dicom+xml"),
        "XML as JSON": Say(body=xml, type="application/dicom+json"),
        "XML as text": Say(body=xml, type="text/plain"),
        "without a type": Say(body=json_text, type=""),
        "JSON list": Say(body=b"[" + json_text + b"]"),
        "JSON with a mark": Say(body=b"\xef\xbb\xbf" + json_text),
        "XML without namespace": Say(body=as_xml(ds, namespace=False)),
        "XML with prefix": Say(body=xml.replace(b"<", b"<d:").replace(b"<d:/", b"</d:").replace(b"<d:?", b"<?")),
        "XML in UTF-16": Say(body=xml.decode().replace("UTF-8", "UTF-16").encode("utf-16")),
        "multipart": Say(body=wrapped, type=multipart),
        "multipart, bare line ends": Say(body=wrapped.replace(b"\r\n", b"\n"), type=multipart),
        "gzip": Say(body=gzip.compress(json_text), headers={"Content-Encoding": "gzip"}),
        "padded UID": Say(body=as_json(listed(stored=[item(uid + "\0")]))),
        "lower case tags": Say(body=xml.replace(b'vr="UI"', b"vr='UI'")),
    }


@pytest.mark.parametrize("form", forms(""))
def test_an_answer_is_understood_in_every_form(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, form: str
) -> None:
    (outgoing,) = make_instances()
    server.steps = [forms(outgoing.sop_instance_uid)[form]]
    assert outcome(make_part(server.url), outgoing) == Sent()


BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><NativeDicomModel>&b;</NativeDicomModel>'
UNUSABLE = {
    "nothing": Say(),
    "no content": Say(status=204),
    "HTML": Say(body=b"<html><body>Stored Test^Nobody</body></html>", type="text/html"),
    "entities": Say(body=BOMB, type="application/dicom+xml"),
    "broken XML": Say(body=b"<NativeDicomModel><DicomAttribute"),
    "broken JSON": Say(body=b'{"00081199": '),
    "deep JSON": Say(body=b"[" * 100_000),
    "deep XML": Say(body=b"<a>" * 100_000),
    "long number": Say(body=b"1" * 100_000),
    "text": Say(body=b"OK", type="text/plain"),
    "empty object": Say(body=b"{}"),
    "null": Say(body=b"null"),
    "wrong shapes": Say(body=b'{"00081199": {"Value": [1, null, {"00081155": {"Value": [null]}}]}, "00081198": 4}'),
    "another instance": Say(body=as_json(listed(stored=[item("1.2.3.4")]))),
    "broken gzip": Say(body=b'{"00081199": 1}', headers={"Content-Encoding": "gzip"}),
    "huge": Say(body=b" " * 9_000_000 + b"{}"),
    "gzip bomb": Say(body=gzip.compress(b" " * 500_000_000), headers={"Content-Encoding": "gzip"}),
    "multipart without an end": Say(body=b"--b\r\nContent-Type: x"),
}


@pytest.mark.parametrize("form", UNUSABLE)
def test_success_without_a_word_about_the_instance_is_not_believed(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, form: str
) -> None:
    server.steps = [UNUSABLE[form]]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert type(answer) is Retryable
    assert "verify: true would ask it by QIDO-RS" in answer.reason


@pytest.mark.parametrize("form", [form for form in UNUSABLE if form not in ("no content", "another instance")])
def test_conflict_without_a_word_about_the_instance_is_a_duplicate_unconfirmed(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, form: str
) -> None:
    say = UNUSABLE[form]
    server.steps = [Say(status=409, body=say.body, headers=say.headers)]
    answer = outcome(make_part(server.url), make_instances()[0])
    assert isinstance(answer, Sent)
    assert answer.duplicate
    assert answer.warning.startswith("unconfirmed: ")
    assert NAME not in answer.warning


def test_no_answer_is_more_than_unreachable() -> None:
    assert issubclass(Unreachable, Retryable)
