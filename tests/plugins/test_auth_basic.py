"""User name and password become the header of RFC 7617."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pluggy
import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from karnak_core import hookspecs
from karnak_core.config.seal import sealed
from karnak_core.database.secrets import Vault
from karnak_core.errors import Misconfigured
from karnak_core.model import OpenContext
from karnak_core.plugins import load
from karnak_plugins import auth_basic
from karnak_plugins.auth_basic import BASIC

#: RFC 7617 section 2, and section 2.1 for UTF-8
EXAMPLES = [("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("test", "123\u00a3", "dGVzdDoxMjPCow==")]


def headers(**keys: Any) -> dict[str, str]:
    part = BASIC.open(BASIC.config.model_validate(keys), OpenContext(data_directory=Path("nowhere")))
    try:
        return dict(part.headers())
    finally:
        part.close()


@pytest.mark.parametrize(("username", "password", "encoded"), EXAMPLES)
def test_header_is_as_in_the_standard(username: str, password: str, encoded: str) -> None:
    assert headers(username=username, password=password) == {"Authorization": f"Basic {encoded}"}


def test_password_may_have_what_a_user_name_may_not() -> None:
    (value,) = headers(username="käthe", password="a:b : ü€").values()
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == "käthe:a:b : ü€"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"username": "a:b", "password": "x"}, "'a:b' has a colon, which ends a user name"),
        ({"username": "", "password": "x"}, "at least 1 character"),
        ({"username": "a\tb", "password": "x"}, "has a control character"),
        ({"username": "a", "password": ""}, "is empty"),
        ({"username": "a"}, "password"),
        ({"username": "a", "password": "x", "pasword": "x"}, "extra_forbidden"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(keys: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        BASIC.config.model_validate(keys)


def test_control_character_in_the_password_is_refused_without_telling_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as error:
        BASIC.config.model_validate({"username": "a", "password": "hunter2\x07"})
    assert "hunter2" not in error.value.errors()[0]["msg"]
    monkeypatch.setenv("KARNAK_TEST_PASSWORD", "hunter2\x07")
    with pytest.raises(Misconfigured, match="the password of user a has a control character") as told:
        headers(username="a", password={"env": "KARNAK_TEST_PASSWORD"})
    assert "hunter2" not in str(told.value)


def test_password_that_is_changed_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    config = BASIC.config.model_validate({"username": "u", "password": {"file": str(file)}})
    part = BASIC.open(config, OpenContext(data_directory=tmp_path))
    assert part.headers() == headers(username="u", password="old")
    file.write_text("new\n")
    assert part.headers(refresh=True) == headers(username="u", password="new")
    file.unlink()
    with pytest.raises(Misconfigured, match=f"secret file {file}: No such file"):
        part.headers()


def test_stored_password_is_opened_with_the_vault(tmp_path: Path) -> None:
    vault = Vault([Fernet.generate_key().decode()])
    config = sealed(BASIC.config.model_validate({"username": "u", "password": "hunter2"}), vault)
    assert "hunter2" not in repr(config) + str(config.model_dump()) + config.model_dump_json()
    part = BASIC.open(config, OpenContext(data_directory=tmp_path, reveal=lambda secret: str(secret.reveal(vault))))
    assert part.headers() == headers(username="u", password="hunter2")
    with pytest.raises(Misconfigured, match="needs the gateway's key"):
        BASIC.open(config, OpenContext(data_directory=tmp_path)).headers()


def test_hooks_are_as_karnak_specifies_them() -> None:
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(auth_basic)
    manager.check_pending()
    assert manager.hook.karnak_register_authenticators() == [[BASIC]]


def test_karnak_finds_the_plugin() -> None:
    assert load().authenticators["basic"] is BASIC
