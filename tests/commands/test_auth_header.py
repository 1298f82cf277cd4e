"""``karnak auth-header`` as it is typed, with the built-in kinds and a third party's."""

from __future__ import annotations

import base64
import importlib.metadata
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel, ConfigDict, Field

from karnak_core import hookimpl
from karnak_core import plugins as plugins_module
from karnak_core.cli import cli
from karnak_core.commands.auth_header import auth_header
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Secret
from karnak_core.errors import Misconfigured
from karnak_core.http_headers import parse
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext
from karnak_core.plugins import GROUP

BASIC = "Basic " + base64.b64encode(b"karnak:hunter2").decode()
BASIC_TEXT = f"<key>Authorization</key>\n<value>{BASIC}</value>\n"


def run(*arguments: str | Path, stdin: str = "") -> Result:
    command = [str(word) for word in arguments]
    return CliRunner().invoke(auth_header, command, input=stdin, catch_exceptions=False)


# ---- the built-in kinds ------------------------------------------------------------------------------------------


def test_command_is_one_of_karnak() -> None:
    assert cli.commands["auth-header"] is auth_header
    listed = run("--help").output
    assert "basic" in listed
    assert "oauth2" in listed


def test_basic_prints_the_text_of_its_header() -> None:
    result = run("basic", "--username", "karnak", "--password", "hunter2")
    assert (result.exit_code, result.stdout) == (0, BASIC_TEXT)
    assert parse(result.stdout) == [("Authorization", BASIC)]


def test_oauth2_prints_a_given_token() -> None:
    result = run("oauth2", "--token", "abc.def")
    assert result.stdout == "<key>Authorization</key>\n<value>Bearer abc.def</value>\n"


@pytest.mark.parametrize("arguments", [(), ("--password",)])
def test_password_that_is_not_given_is_asked_for_and_not_shown(arguments: tuple[str, ...]) -> None:
    result = run("basic", "--username", "karnak", *arguments, stdin="hunter2\n")
    assert result.stdout == BASIC_TEXT
    assert "Password: " in result.stderr
    assert "hunter2" not in result.stderr


def test_password_can_stand_in_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KARNAK_TEST_PASSWORD", "hunter2")
    (tmp_path / "password").write_text("hunter2\n")
    assert run("basic", "--username", "karnak", "--password-env", "KARNAK_TEST_PASSWORD").stdout == BASIC_TEXT
    assert run("basic", "--username", "karnak", "--password-file", "password").stdout == BASIC_TEXT


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("basic", "--password", "x"), 2, "Missing option '--username'"),
        (("basic", "--username", "a:b", "--password", "x"), 2, "--username: 'a:b' has a colon"),
        (("basic", "--username", "a", "--password", ""), 2, "--password: is empty"),
        (("basic", "--username", "a", "--password", "x", "--password-env", "X"), 2, "--password and --password-env: "),
        (("basic", "--username", "a", "--password-env", "KARNAK_TEST_NOT_SET"), 1, "KARNAK_TEST_NOT_SET is not set"),
        (("basic", "--username", "a", "--password-file", "none"), 1, "none: No such file or directory"),
        (("oauth2",), 2, "needs token, or token_url, client_id and client_secret to fetch one"),
        (("oauth2", "--token", "Bearer hunter2"), 2, "--token: begins with 'Bearer'"),
        (
            ("oauth2", "--token-url", "http://127.0.0.1:1/t", "--client-id", "c", "--client-secret", "hunter2"),
            1,
            "refused",
        ),
        (("oauth2", "--client-authentication", "query"), 2, "'query' is not one of 'header', 'body'"),
        (("other",), 2, "No such command 'other'"),
    ],
)
def test_what_is_wrong_is_told(arguments: tuple[str, ...], status: int, words: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert words in result.stderr
    assert "hunter2" not in result.stderr


# ---- adding to what is there -------------------------------------------------------------------------------------


def test_header_is_added_to_the_text_of_standard_input() -> None:
    there = "<key>X-Tenant</key><value>7</value>\n"
    result = run("basic", "--username", "karnak", "--password", "hunter2", "--append-to", "-", stdin=there)
    assert (result.exit_code, result.stdout) == (0, there + BASIC_TEXT)


def test_header_is_added_to_a_file_which_is_written(tmp_path: Path) -> None:
    file = tmp_path / "headers.txt"
    file.write_text("<key>X-Tenant</key><value>7</value>")
    result = run("basic", "--username", "karnak", "--password", "hunter2", "--append-to", file)
    assert result.exit_code == 0
    assert file.read_text() == result.stdout
    assert parse(file.read_text()) == [("X-Tenant", "7"), ("Authorization", BASIC)]


@pytest.mark.parametrize("tag", ["<key>Authorization</key>", "<KEY> authorization </Key>"])
def test_second_authorization_is_refused_and_nothing_is_changed(tmp_path: Path, tag: str) -> None:
    file = tmp_path / "headers.txt"
    file.write_text(f"{tag}<value>x</value>")
    result = run("oauth2", "--token", "abc", "--append-to", file)
    assert (result.exit_code, result.stdout) == (2, "")
    words = "the headers already have <key>Authorization</key>; remove it, with its value, to have another"
    assert result.stderr == f"{file}: {words}\n"
    assert file.read_text() == f"{tag}<value>x</value>"
    result = run("oauth2", "--token", "abc", "--append-to", "-", stdin=f"{tag}<value>x</value>")
    assert (result.exit_code, result.stderr) == (2, f"standard input: {words}\n")


def test_text_that_is_wrong_is_not_added_to() -> None:
    result = run("oauth2", "--token", "abc", "--append-to", "-", stdin="<key>X")
    assert (result.exit_code, result.stderr) == (2, "standard input: pair 1: <key> is not closed\n")


def test_file_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    result = run("oauth2", "--token", "abc", "--append-to", tmp_path / "none")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


# ---- a third party's kind ----------------------------------------------------------------------------------------


class ApiKeyConfig(BaseModel):
    """Keys of every sort."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: Annotated[Secret, Field(description="sent along")]
    header: str = Field(default="X-API-Key", description="its header")
    second_key: Secret | None = Field(default=None, description="sent along, too")
    upper: bool = Field(default=False, description="in capitals")
    times: int = Field(default=1, ge=1, le=3, description="how often")
    style: Literal["plain", "quoted"] = Field(default="plain", description="how it is written")
    tags: tuple[str, ...] = Field(default=(), description="marks")
    wait: Duration = Field(default=1.0, gt=0, description="time until it is good")


class ApiKey:
    closed = 0

    def __init__(self, config: ApiKeyConfig, context: OpenContext) -> None:
        self._config = config
        self._reveal = context.reveal

    def headers(self, refresh: bool = False) -> dict[str, str]:
        config = self._config
        value = self._reveal(config.api_key) * config.times
        if value == "bad":
            raise Misconfigured("this key is bad")
        found = {config.header: value.upper() if config.upper else value}
        if config.second_key:
            found["X-Second"] = self._reveal(config.second_key)
        return found | ({"X-Tags": ",".join(config.tags)} if config.tags else {})

    def close(self) -> None:
        ApiKey.closed += 1


API_KEY = Kind(name="api_key", config=ApiKeyConfig, open=ApiKey, summary="a key in a header")


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's plugin, and a broken one, beside the built-in ones."""
    module = ModuleType("third_party_of_auth_header")

    @hookimpl
    def karnak_register_authenticators() -> list[Kind[Any, Any]]:
        return [API_KEY]

    module.karnak_register_authenticators = karnak_register_authenticators  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = [
        *importlib.metadata.entry_points(group=GROUP),
        EntryPoint(name="third", value=module.__name__, group=GROUP),
        EntryPoint(name="broken", value="no_such_module_anywhere", group=GROUP),
    ]
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: entries)


