"""A running gateway derives what it sends from the secret that is active, and follows when another one becomes so."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pydicom

from karnak_core.database import open_database
from karnak_core.database.secrets import open_vault
from karnak_core.deidentify import Hasher
from karnak_core.projects import rows
from karnak_core.testing import RunningGateway, make_file, one_node, run_gateway, send, wait_until

HEX = "0123456789abcdef0123456789abcdef"
CONFIGURATION = {
    "projects": [{"name": "STUDY-A", "profile": "Dicom Basic Profile"}],
    **one_node(
        {
            "name": "research",
            "type": "folder",
            "directory": "research",
            "de_identification": {"project": "STUDY-A", "pseudonym": {"type": "tag", "tag": "(0012,0040)"}},
        }
    ),
}


def sent_with(gateway: RunningGateway, folder: Path) -> tuple[str, str]:
    """Send an instance; return its UID and the one that went out."""
    path = make_file(folder, ClinicalTrialSubjectID="PSN-1")
    uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    assert send(gateway.port, [path]) == [0x0000]
    (found,) = gateway.wait_until(lambda: gateway.deliveries(sop_instance_uid=uid, state="sent"))
    return uid, found["sent_sop_instance_uid"]


def test_running_gateway_uses_the_generated_secret_and_follows_another_one(tmp_path: Path) -> None:
    with run_gateway(CONFIGURATION, tmp_path / "data") as gateway:
        with closing(open_database(None, gateway.data)) as database, database.read() as connection:
            (only,) = rows.listed(connection, "STUDY-A")
        generated = Hasher(only.reveal(open_vault(gateway.data)))
        received, sent = sent_with(gateway, tmp_path)
        assert sent == generated.uid(received)

        secret = tmp_path / "secret"
        secret.write_text(HEX)
        gateway.run("projects", "secret", "set", "STUDY-A", "--from-file", str(secret), "--yes")
        given = Hasher(bytes.fromhex(HEX))

        def follows() -> bool:
            received, sent = sent_with(gateway, tmp_path)
            assert sent in (generated.uid(received), given.uid(received))
            return sent == given.uid(received)

        wait_until(follows, what="the gateway uses the other secret")
