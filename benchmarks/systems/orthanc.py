"""Orthanc with a minimal configuration; forwarding is the auto-routing script of its book."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import orthanc
from benchmarks.systems.running import Address, Running, free_port, keep_running, wait_until_listening

#: each instance is sent as it is stored, and kept
AUTO_ROUTING = """\
function OnStoredInstance(instanceId, tags, metadata)
   SendToModality(instanceId, 'target')
end
"""


class Orthanc:
    """Keeps what it receives (fsync on, its default), forwards it when told to."""

    def __init__(self, *, no_delay: bool, share: float) -> None:
        # it is made of DCMTK, which reads this; as installed, nobody sets it
        self._environment = {"TCP_NODELAY": "1"} if no_delay else {}
        self.name = "orthanc, Nagle off" if no_delay else "orthanc"
        self.share = share

    @contextmanager
    def start(self, folder: Path, forward_to: Address | None = None) -> Iterator[Running]:
        """Run it with everything else at its defaults."""
        port = free_port()
        configuration: dict[str, object] = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpServerEnabled": False,
            "DicomAet": "ORTHANC",
            "DicomPort": port,
            "Plugins": [],
        }
        if forward_to is not None:
            script = folder / "auto-routing.lua"
            script.write_text(AUTO_ROUTING)
            configuration["LuaScripts"] = [str(script)]
            configuration["DicomModalities"] = {"target": [forward_to.ae_title, "127.0.0.1", forward_to.port]}
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration))
        with keep_running([orthanc(), str(file)], folder=folder, environment=self._environment) as process:
            wait_until_listening(process, port)
            yield Running(
                pid=process.pid,
                address=Address(port=port, ae_title="ORTHANC"),
                received=None,
                role=lambda _: "orthanc",
            )
