"""Requests to web services: authorized, answered, remembered, and what goes wrong with them."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from web_service import Answer, Service, serving

from karnak_core.config.tls import ClientTLS
from karnak_core.deidentify import Lookup
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.lookups import Absent, Lookups
from karnak_core.lookups.answers import FAILURE_SECONDS
from karnak_core.lookups.web import LONGEST_ANSWER
from karnak_core.testing import run_raw_http

PATIENT = "PID-4711"


class Tokens:
    """Gives out a new token when the last one was refused."""

    def __init__(self) -> None:
        self.number = 1

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        self.number += refresh
        return {"Authorization": f"Bearer t{self.number}"}

    def close(self) -> None:
        """Hold nothing."""


def about(service: Service, patient_id: str = PATIENT, **more: Any) -> Lookup:
    """Ask about a patient."""
    made = Lookup(method="GET", url=f"{service.url}/patients/{patient_id}", body=None, authenticator=None)
    return replace(made, **more)


def failure(fetch: Callable[[], str]) -> DeliveryError:
    """Return why there is no answer; never a word about the patient."""
    with pytest.raises(DeliveryError) as caught:
        fetch()
    assert PATIENT not in caught.value.reason
    return caught.value


def test_the_text_of_the_answer_is_returned(service: Service) -> None:
    lookups = Lookups({})
    assert lookups.fetch(about(service)) == '{"pseudonym": "PSN-1"}'
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.body) == ("GET", f"/patients/{PATIENT}", "")
    assert asked.headers["Accept"] == "application/json"
    assert asked.headers["User-Agent"].startswith("karnak/")
    assert not {"Authorization", "Cookie", "Content-Type"} & set(asked.headers)
    lookups.close()


def test_a_body_is_sent_as_json(service: Service) -> None:
    lookups = Lookups({})
    lookups.fetch(about(service, method="POST", body='{"id": "Müller"}'))
    (asked,) = service.asked
    assert (asked.method, asked.body, asked.headers["Content-Type"]) == ("POST", '{"id": "Müller"}', "application/json")
    lookups.close()


def test_an_answer_is_used_again_for_a_while_only(service: Service) -> None:
    now = [0.0]
    lookups = Lookups({}, keep_seconds=900, clock=lambda: now[0])
    for moment in (0.0, 899.0):
        now[0] = moment
        lookups.fetch(about(service))
    assert len(service.asked) == 1
    lookups.fetch(about(service, "PID-2"))
    lookups.fetch(about(service, method="POST", body="{}"))
    assert len(service.asked) == 3
    now[0] = 900.0
    lookups.fetch(about(service))
    assert len(service.asked) == 4
    lookups.close()


def test_a_request_that_many_make_at_once_is_sent_once(service: Service) -> None:
    service.go.clear()
    lookups = Lookups({})
    started = threading.Barrier(9)

    def ask() -> str:
        started.wait(60)
        return lookups.fetch(about(service))

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(ask) for _ in range(8)]
        started.wait(60)
        service.go.set()
        assert {answer.result(60) for answer in answers} == {'{"pseudonym": "PSN-1"}'}
    assert len(service.asked) == 1
    lookups.close()


def test_all_who_wait_for_a_request_are_told_that_it_failed(service: Service) -> None:
    service.says(Answer.of({}, 503))
    service.go.clear()
    lookups = Lookups({})
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(failure, lambda: lookups.fetch(about(service))) for _ in range(4)]
        service.go.set()
        assert {type(answer.result(60)) for answer in answers} == {Retryable}
    assert len(service.asked) == 1
    lookups.close()


def test_a_failure_is_used_again_for_a_moment_only(service: Service) -> None:
    now = [0.0]
    service.says(Answer.of({}, 404), Answer.of("found"))
    lookups = Lookups({}, clock=lambda: now[0])
    for moment in (0.0, FAILURE_SECONDS - 0.1):
        now[0] = moment
        assert isinstance(failure(lambda: lookups.fetch(about(service))), Absent)
    assert len(service.asked) == 1
    now[0] = FAILURE_SECONDS
    assert lookups.fetch(about(service)) == '"found"'
    lookups.close()


def test_a_doubted_answer_is_asked_for_again_soon(service: Service) -> None:
    now = [0.0]
    lookups = Lookups({}, clock=lambda: now[0])
    lookups.fetch(about(service))
    lookups.doubt(about(service))
    lookups.fetch(about(service))
    assert len(service.asked) == 1
    now[0] = FAILURE_SECONDS
    lookups.fetch(about(service))
    assert len(service.asked) == 2
    lookups.close()


def test_it_can_be_used_after_it_was_closed(service: Service) -> None:
    lookups = Lookups({})
    lookups.fetch(about(service))
    lookups.close()
    lookups.fetch(about(service))
    assert [asked.connection for asked in service.asked] == [1, 2]
    lookups.close()


def test_a_connection_is_used_again_and_made_anew_where_it_was_closed_meanwhile(service: Service) -> None:
    service.answer = lambda number, _asked: Answer(cut=True) if number == 3 else Answer.of("PSN")
    lookups = Lookups({})
    for number in range(3):
        lookups.fetch(about(service, f"PID-{number}"))
    assert [asked.connection for asked in service.asked] == [1, 1, 1, 2]
    lookups.close()


def test_the_authenticator_is_asked_for_headers(service: Service) -> None:
    lookups = Lookups({"idp": Tokens()})
    lookups.fetch(about(service, authenticator="idp"))
    assert service.asked[0].headers["Authorization"] == "Bearer t1"
    lookups.close()


def test_a_refused_token_is_replaced_once(service: Service) -> None:
    service.says(Answer.of({}, 401), Answer.of("PSN"))
    lookups = Lookups({"idp": Tokens()})
    assert lookups.fetch(about(service, authenticator="idp")) == '"PSN"'
    assert [asked.headers["Authorization"] for asked in service.asked] == ["Bearer t1", "Bearer t2"]
    service.says(Answer.of({}, 401))
    found = failure(lambda: lookups.fetch(about(service, "PID-2", authenticator="idp")))
    assert isinstance(found, Misconfigured)
    assert len(service.asked) == 4
    lookups.close()


def test_an_authenticator_that_does_not_exist_is_named() -> None:
    lookup = Lookup(method="GET", url="http://127.0.0.1/", body=None, authenticator="nobody")
    found = failure(lambda: Lookups({}).fetch(lookup))
    assert isinstance(found, Misconfigured)
    assert found.reason == "authenticator 'nobody' does not exist"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (204, Absent, "knows nothing about it: HTTP 204 No Content"),
        (400, Permanent, "refuses the request: HTTP 400 Bad Request"),
        (401, Misconfigured, "wants authorization, or other than was sent: HTTP 401 Unauthorized"),
        (403, Misconfigured, "does not allow us to ask: HTTP 403 Forbidden"),
        (404, Absent, "knows nothing about it: HTTP 404 Not Found"),
        (410, Absent, "knows nothing about it any more: HTTP 410 Gone"),
        (429, Retryable, "gets too many requests: HTTP 429 Too Many Requests"),
        (500, Retryable, "has an error of its own or behind it: HTTP 500 Internal Server Error"),
        (501, Permanent, "does not know how to answer: HTTP 501 Not Implemented"),
        (503, Retryable, "has an error of its own or behind it: HTTP 503 Service Unavailable"),
        (799, Retryable, "gives a status that has no meaning here: HTTP 799"),
    ],
)
def test_every_status_has_a_meaning(service: Service, status: int, kind: type, words: str) -> None:
    service.says(Answer.of({"error": PATIENT}, status) if status != 204 else Answer(204))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert type(found) is kind
    assert found.reason == f"API {service.host} {words}"
    lookups.close()


def test_who_asks_us_to_wait_is_listened_to(service: Service) -> None:
    service.says(Answer(429, headers={"Retry-After": "17"}))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert isinstance(found, Retryable)
    assert found.retry_after == 17
    lookups.close()


def test_a_redirect_is_not_followed(service: Service) -> None:
    service.says(Answer(302, headers={"Location": f"{service.url}/{PATIENT}"}))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert isinstance(found, Misconfigured)
    assert found.reason == f"API {service.host} redirects elsewhere, which is not followed: HTTP 302 Found"
    assert len(service.asked) == 1
    lookups.close()


def test_a_service_that_is_slow_is_given_up(service: Service) -> None:
    service.go.clear()
    lookups = Lookups({}, timeout=0.2)
    found = failure(lambda: lookups.fetch(about(service)))
    assert type(found) is Retryable
    assert found.reason == f"API {service.host} does not answer within 0.2 s"
    lookups.close()


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(service: Service, packed: bool) -> None:
    body = b" " * (LONGEST_ANSWER + 1)
    service.says(Answer(200, gzip.compress(body), {"Content-Encoding": "gzip"}) if packed else Answer(200, body))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert type(found) is Permanent
    assert found.reason == f"API {service.host} answers with more than 1024 KiB"
    lookups.close()


def test_an_answer_that_dribbles_is_given_up(dribbling: Callable[[], str]) -> None:
    lookup = Lookup(method="GET", url=f"{dribbling()}/patients/{PATIENT}", body=None, authenticator=None)
    error = failure(lambda: Lookups({}, timeout=1).fetch(lookup))
    assert isinstance(error, Retryable)
    assert error.reason.endswith("does not come to an end of its answer within 2 s")


def test_an_answer_that_breaks_off_is_asked_for_again_later(service: Service) -> None:
    service.says(Answer(200, b'"PSN', {"Content-Length": "100", "Connection": "close"}))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert type(found) is Retryable
    assert found.reason == f"API {service.host} breaks off its answer"
    lookups.close()


def test_an_answer_in_another_encoding_is_refused(service: Service) -> None:
    service.says(Answer(200, '"Müller"'.encode("latin-1")))
    lookups = Lookups({})
    assert failure(lambda: lookups.fetch(about(service))).reason.endswith("answers something that is not UTF-8 text")
    lookups.close()


def test_a_service_that_closes_without_a_word_is_asked_again_later(service: Service) -> None:
    service.says(Answer(cut=True))
    lookups = Lookups({})
    found = failure(lambda: lookups.fetch(about(service)))
    assert type(found) is Retryable
    assert found.reason == f"API {service.host} closes the connection without an answer"
    assert len(service.asked) == 2
    lookups.close()


def test_a_service_that_is_down_is_asked_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    lookup = Lookup(method="GET", url=f"http://127.0.0.1:{port}/{PATIENT}", body=None, authenticator=None)
    found = failure(lambda: Lookups({}).fetch(lookup))
    assert type(found) is Retryable
    assert found.reason == f"API 127.0.0.1:{port} cannot be reached: Connection refused"


def test_what_does_not_speak_http_is_somebody_to_talk_to() -> None:
    with run_raw_http(b"220 mail.example ESMTP\r\n") as port:
        lookup = Lookup(method="GET", url=f"http://127.0.0.1:{port}/", body=None, authenticator=None)
        lookups = Lookups({})
        found = failure(lambda: lookups.fetch(lookup))
        lookups.close()
    assert isinstance(found, Misconfigured)
    assert found.reason == f"API 127.0.0.1:{port} answers something that is no HTTP"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://host/x",
        "http://",
        "http://host:99999/",
        "http://[::1/",
        f"http://h/{'x' * 8192}",
    ],
)
def test_what_is_no_address_is_not_asked(url: str) -> None:
    lookup = Lookup(method="GET", url=url, body=None, authenticator=None)
    assert type(failure(lambda: Lookups({}).fetch(lookup))) is Permanent


@pytest.mark.parametrize("path", ["/a/../b", "/a/.", "/a/%2E%2e/b"])
def test_what_would_lead_elsewhere_is_not_asked(service: Service, path: str) -> None:
    lookup = Lookup(method="GET", url=f"{service.url}{path}", body=None, authenticator=None)
    found = failure(lambda: Lookups({}).fetch(lookup))
    assert found.reason == "the URL to ask has '.' or '..' as a part of its path"
    assert service.asked == []


def test_an_escaped_value_arrives_as_it_was(service: Service) -> None:
    lookups = Lookups({})
    lookups.fetch(Lookup(method="GET", url=f"{service.url}/p/a%2Fb%3F%23%25", body=None, authenticator=None))
    assert service.asked[0].path == "/p/a%2Fb%3F%23%25"
    lookups.close()


def test_tls_is_spoken_with_whom_ca_issued_a_certificate_for(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    with serving(context) as service:
        trusting, doubting = Lookups({}, tls=ClientTLS(ca=str(ca))), Lookups({})
        assert trusting.fetch(about(service)) == '{"pseudonym": "PSN-1"}'
        found = failure(lambda: doubting.fetch(about(service)))
        assert isinstance(found, Misconfigured)
        assert found.reason.startswith(f"API {service.host} shows a certificate that is not trusted: ")
        trusting.close()
        doubting.close()
