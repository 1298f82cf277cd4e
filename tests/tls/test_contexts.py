"""Contexts follow their files; files that cannot be used leave the last ones in use."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from karnak_core import tls
from karnak_core.config.tls import ClientTLS, ServerTLS


def server_settings(identity, **others):
    return ServerTLS(certificate=identity.certificate, key=identity.key, **others)


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, "karnak_core.tls")
    return lambda level: [record.getMessage() for record in caplog.records if record.levelno == level]


def test_the_same_settings_share_a_context(authority):
    identity = authority.issue()
    one, other = tls.server_context(server_settings(identity)), tls.server_context(server_settings(identity))
    assert one.get() is other.get()
    assert tls.client_context(ClientTLS(ca=authority.file)) is tls.client_context(ClientTLS(ca=authority.file))
    assert tls.server_context(server_settings(identity, client_ca=authority.file)).get() is not one.get()


def test_a_new_certificate_makes_a_new_context(authority, messages):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    assert context.get() is before
    identity.replace_by(authority.issue())
    after = context.get()
    assert after is not before
    assert context.get() is after
    assert messages(logging.ERROR) == []
    assert "the files changed" in messages(logging.INFO)[0]


def test_a_new_authority_makes_a_new_context(authority, stranger):
    context = tls.client_context(ClientTLS(ca=authority.file))
    before = context.get()
    Path(authority.file).write_bytes(Path(stranger.file).read_bytes() * 2)
    assert context.get() is not before


def test_a_file_that_is_overwritten_in_place_is_noticed(authority):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    text = Path(identity.certificate).read_bytes()
    Path(identity.certificate).write_bytes(text + b"\n")
    assert context.get() is not before


def test_a_broken_file_keeps_the_old_context_and_is_logged_once(authority, messages):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    Path(identity.certificate).write_text("this is no certificate")
    assert [context.get() for _ in range(5)] == [before] * 5
    assert len(messages(logging.ERROR)) == 1
    assert "holds no certificate in PEM form" in messages(logging.ERROR)[0]
    assert messages(logging.ERROR)[0].endswith("what was read before stays in use")
    identity.replace_by(authority.issue())
    assert context.get() is not before
    assert len(messages(logging.ERROR)) == 1


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_a_file_that_is_gone_keeps_the_old_context(authority, messages, which):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    os.unlink(getattr(identity, which))
    assert context.get() is before
    assert "no such file or directory" in messages(logging.ERROR)[0]


def test_a_certificate_whose_key_has_not_come_yet_is_waited_for(authority):
    identity, new = authority.issue(), authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    Path(identity.certificate).write_bytes(Path(new.certificate).read_bytes())
    assert context.get() is before
    Path(identity.key).write_bytes(Path(new.key).read_bytes())
    assert context.get() is not before


def test_an_expired_certificate_does_not_replace_one_that_is_valid(authority, messages):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    before = context.get()
    identity.replace_by(authority.issue(days=-1))
    assert context.get() is before
    assert "the certificate expired on" in messages(logging.ERROR)[0]


def test_an_expired_certificate_is_used_where_there_is_no_other(authority, messages):
    context = tls.server_context(server_settings(authority.issue(days=-1)))
    assert context.get() is context.get()
    assert len(messages(logging.ERROR)) == 1
    assert messages(logging.ERROR)[0].endswith("peers will refuse it")


def test_files_that_never_could_be_used_are_an_error_each_time_until_they_can(authority, tmp_path):
    identity = authority.issue()
    there = Path(identity.key)
    elsewhere = there.rename(tmp_path / "elsewhere.key")
    context = tls.server_context(server_settings(identity))
    for _ in range(2):
        with pytest.raises(tls.TlsFileError, match="cannot be read: no such file or directory"):
            context.get()
    elsewhere.rename(there)
    assert context.get()


def test_a_client_certificate_is_not_optional_by_accident(authority):
    given = server_settings(authority.issue()).model_dump() | {"require_client_certificate": True}
    with pytest.raises(tls.TlsFileError, match="require_client_certificate needs client_ca"):
        tls.server_context(ServerTLS.model_construct(**given)).get()


def test_many_threads_get_one_new_context(authority):
    identity = authority.issue()
    context = tls.server_context(server_settings(identity))
    for _ in range(20):
        context.get()
        identity.replace_by(authority.issue())
        found = []
        together = threading.Barrier(20)

        def get(found=found, together=together):
            together.wait(60)
            found.extend(context.get() for _ in range(20))

        threads = [threading.Thread(target=get) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 400
        assert set(found) == {context.get()}
