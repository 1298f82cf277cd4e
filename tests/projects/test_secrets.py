"""Secrets of projects: where they come from, and that everyone who asks gets the same one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy import event

from karnak_core.config.deidentification import Project
from karnak_core.config.names import ProfileName
from karnak_core.config.secret import Origin, Secret
from karnak_core.database import Database
from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_core.database.tables import project_secret
from karnak_core.deidentify import secret_to_text
from karnak_core.errors import Misconfigured, NotFound
from karnak_core.projects import ProjectSecrets, rows

HEX = "0123456789abcdef0123456789abcdef"
BYTES = bytes.fromhex(HEX)
BASIC = ProfileName("Dicom Basic Profile")
STUDY_A = Project(name="STUDY-A", profile=BASIC)


@pytest.fixture
def vault() -> Vault:
    return Vault([Fernet.generate_key().decode()])


@pytest.fixture
def project_secrets(database: Database, vault: Vault) -> ProjectSecrets:
    return ProjectSecrets(database, vault)


def given(secret: Secret) -> Project:
    return STUDY_A.model_copy(update={"secret": secret})


def reveal(secret: Any) -> str:
    text: str = secret.reveal()
    return text


def stored(database: Database, project: str = "STUDY-A") -> list[rows.StoredSecret]:
    with database.read() as connection:
        return rows.listed(connection, project)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "not within 60 s"
        threading.Event().wait(0.05)


def test_project_without_a_secret_gets_one_at_its_first_use_and_keeps_it(
    database: Database, vault: Vault, project_secrets: ProjectSecrets
) -> None:
    secret = project_secrets.secret(STUDY_A, reveal)
    assert len(secret) == 16
    assert ProjectSecrets(database, vault).secret(STUDY_A, reveal) == secret
    (only,) = stored(database)
    assert (only.number, only.created_by, only.reveal(vault)) == (1, "the gateway", secret)
    assert only.active_since == only.created_at


def test_secrets_of_projects_differ(project_secrets: ProjectSecrets) -> None:
    other = Project(name="STUDY-B", profile=BASIC)
    assert project_secrets.secret(STUDY_A, reveal) != project_secrets.secret(other, reveal)


def test_secret_of_the_configuration_goes_before_a_stored_one(
    database: Database, project_secrets: ProjectSecrets
) -> None:
    own = project_secrets.secret(STUDY_A, reveal)
    assert project_secrets.secret(given(Secret.plain(HEX)), reveal) == BYTES
    assert project_secrets.secret(STUDY_A, reveal) == own
    assert len(stored(database)) == 1


def test_no_secret_is_generated_where_the_configuration_gives_one(
    database: Database, project_secrets: ProjectSecrets
) -> None:
    project_secrets.secret(given(Secret.plain(HEX)), reveal)
    assert stored(database) == []


def test_wrong_secret_of_the_configuration_is_told_without_its_value(project_secrets: ProjectSecrets) -> None:
    wrong = f"{HEX[:-1]}x"
    with pytest.raises(Misconfigured) as caught:
        project_secrets.secret(given(Secret.plain(wrong)), reveal)
    assert caught.value.reason == "project 'STUDY-A': secret: a secret is 32 hex digits, with or without dashes"
    assert caught.value.__cause__ is None


def test_secret_whose_variable_is_not_set_is_told(project_secrets: ProjectSecrets) -> None:
    with pytest.raises(Misconfigured, match="project 'STUDY-A': secret: environment variable NOT_SET is not set"):
        project_secrets.secret(given(Secret(Origin.ENV, "NOT_SET")), reveal)


def test_secret_in_a_file_is_followed(project_secrets: ProjectSecrets, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{HEX}\n")
    project = given(Secret(Origin.FILE, str(path)))
    assert project_secrets.secret(project, reveal) == BYTES
    path.write_text(secret_to_text(bytes(16)))
    eventually(lambda: project_secrets.secret(project, reveal) == bytes(16))


def test_secret_that_was_stored_with_another_key_is_told(database: Database, vault: Vault) -> None:
    ProjectSecrets(database, vault).secret(STUDY_A, reveal)
    other = Vault([Fernet.generate_key().decode()])
    with pytest.raises(Misconfigured, match="project 'STUDY-A': secret: a stored secret does not open with this key"):
        ProjectSecrets(database, other).secret(STUDY_A, reveal)


def test_change_of_the_active_secret_is_followed(
    database: Database, vault: Vault, project_secrets: ProjectSecrets
) -> None:
    first = project_secrets.secret(STUDY_A, reveal)
    rows.add(database, vault, "STUDY-A", BYTES, "tester")
    eventually(lambda: project_secrets.secret(STUDY_A, reveal) == BYTES)
    rows.activate(database, vault, "STUDY-A", 1, "tester")
    eventually(lambda: project_secrets.secret(STUDY_A, reveal) == first)


def test_no_query_is_made_for_every_instance(project_secrets: ProjectSecrets, database: Database) -> None:
    project_secrets.secret(STUDY_A, reveal)
    queries: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    for _ in range(1000):
        project_secrets.secret(STUDY_A, reveal)
    assert len(queries) < 100


def test_secrets_are_encrypted_in_the_database(database: Database, vault: Vault) -> None:
    rows.add(database, vault, "STUDY-A", BYTES, "tester")
    with database.read() as connection:
        (row,) = connection.execute(sa.select(project_secret)).all()
    text = str(tuple(row)).lower()
    assert HEX not in text
    assert secret_to_text(BYTES) not in text


def test_older_secret_becomes_the_active_one_again(database: Database, vault: Vault) -> None:
    assert rows.add(database, vault, "STUDY-A", None, "one") == 1
    assert rows.add(database, vault, "STUDY-A", BYTES, "two") == 2
    assert rows.activate(database, vault, "STUDY-A", 1, "three") is True
    assert rows.activate(database, vault, "STUDY-A", 1, "four") is False
    first, second = stored(database)
    assert (first.created_by, first.active_by, first.active_until) == ("one", "three", None)
    assert (second.active_since, second.active_by) == (None, "two")
    assert first.active_since is not None
    assert second.active_until is not None
    assert second.active_until <= first.active_since


def test_number_that_does_not_exist_is_refused(database: Database, vault: Vault) -> None:
    with pytest.raises(NotFound, match="project 'STUDY-A' has no secret 1; known: none"):
        rows.activate(database, vault, "STUDY-A", 1, "tester")
    rows.add(database, vault, "STUDY-A", None, "tester")
    with pytest.raises(NotFound, match="project 'STUDY-A' has no secret 2; known: 1 to 1"):
        rows.activate(database, vault, "STUDY-A", 2, "tester")
    assert stored(database)[0].active_since is not None


def test_secret_that_the_project_has_is_not_added_again(database: Database, vault: Vault) -> None:
    rows.add(database, vault, "STUDY-A", BYTES, "tester")
    rows.add(database, vault, "STUDY-A", None, "tester")
    with pytest.raises(rows.AlreadyThere, match="it is number 1"):
        rows.add(database, vault, "STUDY-A", BYTES, "tester")
    assert [entry.active_since is not None for entry in stored(database)] == [False, True]
    assert rows.add(database, vault, "STUDY-B", BYTES, "tester") == 1


def test_key_that_is_not_the_gateways_changes_nothing(database: Database, vault: Vault) -> None:
    rows.add(database, vault, "STUDY-A", None, "tester")
    rows.add(database, vault, "STUDY-A", BYTES, "tester")
    other = Vault([Fernet.generate_key().decode()])
    before = stored(database)
    with pytest.raises(SecretKeyError):
        rows.add(database, other, "STUDY-A", None, "tester")
    with pytest.raises(SecretKeyError):
        rows.activate(database, other, "STUDY-A", 1, "tester")
    assert stored(database) == before


PROCESS = """
import sys
from pathlib import Path
from karnak_core.config.deidentification import Project
from karnak_core.database import open_database
from karnak_core.database.secrets import Vault
from karnak_core.projects import ProjectSecrets
url, folder, key = sys.argv[1:]
secrets = ProjectSecrets(open_database(url, Path(folder)), Vault([key]))
projects = [Project(name=f"P{number}", profile="Dicom Basic Profile") for number in range(20)]
print("ready", flush=True)
sys.stdin.readline()
for project in projects:
    print(secrets.secret(project, str).hex(), flush=True)
"""


def test_processes_that_need_a_secret_at_once_get_the_same_one(database: Database, tmp_path: Path) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    key = Fernet.generate_key().decode()
    command = [sys.executable, "-c", PROCESS, url, str(tmp_path), key]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    # all wait for their line: they begin together
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in running]
    assert len(set(answers[0])) == 20
    assert answers[0] == answers[1] == answers[2]
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(project_secret)).scalar() == 20


def test_threads_that_need_a_secret_at_once_get_the_same_one(
    database: Database, vault: Vault, project_secrets: ProjectSecrets
) -> None:
    found: list[bytes] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(project_secrets.secret(STUDY_A, reveal))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(stored(database)) == 1
