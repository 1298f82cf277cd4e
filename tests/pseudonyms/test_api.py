"""Pseudonyms that a web service knows: what it is asked, and what counts as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import ValidationError
from pydicom import Dataset
from web_service import Answer, Service

from karnak_core.config.names import AuthenticatorName
from karnak_core.errors import DeliveryError, Misconfigured, NoPseudonym, Permanent, Retryable
from karnak_core.model import OpenContext, PseudonymSource
from karnak_core.pseudonyms import API
from karnak_core.pseudonyms.api import ApiSource

PATIENT = "PID/4711 é"


def patient(patient_id: str | None = PATIENT, **elements: str) -> Dataset:
    """Return what is known of a patient."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    if patient_id is not None:
        ds.PatientID = patient_id
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


@contextmanager
def asking(
    service: Service, context: OpenContext, path: str = "/{{getString(#Tag.PatientID)}}", **more: Any
) -> Iterator[PseudonymSource]:
    """Open the source on a service."""
    options = {"response_path": "/pseudonym", **more}
    opened = API.open(API.config.model_validate({"url": f"{service.url}{path}", **options}), context)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def context(tmp_path: Any) -> OpenContext:
    """What core tells."""
    return OpenContext(data_directory=tmp_path)


def failure(source: PseudonymSource, dataset: Dataset) -> DeliveryError:
    """Return why there is no pseudonym; never a word about the patient."""
    with pytest.raises(DeliveryError) as caught:
        source.pseudonym(dataset, "STUDY-A")
    assert "4711" not in caught.value.reason
    return caught.value


def test_values_are_url_encoded_in_path_and_query(service: Service, context: OpenContext) -> None:
    path = "/p/{{getString(#Tag.PatientID)}}/x?issuer={{getString(#Tag.IssuerOfPatientID)}}"
    with asking(service, context, path) as source:
        assert source.pseudonym(patient(IssuerOfPatientID="A&B=C +"), "STUDY-A") == "PSN-1"
    assert service.asked[0].path == "/p/PID%2F4711%20%C3%A9/x?issuer=A%26B%3DC%20%2B"


def test_service_that_is_not_told_who_it_is_about_is_asked_and_that_is_said_in_the_log(
    service: Service, context: OpenContext, caplog: pytest.LogCaptureFixture
) -> None:
    with asking(service, context, "/fixed") as source:
        assert source.pseudonym(patient(), "STUDY-A") == "PSN-1"
    assert "no {{…}} in url and body: all patients are given the same pseudonym" in caplog.text


def test_values_are_escaped_in_a_body_and_otherwise_inserted_as_they_are(
    service: Service, context: OpenContext
) -> None:
    body = '{"id": "{{getString(#Tag.PatientID)}}", "number": {{getString(#Tag.ProtocolName)}}}'
    with asking(service, context, "/", method="post", body=body) as source:
        source.pseudonym(patient('a"b$1', ProtocolName="1234"), "STUDY-A")
    (asked,) = service.asked
    assert asked.method == "POST"
    assert json.loads(asked.body) == {"id": 'a"b$1', "number": 1234}
    assert asked.body == '{"id": "a\\"b$1", "number": 1234}'


@pytest.mark.parametrize(
    ("pointer", "answer"),
    [
        ("", "PSN-7"),
        ("/pseudonym", {"pseudonym": " PSN-7 "}),
        ("/a/0/b~1c/m~0n", {"a": [{"b/c": {"m~n": "PSN-7"}}]}),
        ("/", {"": "PSN-7"}),
    ],
)
def test_a_json_pointer_says_where_the_pseudonym_is(
    service: Service, context: OpenContext, pointer: str, answer: object
) -> None:
    service.says(Answer.of(answer))
    with asking(service, context, response_path=pointer) as source:
        assert source.pseudonym(patient(), "STUDY-A") == "PSN-7"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"PSN-4711"), "is not JSON"),
        (Answer(200, b""), "is not JSON"),
        (Answer(200, b"[" * 100_000), "is not JSON"),
        (Answer.of({"other": "4711"}), "has nothing at /pseudonym"),
        (Answer.of(["4711"]), "has nothing at /pseudonym"),
        (Answer.of({"pseudonym": 4711}), "has a number at /pseudonym, not text"),
        (Answer.of({"pseudonym": None}), "has null at /pseudonym, not text"),
        (Answer.of({"pseudonym": True}), "has true or false at /pseudonym, not text"),
        (Answer.of({"pseudonym": ["4711"]}), "has an array at /pseudonym, not text"),
        (Answer.of({"pseudonym": {"4711": 1}}), "has an object at /pseudonym, not text"),
        (Answer.of({"pseudonym": "  "}), "has a text of 0 characters for it; 1 to 64 are allowed"),
        (Answer.of({"pseudonym": "4711" * 17}), "has a text of 68 characters for it; 1 to 64 are allowed"),
        (Answer.of({"pseudonym": "4711\\"}), "has a text for it with a backslash or a control character"),
        (Answer.of({"pseudonym": "4711\u0000"}), "has a text for it with a backslash or a control character"),
    ],
)
def test_what_is_no_pseudonym_fails_the_delivery(
    service: Service, context: OpenContext, answer: Answer, words: str
) -> None:
    service.says(answer)
    with asking(service, context) as source:
        found = failure(source, patient())
    assert isinstance(found, NoPseudonym)
    assert found.reason == f"no pseudonym: the answer of pseudonym API {service.host} {words}"
    assert found.waits_for == ""


