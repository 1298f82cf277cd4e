"""The vault: keys, where they come from, and how they are changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from karnak_core.database.secrets import KEY_FILE, SecretKeyError, Vault, open_vault


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_what_was_encrypted_is_decrypted_and_cannot_be_read() -> None:
    vault = Vault([new_key()])
    token = vault.encrypt("hunter2 é")
    assert "hunter2" not in token
    assert vault.decrypt(token) == "hunter2 é"


def test_another_key_does_not_open_it() -> None:
    token = Vault([new_key()]).encrypt("hunter2")
    with pytest.raises(SecretKeyError, match="does not open with this key"):
        Vault([new_key()]).decrypt(token)


def test_a_changed_token_does_not_open() -> None:
    vault = Vault([new_key()])
    token = vault.encrypt("hunter2")
    with pytest.raises(SecretKeyError):
        vault.decrypt(token[:-8] + "AAAAAAA=")


def test_old_keys_still_open_and_the_newest_encrypts() -> None:
    old, new = new_key(), new_key()
    token = Vault([old]).encrypt("hunter2")
    both = Vault([new, old])
    assert both.decrypt(token) == "hunter2"
    assert Vault([new]).decrypt(both.encrypt("hunter3")) == "hunter3"


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(SecretKeyError, match="KARNAK_KEY: not a key"):
        Vault(["short"])


def test_a_key_is_generated_once_for_its_owner_only(tmp_path: Path) -> None:
    token = open_vault(tmp_path, {}).encrypt("hunter2")
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert open_vault(tmp_path, {}).decrypt(token) == "hunter2"


def test_a_key_comes_from_the_environment_before_a_file(tmp_path: Path) -> None:
    one, other = new_key(), new_key()
    path = tmp_path / "key"
    path.write_text(f"{other}\n")
    token = open_vault(tmp_path, {"KARNAK_KEY": one, "KARNAK_KEY_FILE": str(path)}).encrypt("hunter2")
    assert Vault([one]).decrypt(token) == "hunter2"
    token = open_vault(tmp_path, {"KARNAK_KEY_FILE": str(path)}).encrypt("hunter2")
    assert Vault([other]).decrypt(token) == "hunter2"
    assert not (tmp_path / KEY_FILE).exists()
