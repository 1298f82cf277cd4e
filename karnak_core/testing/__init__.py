"""For tests of plugins and of Karnak itself: a real gateway, real peers, instances made by code. Public.

Nothing here is a pytest fixture, so that any of it can be used in fixtures of any scope. A destination's test looks
like this::

    def test_instance_arrives(tmp_path):
        destination = {"name": "mine", "type": "mine", "colour": "red"}
        with run_gateway(one_node(destination), tmp_path / "data") as gateway:
            assert send(gateway.port, [make_file(tmp_path)]) == [0x0000]
            gateway.wait_until(lambda: gateway.deliveries(state="sent"))

Everything listens on the loopback and on ports of its own, and ends with its ``with`` block.
"""

from karnak_core.testing.datasets import dataset_bytes, make_dataset, make_file
from karnak_core.testing.gateway import RunningGateway, one_node, run_gateway
from karnak_core.testing.mail import Mail, RunningMailServer, run_mail_server
from karnak_core.testing.orthanc import RunningOrthanc, run_orthanc
from karnak_core.testing.peers import (
    NO_ANSWER,
    OpenAssociation,
    RunningStoreSCP,
    Stored,
    StoredFiles,
    associate,
    dcmsend,
    rejection,
    run_store_scp,
    run_storescp,
    send,
    storescu,
)
from karnak_core.testing.raw_http import run_raw_http
from karnak_core.testing.waiting import free_port, listens, missing, wait_until

__all__ = [
    "NO_ANSWER",
    "Mail",
    "OpenAssociation",
    "RunningGateway",
    "RunningMailServer",
    "RunningOrthanc",
    "RunningStoreSCP",
    "Stored",
    "StoredFiles",
    "associate",
    "dataset_bytes",
    "dcmsend",
    "free_port",
    "listens",
    "make_dataset",
    "make_file",
    "missing",
    "one_node",
    "rejection",
    "run_gateway",
    "run_mail_server",
    "run_orthanc",
    "run_raw_http",
    "run_store_scp",
    "run_storescp",
    "send",
    "storescu",
    "wait_until",
]
