"""What must not be readable in the database is not."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from karnak_core.database.secrets import KEY_FILE, EncryptedText, SecretKeyError, Vault, open_vault


def test_a_text_comes_back_and_is_not_readable_meanwhile() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    token = vault.encrypt("pässword")
    assert "pässword" not in token
    assert vault.decrypt(token) == "pässword"


def test_a_key_is_generated_once_for_its_owner_only(tmp_path: Path) -> None:
    token = open_vault(tmp_path, {}).encrypt("x")
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert open_vault(tmp_path, {}).decrypt(token) == "x"


def test_a_new_key_encrypts_and_the_old_one_still_opens(tmp_path: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    token = open_vault(tmp_path, {"KARNAK_KEY": old}).encrypt("x")
    both = open_vault(tmp_path, {"KARNAK_KEY": f"{new}\n{old}"})
    assert both.decrypt(token) == "x"
    assert open_vault(tmp_path, {"KARNAK_KEY": new}).decrypt(both.encrypt("y")) == "y"
    assert not (tmp_path / KEY_FILE).exists()


def test_a_key_file_is_read(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    (tmp_path / "key").write_text(key + "\n")
    vault = open_vault(tmp_path, {"KARNAK_KEY_FILE": str(tmp_path / "key")})
    assert Vault([key]).decrypt(vault.encrypt("x")) == "x"


@pytest.mark.parametrize("text", ["", "abc", "ä", "A" * 44])
def test_what_is_no_key_or_another_key_is_refused(tmp_path: Path, text: str) -> None:
    token = Vault([Fernet.generate_key().decode()]).encrypt("x")
    with pytest.raises(SecretKeyError):
        Vault([text]).decrypt(token)


def test_a_changed_token_is_refused() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    token = vault.encrypt("x")
    for changed in (token[:-4], token[:20] + "A" + token[21:], "", "ä"):
        if changed != token:
            with pytest.raises(SecretKeyError):
                vault.decrypt(changed)


def test_processes_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    for attempt in range(50):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        gate = threading.Barrier(2)
        vaults: list[Vault | Exception] = []

        def start(
            folder: Path = folder, gate: threading.Barrier = gate, vaults: list[Vault | Exception] = vaults
        ) -> None:
            gate.wait(60)
            try:
                vaults.append(open_vault(folder, {}))
            except Exception as error:
                vaults.append(error)

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        one, other = vaults
        assert isinstance(one, Vault), one
        assert isinstance(other, Vault), other
        assert other.decrypt(one.encrypt("x")) == "x"


def test_a_column_is_encrypted_at_rest() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    table = sa.Table("t", sa.MetaData(), sa.Column("secret", EncryptedText(vault)))
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"secret": "pässword"}, {"secret": None}])
        assert connection.execute(sa.select(table)).scalars().all() == ["pässword", None]
        raw = connection.exec_driver_sql("SELECT secret FROM t").scalars().all()
        assert "pässword" not in str(raw)
    engine.dispose()


def test_key_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match=f"KARNAK_KEY_FILE: {tmp_path / 'none'}: No such file or directory"):
        open_vault(tmp_path, {"KARNAK_KEY_FILE": str(tmp_path / "none")})
