"""Orthanc as a peer: a receiver, and a sender by its REST API."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from karnak_core.testing.waiting import free_port, program, wait_until

START_SECONDS = 60.0


class RunningOrthanc:
    """An Orthanc that accepts everything from anyone; made by :func:`run_orthanc`."""

    def __init__(self, port: int, http_port: int, ae_title: str) -> None:
        #: where it receives by C-STORE
        self.port = port
        self.http_port = http_port
        self.ae_title = ae_title

    @property
    def destination(self) -> dict[str, Any]:
        """Return where it is, for the configuration of a destination."""
        return {"type": "dicom", "ae_title": self.ae_title, "hostname": "127.0.0.1", "port": self.port}

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """Ask the REST API; ``body`` is sent as it is when it is bytes, else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as response:
            answer: bytes = response.read()
        return answer

    def get(self, path: str) -> Any:
        """Return what the REST API answers, from JSON."""
        return json.loads(self.request("GET", path))

    def instances(self) -> list[str]:
        """Return Orthanc's names of the instances that it has."""
        found: list[str] = self.get("/instances")
        return found

    def file(self, name: str) -> bytes:
        """Return the file of an instance as Orthanc keeps it."""
        return self.request("GET", f"/instances/{name}/file")

    def upload(self, path: Path) -> str:
        """Give it a file; return Orthanc's name of the instance."""
        answer = json.loads(self.request("POST", "/instances", path.read_bytes()))
        return str(answer["ID"])

    def delete_all(self) -> None:
        """Forget every patient."""
        for patient in self.get("/patients"):
            self.request("DELETE", f"/patients/{patient}")

    def store(self, names: list[str], port: int, *, called: str = "FORWARD") -> Mapping[str, Any]:
        """Send instances by C-STORE to a port of the loopback, all that can be; return what Orthanc says of it.

        Raises
        ------
        urllib.error.HTTPError
            Orthanc sent nothing.
        """
        modality = {"AET": called, "Host": "127.0.0.1", "Port": port}
        self.request("PUT", "/modalities/peer", modality)
        body = {"Resources": names, "Synchronous": True, "Permissive": True}
        found: Mapping[str, Any] = json.loads(self.request("POST", "/modalities/peer/store", body))
        return found


@contextmanager
def run_orthanc(folder: Path, *, ae_title: str = "ORTHANC", **configuration: Any) -> Iterator[RunningOrthanc]:
    """Run an Orthanc without plugins whose data is in ``folder``; further keys of its configuration may be given."""
    folder.mkdir(parents=True, exist_ok=True)
    orthanc = RunningOrthanc(free_port(), free_port(), ae_title)
    written = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "HttpPort": orthanc.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": ae_title,
        "DicomPort": orthanc.port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": False,
        **configuration,
    }
    (folder / "orthanc.json").write_text(json.dumps(written, indent=1))
    with open(folder / "orthanc.log", "wb") as log:
        process = subprocess.Popen(
            [program("Orthanc", "Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _answers(orthanc) or process.poll() is not None, START_SECONDS, "Orthanc answers")
        assert process.poll() is None, f"Orthanc ended: {(folder / 'orthanc.log').read_text(errors='replace')[-2000:]}"
        yield orthanc
    finally:
        process.kill()
        process.wait()


def _answers(orthanc: RunningOrthanc) -> bool:
    with suppress(OSError, urllib.error.URLError):
        orthanc.get("/system")
        return True
    return False
