"""Encryption of what must not be readable in the database."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from karnak_core.errors import KarnakError

KEY_FILE = "secret.key"


class SecretKeyError(KarnakError):
    """The key does not fit what was stored, or is no key."""


class Vault:
    """Encrypts and decrypts texts; the first key encrypts, all of them decrypt, so that keys can be changed."""

    def __init__(self, keys: list[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise SecretKeyError(
                "KARNAK_KEY: not a key; a key is 32 bytes in URL-safe base64, as Fernet.generate_key makes them"
            ) from error

    def encrypt(self, text: str) -> str:
        """Return the text encrypted, itself as text."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Return what was encrypted.

        Raises
        ------
        SecretKeyError
            It was encrypted with another key, or changed since.
        """
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise SecretKeyError("a stored secret does not open with this key; is KARNAK_KEY the right one?") from error


def open_vault(data_directory: Path, environment: Mapping[str, str] = os.environ) -> Vault:
    """Open the vault with KARNAK_KEY, the file of KARNAK_KEY_FILE, or a key generated beside the data (mode 0600).

    Several keys may be given, separated by blanks or line ends, the newest first.
    """
    text = environment.get("KARNAK_KEY")
    if not text and environment.get("KARNAK_KEY_FILE"):
        path = environment["KARNAK_KEY_FILE"]
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise SecretKeyError(f"KARNAK_KEY_FILE: {path}: {error.strerror}") from error
    if not text:
        text = _generated(data_directory / KEY_FILE)
    return Vault(text.split())


def _generated(path: Path) -> str:
    if path.exists():
        return path.read_text()
    # whole before it has its name: another process that starts now must not read half of it
    descriptor, unnamed = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with open(descriptor, "w") as file:
            file.write(Fernet.generate_key().decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # fails where the other one was first
        with contextlib.suppress(FileExistsError):
            os.link(unnamed, path)
    finally:
        os.unlink(unnamed)
    return path.read_text()


class EncryptedText(sa.types.TypeDecorator[str]):
    """A column that is text in Python and encrypted in the database."""

    impl = sa.Text
    cache_ok = False

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._vault = vault

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Encrypt."""
        return None if value is None else self._vault.encrypt(value)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        """Decrypt."""
        return None if value is None else self._vault.decrypt(value)
