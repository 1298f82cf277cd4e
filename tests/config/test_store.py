"""The versions of the configuration in the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from karnak_core.config import store
from karnak_core.config.export import to_document
from karnak_core.config.models import Configuration
from karnak_core.config.store import Following, PluginLoader
from karnak_core.database import Database
from karnak_core.database.secrets import Vault
from karnak_core.database.tables import delivery, instance
from karnak_core.errors import ConfigurationError, NotFound
from karnak_core.plugins import Plugins

Load = Callable[[str], Configuration]

NODE = """
    forward_nodes:
      - ae_title: FORWARD
        destinations:
          - {{name: pacs, type: peer, ae_title: PACS, port: {port}}}
"""


@pytest.fixture
def apply(db: Database, installed: PluginLoader, vault: Vault) -> Callable[..., store.Applied]:
    def apply_it(configuration: Configuration, comment: str = "") -> store.Applied:
        return store.apply(db, installed, vault, configuration, author="tester", comment=comment)

    return apply_it


Apply = Callable[..., store.Applied]


def test_nothing_applies_before_something_was_applied(db: Database, plugins: Plugins) -> None:
    assert store.version_number(db) == 0
    assert store.current(db, plugins) is None
    assert store.history(db) == []


def test_the_default_receives_into_a_folder(db: Database, plugins: Plugins) -> None:
    version, configuration = store.current_or_default(db, plugins)
    node = configuration.forward_nodes[0]
    assert version == 0
    assert (configuration.listener.host, configuration.listener.port) == ("0.0.0.0", 11112)
    assert (node.ae_title, node.destinations[0].name, node.destinations[0].type) == ("KARNAK", "received", "folder")


def test_what_is_applied_is_what_applies(db: Database, plugins: Plugins, read: Load, apply: Apply) -> None:
    configuration = read(NODE.format(port=104))
    done = apply(configuration, "first")
    assert (done.version, done.new) == (1, True)
    assert store.current(db, plugins) == (1, configuration)
    assert store.version_number(db) == 1


def test_applying_the_same_again_makes_no_version(db: Database, read: Load, apply: Apply) -> None:
    apply(read(NODE.format(port=104)))
    done = apply(read(NODE.format(port=104)))
    assert (done.version, done.new, done.changes) == (1, False, ())
    assert len(store.history(db)) == 1


def test_history_tells_who_why_and_what(db: Database, read: Load, apply: Apply) -> None:
    apply(read(NODE.format(port=104)), "first")
    apply(read(NODE.format(port=11104)), "moved")
    newest, oldest = store.history(db)
    assert (newest.number, newest.author, newest.comment) == (2, "tester", "moved")
    assert newest.changes == ("~ FORWARD/pacs: port 104 -> 11104",)
    assert newest.created_at >= oldest.created_at > 0
    assert "+ FORWARD/pacs: added" in oldest.changes
    assert "- KARNAK: removed" in oldest.changes


def test_rollback_makes_a_new_version_of_an_old_document(
    db: Database, plugins: Plugins, installed: PluginLoader, vault: Vault, read: Load, apply: Apply
) -> None:
    apply(read(NODE.format(port=104)))
    apply(read(NODE.format(port=11104)))
    done = store.rollback(db, installed, vault, 1, author="tester")
    assert (done.version, done.changes) == (3, ("~ FORWARD/pacs: port 11104 -> 104",))
    assert store.current(db, plugins) == (3, read(NODE.format(port=104)))
    assert store.history(db)[0].comment == "rollback to version 1"


def test_rollback_to_a_version_that_never_was_is_refused(
    db: Database, plugins: Plugins, installed: PluginLoader, vault: Vault, read: Load, apply: Apply
) -> None:
    with pytest.raises(NotFound, match="there is no version 7; known: none was ever applied"):
        store.rollback(db, installed, vault, 7, author="tester")
    apply(read(NODE.format(port=104)))
    with pytest.raises(NotFound, match="there is no version 7; known: 1 to 1"):
        store.rollback(db, installed, vault, 7, author="tester")


def test_rollback_to_what_does_not_fit_the_plugins_any_more_is_refused(
    db: Database, nothing_installed: PluginLoader, vault: Vault, read: Load, apply: Apply
) -> None:
    apply(read(NODE.format(port=104)))
    with pytest.raises(ConfigurationError, match="type: 'peer' is not a known type; known: none"):
        store.rollback(db, nothing_installed, vault, 1, author="tester")
    assert store.version_number(db) == 1


def test_what_does_not_fit_the_plugins_any_more_can_be_replaced(
    db: Database, nothing_installed: PluginLoader, vault: Vault, read: Load, apply: Apply
) -> None:
    apply(read(NODE.format(port=104)))
    done = store.apply(db, nothing_installed, vault, Configuration(), author="tester")
    assert done.changes == ("~ everything: version 1 does not fit the plugins and is replaced",)


def test_a_comment_that_is_too_long_is_refused(read: Load, apply: Apply) -> None:
    with pytest.raises(ConfigurationError, match="comment: is 256 characters long; at most 255 are allowed"):
        apply(read(NODE.format(port=104)), "x" * 256)


def test_two_writers_at_once_both_make_a_version(db: Database, read: Load, apply: Apply) -> None:
    configurations = [read(NODE.format(port=port)) for port in range(1, 9)]
    together = threading.Barrier(len(configurations))
    versions: list[int] = []

    def write(configuration: Configuration) -> None:
        together.wait()
        versions.append(apply(configuration).version)

    threads = [threading.Thread(target=write, args=(configuration,)) for configuration in configurations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(versions) == list(range(1, 9))
    assert [version.number for version in store.history(db)] == list(range(8, 0, -1))


def test_part_of_the_history_is_read_alone(db: Database, read: Load, apply: Apply) -> None:
    for port in range(1, 7):
        apply(read(NODE.format(port=port)))
    assert [version.number for version in store.history(db, before=5, limit=2)] == [4, 3]
    assert [version.number for version in store.history(db, before=2, limit=2)] == [1]
    found = list(store.documents(db, 2, 5, 3))
    assert [version.number for version, _ in found] == [5, 4, 3]
    assert found[0][1] == to_document(read(NODE.format(port=5)))


def test_plugins_that_are_disabled_are_known_before_any_is_loaded(db: Database, read: Load, apply: Apply) -> None:
    assert store.disabled_plugins(db) == ()
    apply(read("plugins: {disabled: [other]}"))
    assert store.disabled_plugins(db) == ("other",)


def test_following_sees_a_new_version(db: Database, plugins: Plugins, read: Load, apply: Apply) -> None:
    following = Following(db, plugins)
    assert (following.version, following.refresh()) == (0, False)
    apply(read(NODE.format(port=104)))
    assert following.refresh()
    assert (following.version, following.configuration) == (1, read(NODE.format(port=104)))
    assert not following.refresh()


def test_following_goes_on_with_the_old_version_when_the_new_one_does_not_fit(
    db: Database,
    nothing_installed: PluginLoader,
    vault: Vault,
    read: Load,
    apply: Apply,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.apply(db, nothing_installed, vault, Configuration(), author="tester")
    following = Following(db, nothing_installed.plugins())
    apply(read(NODE.format(port=104)))
    assert [following.refresh() for _ in range(3)] == [False, False, False]
    assert (following.version, following.configuration) == (1, Configuration())
    assert len(caplog.records) == 1
    assert "version 2 of the configuration cannot be used and version 1 goes on" in caplog.text
    assert "'peer' is not a known type" in caplog.text
    apply(Configuration())
    assert following.refresh()
    assert following.version == 3


def test_following_cannot_start_with_what_does_not_fit(
    db: Database, nothing_installed: PluginLoader, read: Load, apply: Apply
) -> None:
    apply(read(NODE.format(port=104)))
    with pytest.raises(ConfigurationError):
        Following(db, nothing_installed.plugins())


def test_following_loads_the_plugins_that_are_not_disabled(
    db: Database, installed: PluginLoader, read: Load, apply: Apply
) -> None:
    apply(read("plugins: {disabled: [third_party]}"))
    following = Following.start(db, installed)
    assert following.plugins.disabled == {"third_party"}
    assert following.plugins.destinations == {}


def test_no_secret_can_be_read_in_the_database(
    db: Database, plugins: Plugins, vault: Vault, read: Load, apply: Apply, tmp_path: Path
) -> None:
    text = """
        forward_nodes:
          - ae_title: FORWARD
            destinations:
              - {name: pacs, type: peer, ae_title: PACS, password: hunter2-hunter2}
        plugins: {mail: {password: hunter2-hunter2}}
    """
    apply(read(text))
    assert not apply(read(text)).new
    found = store.current(db, plugins)
    assert found
    destination = found[1].forward_nodes[0].destinations[0]
    assert destination.options.password.reveal(vault) == "hunter2-hunter2"  # type: ignore[attr-defined]
    with db.write() as connection:
        assert "hunter2" not in str(connection.execute(sa.text("SELECT * FROM config_version")).all())
    db.close()
    for path in tmp_path.iterdir():
        assert b"hunter2" not in path.read_bytes()


def test_changing_a_secret_is_a_change_without_its_text(read: Load, apply: Apply) -> None:
    text = "plugins: {mail: {password: {old}}}"
    apply(read(text.replace("{old}", "hunter2")))
    assert apply(read(text.replace("{old}", "hunter3"))).changes == ("~ plugins.mail: password changed",)


def test_a_stored_secret_of_another_key_is_refused(read: Load, apply: Apply) -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply(read("plugins: {mail: {password: {stored: abc}}}"))
    assert str(caught.value).startswith("plugins.mail.password: a stored secret does not open with this key")


def test_what_is_queued_for_a_destination_that_changes_is_part_of_the_history(
    db: Database, read: Load, apply: Apply
) -> None:
    profile = "{name: one, version: '1', profileElements: [{name: b, codename: basic.dicom.profile}]}"
    text = f"""
        profiles: [{{text: "{profile}"}}]
        projects: [{{name: A, profile: one}}]
        forward_nodes:
          - {{ae_title: F, destinations: [{{name: cloud, type: folder, directory: x%s}}]}}
    """
    apply(read(text % ", de_identification: {project: A}"))
    _queue(db, "F", "cloud")
    done = apply(read(text % ""))
    line = "~ F/cloud: 1 queued delivery will go out with the patient's identity"
    assert line in done.changes
    assert line in store.history(db)[0].changes


def _queue(db: Database, node: str, destination: str) -> None:
    with db.write() as connection:
        number = connection.execute(
            sa.insert(instance)
            .values(
                forward_node=node,
                calling_ae_title="CT",
                peer_host="127.0.0.1",
                received_at=1000,
                sop_class_uid="1.2",
                sop_instance_uid="1.2.3",
                study_instance_uid="1.2.4",
                series_instance_uid="1.2.5",
                transfer_syntax_uid="1.2.840.10008.1.2",
                path=None,
                dataset_offset=0,
                size=10,
                facts={},
            )
            .returning(instance.c.id)
        ).scalar_one()
        connection.execute(
            sa.insert(delivery).values(
                instance_id=number,
                forward_node=node,
                destination=destination,
                state="pending",
                not_before=1000,
                created_at=1000,
            )
        )
