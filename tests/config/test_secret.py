"""Secrets are references or encrypted, and never shown."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from karnak_core.config.export import to_document, to_yaml
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.config.seal import sealed
from karnak_core.config.secret import Secret
from karnak_core.database.secrets import Vault
from karnak_core.errors import ConfigurationError, Misconfigured
from karnak_core.plugins import Plugins

Load = Callable[[str], Configuration]
Problems = Callable[[str], list[str]]

TEXT = """
    forward_nodes:
      - ae_title: FORWARD
        destinations:
          - {name: pacs, type: peer, ae_title: PACS, password: PASSWORD, tls: {ca: ca.pem, password: PASSWORD}}
    plugins: {mail: {password: PASSWORD}}
"""


def secret_of(configuration: Configuration) -> Secret:
    options: Any = configuration.forward_nodes[0].destinations[0].options
    found: Secret = options.password
    return found


def test_a_variable_is_looked_up_when_the_secret_is_used(read: Load, vault: Vault) -> None:
    secret = secret_of(read(TEXT.replace("PASSWORD", "{env: ARCHIVE}")))
    assert secret.reveal(vault, {"ARCHIVE": "hunter2"}) == "hunter2"
    with pytest.raises(Misconfigured, match="environment variable ARCHIVE is not set"):
        secret.reveal(vault, {})


def test_a_file_is_read_when_the_secret_is_used_and_starts_at_the_configuration(
    read: Load, vault: Vault, tmp_path: Path
) -> None:
    secret = secret_of(read(TEXT.replace("PASSWORD", "{file: secrets/archive}")))
    with pytest.raises(Misconfigured, match=f"secret file {tmp_path}/secrets/archive: No such file or directory"):
        secret.reveal(vault)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "archive").write_text("hunter2\r\n")
    assert secret.reveal(vault) == "hunter2"
    (tmp_path / "secrets" / "archive").write_bytes(b"\xff")
    with pytest.raises(Misconfigured, match="archive: not UTF-8"):
        secret.reveal(vault)


def test_text_is_encrypted_when_it_is_applied(read: Load, vault: Vault) -> None:
    plain = read(TEXT.replace("PASSWORD", "hunter2"))
    with pytest.raises(ValueError, match="seal it first"):
        to_document(plain)
    stored = sealed(plain, vault)
    assert "hunter2" not in to_yaml(stored)
    assert secret_of(stored).reveal(vault) == "hunter2"
    assert read(to_yaml(stored)) == stored
    assert sealed(stored, vault) == stored


def test_the_same_text_at_the_same_place_keeps_its_token(read: Load, vault: Vault) -> None:
    plain = read(TEXT.replace("PASSWORD", "hunter2"))
    stored = sealed(plain, vault)
    assert sealed(plain, vault, stored) == stored
    other = read(TEXT.replace("PASSWORD", "hunter3"))
    assert sealed(other, vault, stored) != stored


def test_a_token_of_another_key_is_no_obstacle_to_a_new_text(read: Load, vault: Vault) -> None:
    plain = read(TEXT.replace("PASSWORD", "hunter2"))
    stored = sealed(plain, Vault([Fernet.generate_key().decode()]))
    assert secret_of(sealed(plain, vault, stored)).reveal(vault) == "hunter2"
    with pytest.raises(Misconfigured, match="does not open with this key"):
        secret_of(stored).reveal(vault)


def test_an_empty_text_is_no_secret(read: Load, vault: Vault) -> None:
    configuration = read(TEXT.replace("PASSWORD", "''"))
    assert sealed(configuration, vault) == configuration
    assert read(to_yaml(configuration)) == configuration


def test_what_has_no_plain_secret_is_not_copied(read: Load, vault: Vault) -> None:
    configuration = read(TEXT.replace("PASSWORD", "{env: ARCHIVE}"))
    assert sealed(configuration, vault) is configuration


def test_a_secret_is_never_shown(read: Load) -> None:
    configuration = read(TEXT.replace("PASSWORD", "hunter2"))
    secret = secret_of(configuration)
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (secret, configuration), None)
    for text in (
        repr(secret),
        str(secret),
        f"{secret} {secret!r:>10}",
        repr(configuration),
        str(configuration),
        repr(configuration.model_dump()),
        configuration.model_dump_json(),
        record.getMessage(),
    ):
        assert "hunter2" not in text
        assert "***" in text


def test_a_secret_is_described_and_passed_on(read: Load) -> None:
    secret = secret_of(read(TEXT.replace("PASSWORD", "hunter2")))
    assert pickle.loads(pickle.dumps(secret)) == secret
    assert {secret, Secret.plain("hunter2")} == {secret}
    assert secret != "hunter2"


def test_the_schema_of_a_secret_says_that_it_is_not_read_back(plugins: Plugins) -> None:
    schema = plugins.services["mail"].config.model_json_schema()
    assert schema["properties"]["password"]["writeOnly"] is True
    assert "hunter2" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[hunter2]", "is not {env: NAME}, {file: PATH} or text"),
        ("{env: ''}", "is not {env: NAME}, {file: PATH} or text"),
        ("{env: hunter2, file: hunter2}", "is not {env: NAME}, {file: PATH} or text"),
        ("{environment: hunter2}", "is not {env: NAME}, {file: PATH} or text"),
        ("8712837", "is a number; put it in quotes"),
    ],
)
def test_a_secret_that_is_wrong_is_not_shown(problems_of: Problems, written: str, message: str) -> None:
    found = problems_of(f"plugins: {{mail: {{password: {written}}}}}")
    assert found == [f"plugins.mail.password: {message}"]


def test_a_traceback_does_not_show_the_values(plugins: Plugins) -> None:
    document = {"plugins": {"mail": {"passwort": "hunter2"}}}
    with pytest.raises(ConfigurationError) as caught:
        load(document, plugins)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
