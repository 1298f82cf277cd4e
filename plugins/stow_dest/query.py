"""Ask a server by QIDO-RS whether it has an instance (DICOM PS3.18 section 10.6)."""

from __future__ import annotations

from karnak_core.errors import Retryable
from karnak_core.model import Outgoing
from karnak_plugins.stow_dest.answer import sop_instance_uids
from karnak_plugins.stow_dest.client import Client


def has_instance(client: Client, studies_url: str, outgoing: Outgoing) -> bool:
    """Say whether the server lists the instance.

    Raises
    ------
    DeliveryError
        It did not answer, or not that it knows.
    """
    reply = client.get(_resource(studies_url, outgoing), parameters={"SOPInstanceUID": outgoing.sop_instance_uid})
    if reply.status == 200:
        # some servers list whatever they have
        return outgoing.sop_instance_uid in sop_instance_uids(reply.body)
    if reply.status in (204, 404):
        return False
    raise Retryable(f"{client.peer}: QIDO-RS is answered with HTTP {reply.status}; is verify right for this server?")


def _resource(studies_url: str, outgoing: Outgoing) -> str:
    study, series = outgoing.study_instance_uid, outgoing.series_instance_uid
    if study and series:
        return f"{studies_url}/{study}/series/{series}/instances"
    if study:
        return f"{studies_url}/{study}/instances"
    return f"{studies_url.removesuffix('/studies')}/instances"