@pytest.mark.usefixtures("third_party")
def test_kind_of_a_third_party_is_a_command_with_the_options_of_its_model() -> None:
    assert "a key in a header" in run("--help").output.lower()
    shown = " ".join(run("api_key", "--help").output.split())
    for words in (
        "--api-key [TEXT] Sent along. Without TEXT: asks.",
        "--api-key-env NAME",
        "--header TEXT Its header. Default: X-API-Key.",
        "--upper / --no-upper",
        "--style [plain|quoted]",
        "--tags TEXT Marks. May be given several times.",
        "--wait TEXT Time until it is good. Default: 1 s.",
    ):
        assert words in shown


@pytest.mark.usefixtures("third_party")
def test_headers_of_a_third_party_are_printed() -> None:
    closed = ApiKey.closed
    switches = ("--header", "X-Key", "--upper", "--times", "2", "--tags", "one", "--tags", "two", "--wait", "5min")
    result = run("api_key", "--api-key", "a<b", *switches, "--second-key", "z")
    assert parse(result.stdout) == [("X-Key", "A<BA<B"), ("X-Second", "z"), ("X-Tags", "one,two")]
    assert ApiKey.closed == closed + 1
    there = "<key>Authorization</key><value>x</value>"
    assert run("api_key", "--api-key", "a", "--append-to", "-", stdin=there).exit_code == 0
    there = "<key>x-api-key</key><value>x</value>"
    assert (
        "already have <key>X-API-Key</key>" in run("api_key", "--api-key", "a", "--append-to", "-", stdin=there).stderr
    )


@pytest.mark.usefixtures("third_party")
def test_mistakes_with_a_kind_of_a_third_party_are_told() -> None:
    assert run("api_key", "--api-key", "a", "--times", "7").stderr.endswith("--times: '7' is not 1 to 3\n")
    assert run("api_key", "--api-key", "a", "--wait", "soon").stderr.count("--wait: ") == 1
    result = run("api_key", "--api-key", "bad")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "this key is bad")


@pytest.mark.usefixtures("third_party")
def test_plugin_that_cannot_be_used_does_not_hide_the_others() -> None:
    result = run("basic", "--username", "karnak", "--password", "hunter2")
    assert result.stdout == BASIC_TEXT
