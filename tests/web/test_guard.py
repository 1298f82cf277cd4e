"""What stands around every request and every answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from web_support import HOST, ConsoleApp

from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, Misconfigured, NotFound
from karnak_plugins.web_console.config import WebConsole
from karnak_plugins.web_console.pages.static import FOLDER

EVERY_ANSWER = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/overview", 200),
        ("/sign-in", 303),
        ("/nowhere", 404),
        ("/api/v1/status", 200),
        ("/api/v1/nowhere", 404),
        ("/api/v1/users/99", 404),
        ("/static/app.css", 200),
        ("/static/nothing.css", 404),
        ("/broken", 500),
        ("/api/v1/broken", 500),
    ],
)
def test_every_answer_has_the_headers_of_safety(console_app: ConsoleApp, path: str, status: int) -> None:
    @console_app.app.get("/broken")
    @console_app.app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("PatientName DOE^JANE")

    answer = console_app.signed_in().get(path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in EVERY_ANSWER} == EVERY_ANSWER
    assert "DOE" not in answer.text
    assert "server" not in answer.headers


def test_pages_and_answers_are_kept_by_no_browser_and_files_by_their_contents(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    page = client.get("/overview")
    assert page.headers["Cache-Control"] == "no-store"
    assert client.get("/api/v1/status").headers["Cache-Control"] == "no-store"
    assert "/static/app.css?v=" in page.text
    address = page.text.split('href="/static/app.css')[1].split('"')[0]
    kept = client.get(f"/static/app.css{address}")
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/app.css").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/....//app.py",
        "/static/vendor/../../app.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/__init__.py",
        "/static/app.css%00.py",
        "/static/",
        "/static/vendor",
    ],
)
def test_nothing_but_our_files_is_under_static(console_app: ConsoleApp, path: str) -> None:
    answer = console_app.client().get(path)
    assert answer.status_code in (303, 404)
    assert "FastAPI" not in answer.text


def test_every_file_that_is_not_python_is_under_static_with_its_kind(console_app: ConsoleApp) -> None:
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
    client = console_app.client()
    files = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert files
    for path in files:
        answer = client.get(f"/static/{path.relative_to(FOLDER).as_posix()}")
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"].partition(";")[0] == kinds[path.suffix]


def test_our_pages_ask_nobody_else_for_anything(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    for path in ("/overview", "/users", "/account", "/password", "/nowhere"):
        text = client.get(path).text
        assert "http://" not in text
        assert "https://" not in text
        for inline in ("<style", "style=", "javascript:", " onclick", " onload"):
            assert inline not in text, (path, inline)
        assert text.count("<script") == text.count("<script src=")


# ---- names, origins, sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "localhost:1", "[::1]:8081", "192.0.2.7", "LOCALHOST"])
def test_addresses_and_our_names_are_answered(console_app: ConsoleApp, host: str) -> None:
    assert console_app.client().get("/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[", "a b", ""]
)
def test_other_names_are_not_answered(console_app: ConsoleApp, host: str) -> None:
    answer = console_app.client().get("/sign-in", headers={"Host": host})
    assert answer.status_code == 421
    assert "plugins.web_console.public_url" in answer.text


def test_the_public_name_is_answered(make_console_app: Callable[..., ConsoleApp]) -> None:
    console_app = make_console_app(config=WebConsole(public_url="http://Karnak.Example.org:8443"))
    client = console_app.client()
    assert client.get("/sign-in", headers={"Host": "karnak.example.org:8443"}).status_code == 200
    assert client.get("/sign-in", headers={"Host": "example.org"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{HOST}0"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_sends_is_refused_even_the_sign_in(console_app: ConsoleApp, headers: dict[str, str]) -> None:
    client = console_app.signed_in()
    fields = {"csrf_token": client.csrf()}
    assert client.post("/sign-out", data=fields, headers=headers).status_code == 403
    assert client.post("/sign-in", data={"name": "admin"}, headers=headers).status_code == 403
    own = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/sign-out", data=fields, headers=own).status_code == 303


def test_a_form_comes_from_the_public_address_though_a_proxy_says_another_host(
    make_console_app: Callable[..., ConsoleApp],
) -> None:
    client = make_console_app(config=WebConsole(public_url="https://karnak.example.org")).client()
    headers = {"Host": "127.0.0.1:8081", "Origin": "https://karnak.example.org"}
    assert client.post("/sign-in", data={"name": "x"}, headers=headers).status_code == 401
    headers["Origin"] = "https://karnak.example.org.evil.example"
    assert client.post("/sign-in", data={"name": "x"}, headers=headers).status_code == 403


def test_the_token_of_another_session_does_not_do(console_app: ConsoleApp) -> None:
    one, other = console_app.signed_in("one"), console_app.signed_in("other")
    for given in (other.csrf(), "", "é"):
        assert one.post("/sign-out", data={"csrf_token": given}).status_code == 403
    assert (
        one.post("/sign-out", headers={"X-CSRF-Token": other.csrf()}, data={"csrf_token": one.csrf()}).status_code
        == 403
    )
    assert one.post("/sign-out", headers={"X-CSRF-Token": one.csrf()}).status_code == 303


def test_a_request_that_says_it_is_too_large_is_not_read(make_console_app: Callable[..., ConsoleApp]) -> None:
    console_app = make_console_app(config=WebConsole(upload=2**20))
    answer = console_app.client().post("/sign-in", data={"name": "x" * 2**20})
    assert answer.status_code == 413
    assert "larger than 1048576 bytes; see plugins.web_console.upload" in answer.text


def test_a_request_that_does_not_say_how_large_it_is_is_read_so_far_only(
    make_console_app: Callable[..., ConsoleApp],
) -> None:
    console_app = make_console_app(config=WebConsole(upload=2**20))

    def body() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 2**16

    program = console_app.with_token("users")
    answer = program.post("/api/v1/users", content=body(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    form = console_app.client().post(
        "/sign-in", content=body(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert form.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "٣"])
def test_a_length_that_is_no_number_is_refused(console_app: ConsoleApp, length: str) -> None:
    answer = console_app.client().post("/sign-in", headers={"Content-Length": length.encode()}, content=b"")
    assert answer.status_code == 413


def test_the_log_has_routes_but_neither_names_nor_queries(
    console_app: ConsoleApp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="karnak_plugins.web_console"):
        client = console_app.signed_in()
        client.get("/users/1234567", params={"patient": "DOE"})
        client.get("/nothing/DOE^JANE")
    said = [record.getMessage() for record in caplog.records]
    assert "GET /users/{user_id}: 404" in said
    assert "GET an unknown path: 404" in said
    assert "DOE" not in caplog.text
    assert "1234567" not in caplog.text


# ---- errors ------------------------------------------------------------------------------------------------------

PROBLEMS = ConfigurationError(
    [
        ConfigProblem(place="forward_nodes[0].destinations[1].port", message="70000 is not 1 to 65535"),
        ConfigProblem(place="", message="<script>alert(1)</script>"),
    ]
)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (NotFound("there is no version 7"), 404, "there is no version 7"),
        (Conflict("version 8 by now"), 409, "version 8 by now"),
        (Misconfigured("PACS does not know us"), 502, "PACS does not know us"),
        (PROBLEMS, 422, "forward_nodes[0].destinations[1].port: 70000 is not 1 to 65535; <script>alert(1)</script>"),
        (ValueError("DOE^JANE"), 500, "something went wrong in the console; the gateway's log says what"),
    ],
)
def test_errors_are_problems_for_programs_and_pages_for_people(
    console_app: ConsoleApp, error: Exception, status: int, detail: str
) -> None:
    @console_app.app.get("/broken")
    @console_app.app.get("/api/v1/broken")
    def broken() -> None:
        raise error

    client = console_app.signed_in()
    answer = client.get("/api/v1/broken")
    problem: dict[str, Any] = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["detail"]) == (status, status, detail)
    assert problem["type"] == "about:blank"
    page = client.get("/broken")
    assert page.status_code == status
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<script>alert" not in page.text
    if error is PROBLEMS:
        assert problem["errors"][0] == {
            "place": "forward_nodes[0].destinations[1].port",
            "message": "70000 is not 1 to 65535",
        }


def test_a_body_that_does_not_fit_says_where(console_app: ConsoleApp) -> None:
    program = console_app.with_token("users")
    answer = program.post("/api/v1/users", json={"name": 5, "roles": ["boss"], "more": 1})
    assert answer.status_code == 422
    assert [one["place"] for one in answer.json()["errors"]] == ["name", "roles[0]", "more"]
    wrong = program.post("/api/v1/users", json={"name": "Not A Name", "roles": []})
    assert [one["place"] for one in wrong.json()["errors"]] == ["name", "roles"]


def test_what_the_framework_refuses_is_a_problem_too(console_app: ConsoleApp) -> None:
    program = console_app.with_token("users")
    assert program.put("/api/v1/users").json()["status"] == 405
    assert program.get("/api/v1/nowhere").json()["detail"] == "there is nothing at this address"
    assert "There is nothing at this address." in console_app.signed_in().get("/nowhere").text
    assert program.put("/api/v1/users").headers["Allow"] == "GET"
    broken = program.post("/api/v1/users", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.headers["Content-Type"]) == (422, "application/problem+json")
    assert program.get("/api/v1/audit", params={"cursor": "x"}).status_code == 400
    assert program.get("/api/v1/audit", params={"limit": "0"}).status_code == 422


def test_while_the_database_cannot_be_used_that_is_what_is_said(
    console_app: ConsoleApp, caplog: pytest.LogCaptureFixture
) -> None:
    client, program = console_app.signed_in(), console_app.with_token("read")
    console_app.console.database.close()
    data = console_app.console.data_directory
    for path in data.glob("karnak.db*"):
        path.unlink()
    (data / "karnak.db").write_bytes(b"this was a database" * 1000)
    page = client.get("/overview")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "10")
    assert "The database cannot be used; the gateway&#39;s log says why." in page.text
    assert program.get("/api/v1/status").json()["status"] == 503
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "file is not a database" in caplog.text