def test_an_index_is_written_as_the_standard_has_it(service: Service, context: OpenContext) -> None:
    service.says(Answer.of(["A", "B"]))
    for pointer in ("/2", "/01", "/-", "/-1", "/0/0"):
        with asking(service, context, response_path=pointer) as source:
            assert isinstance(failure(source, patient()), NoPseudonym)


def test_a_patient_that_the_service_does_not_know_has_no_pseudonym(service: Service, context: OpenContext) -> None:
    service.says(Answer.of({}, 404))
    with asking(service, context) as source:
        found = failure(source, patient())
    assert isinstance(found, NoPseudonym)
    assert found.reason == f"no pseudonym: pseudonym API {service.host} knows nothing about it: HTTP 404 Not Found"


@pytest.mark.parametrize(
    ("status", "kind"), [(500, Retryable), (429, Retryable), (403, Misconfigured), (400, Permanent)]
)
def test_a_service_in_trouble_says_nothing_about_the_patient(
    service: Service, context: OpenContext, status: int, kind: type
) -> None:
    service.says(Answer.of({}, status))
    with asking(service, context) as source:
        found = failure(source, patient())
    assert type(found) is kind
    assert found.reason.startswith(f"pseudonym API {service.host} ")


def test_a_patient_is_asked_for_once(service: Service, context: OpenContext) -> None:
    with asking(service, context) as source:
        for _ in range(500):
            source.pseudonym(patient(), "STUDY-A")
    assert len(service.asked) == 1


def test_answers_are_not_kept_where_that_is_configured(service: Service, context: OpenContext) -> None:
    with asking(service, context, keep_answers=0) as source:
        for _ in range(2):
            source.pseudonym(patient(), "STUDY-A")
    assert len(service.asked) == 2


def test_a_data_set_without_what_is_asked_for_has_no_pseudonym(service: Service, context: OpenContext) -> None:
    with asking(service, context) as source:
        for nothing in (patient(None), patient("")):
            found = failure(source, nothing)
            assert found.reason == "pseudonym API: the data set has no value for url and body"
    assert service.asked == []


def test_a_patient_id_leads_nowhere_else(service: Service, context: OpenContext) -> None:
    with asking(service, context, "/patients/{{getString(#Tag.PatientID)}}/pseudonym") as source:
        assert isinstance(failure(source, patient("..")), Permanent)
    assert service.asked == []


def test_an_authenticator_authorizes_the_request(service: Service, tmp_path: Any) -> None:
    class Given:
        def headers(self, refresh: bool = False) -> Mapping[str, str]:
            return {"Authorization": "Bearer t"}

        def close(self) -> None:
            """Hold nothing."""

    context = OpenContext(data_directory=tmp_path, authenticators={"idp": Given()})
    with asking(service, context, authenticator="idp") as source:
        source.pseudonym(patient(), "STUDY-A")
    assert service.asked[0].headers["Authorization"] == "Bearer t"


GOOD = "https://api.example/{{getString(#Tag.PatientID)}}"


def wrong(**options: Any) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ValidationError) as caught:
        ApiSource.model_validate({"url": GOOD, **options})
    return [".".join(map(str, error["loc"])) + ": " + error["msg"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "ftp://h/{{1}}"}, "does not begin with http:// or https:// and a host name, without {{…}} in it"),
        ({"url": "{{getString(#Tag.PatientID)}}"}, "does not begin with http:// or https://"),
        ({"url": "http://{{getString(#Tag.PatientID)}}/"}, "does not begin with http:// or https://"),
        ({"url": "http://h{{getString(#Tag.PatientID)}}/"}, "does not begin with http:// or https://"),
        ({"url": "http://h:80{{getString(#Tag.PatientID)}}/"}, "does not begin with http:// or https://"),
        ({"url": "http://u:p@h/{{getString(#Tag.PatientID)}}"}, "has a user name or password in it"),
        ({"url": "http://h:0/{{getString(#Tag.PatientID)}}"}, "does not begin with http:// or https://"),
        ({"url": "http://h:99999/"}, "the port is not 1 to 65535"),
        ({"url": "http://h/a b"}, "has blanks, backslashes or control characters"),
        ({"url": "http://h/#{{getString(#Tag.PatientID)}}"}, "has a fragment (#)"),
        ({"url": "http://h/{{getString(#Tag.Nonsense)}}"}, "Nonsense"),
        ({"url": "http://h/{{getString(#Tag.PatientID)"}, "is not closed"),
        ({"method": "PUT"}, "method: Input should be 'GET' or 'POST'"),
        ({"method": "POST"}, "method POST needs body"),
        ({"body": "{}"}, "body needs method POST"),
        ({"method": "POST", "body": '{"a": {{getString(#Tag.PatientID)}}'}, "body: Value error, is no JSON"),
        ({"method": "POST", "body": '{"a": "{{nonsense()}}"}'}, "nonsense"),
        ({"response_path": "a/b"}, "'a/b' is no JSON Pointer; one begins with /, or is empty"),
        ({"response_path": "/a~2"}, "'/a~2' is no JSON Pointer: ~ is written ~0"),
        ({"url": "http://h/{{getString(#Tag.PatientID)}}", "tls": {}}, "tls needs a url that begins with https:"),
        ({"default": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_read(options: dict[str, Any], problem: str) -> None:
    (found,) = wrong(**options)
    assert problem in found


def test_defaults_are_those_of_the_reference() -> None:
    read = ApiSource.model_validate({"url": f" {GOOD} "})
    assert (read.url, read.method, read.response_path, read.keep_answers) == (GOOD, "GET", "", 900)
    assert read.authenticator is None
    named = ApiSource.model_validate({"url": GOOD, "authenticator": "idp"})
    assert isinstance(named.authenticator, AuthenticatorName)
