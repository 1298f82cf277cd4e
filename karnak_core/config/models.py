"""What a configuration consists of. Frozen; lengths of time in seconds, sizes in bytes.

A new section is one model here and one field of :class:`Configuration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from karnak_core.config.afterwards import FollowUp, Notification
from karnak_core.config.collect import unique_by
from karnak_core.config.deidentification import DeIdentification, Project, TagMorphing
from karnak_core.config.names import (
    AETitle,
    ConditionText,
    Description,
    Host,
    HostOrBlank,
    Name,
    SOPClasses,
    TransferSyntaxText,
)
from karnak_core.config.parts import Model, Part, Sections
from karnak_core.config.profiles import EACH_ONCE, ProfileText
from karnak_core.config.quantities import Duration, Size, format_duration
from karnak_core.config.tls import ServerTLS
from karnak_core.pixels.syntaxes import NATIVE, transfer_syntax

DAY = 86400.0
#: what Karnak itself keeps in its data directory, beside files called karnak.…
OURS = frozenset({"spool", "work", "tmp", "wake", "node-id", "serve.lock", "secret.key"})

Port = Annotated[int, Field(ge=1, le=65535)]


class Listener(Model):
    """Where DICOM associations are accepted."""

    host: Host = Field(default="0.0.0.0", description="address to listen at; 0.0.0.0: all IPv4 addresses")
    port: int = Field(default=11112, description="1–65535, or 0: any free port, told in the ready line")
    tls: ServerTLS | None = Field(default=None, description="certificate and key, for TLS; none: plain TCP")
    max_associations: int = Field(default=200, ge=1, le=10000, description="associations open at once, of all peers")
    max_associations_per_peer: int = Field(
        default=50, ge=1, le=10000, description="associations open at once from one address"
    )

    @field_validator("port")
    @classmethod
    def _port(cls, value: int) -> int:
        if not 0 <= value <= 65535:
            raise ValueError(f"{value} is not 1 to 65535, nor 0 for any free port")
        return value


class Storage(Model):
    """How much is kept, and how long."""

    reserve: Size = Field(
        default=2 * 2**30, ge=0, description="free space in bytes below which no instance is accepted any more"
    )
    retention_days: int = Field(default=30, ge=0, le=36500, description="days that finished deliveries are listed")
    retention_deliveries: int = Field(
        default=150_000, ge=0, le=10**9, description="finished deliveries that are listed, at most"
    )


class Monitoring(Model):
    """Where programs ask by HTTP for numbers, and whether the gateway works."""

    host: Host = Field(default="127.0.0.1", description="address to listen at; who can reach it needs no password")
    port: int = Field(default=9464, description="1–65535, or 0: any free port, told in the log")

    @field_validator("port")
    @classmethod
    def _port(cls, value: int) -> int:
        if not 0 <= value <= 65535:
            raise ValueError(f"{value} is not 1 to 65535, nor 0 for any free port")
        return value


class ClinicalLog(Model):
    """Which de-identified instance was which: a file that identifies patients."""

    file: str = Field(min_length=1, max_length=4096, description="path, below the data directory unless it is absolute")
    max_bytes: Size = Field(default=100 * 2**20, ge=1024, description="a file that is larger is put aside")
    backups: int = Field(default=10, ge=1, le=1000, description="files put aside that are kept")

    @field_validator("file")
    @classmethod
    def _has_a_place_of_its_own(cls, value: str) -> str:
        if not value.isprintable() or value.endswith("/"):
            raise ValueError(f"{value!r} is not the path of a file")
        path = PurePosixPath(value)
        if path.is_absolute():
            return value
        if ".." in path.parts:
            raise ValueError(f"{value!r} leads out of the data directory; write an absolute path")
        if not path.parts or path.parts[0] in OURS or path.parts[0].startswith("karnak."):
            raise ValueError(f"{value!r} is what Karnak itself keeps; choose another file")
        return value


class ApplicationEntity(Model):
    """One entry of the directory: the address of an AE title."""

    ae_title: AETitle = Field(description="AE title, 1–16 characters")
    hostname: Host = Field(description="DNS name or IP address")
    port: Port = Field(description="TCP port, 1–65535")
    description: Description = Field(default="", description="for people")


class Authenticator(Part):
    """How requests to somebody are authorized; named where it is used."""

    KINDS: ClassVar[str] = "authenticators"


class Source(Model):
    """Who may send to a forward node."""

    ae_title: AETitle = Field(description="calling AE title, 1–16 characters")
    hostname: HostOrBlank = Field(default="", description="DNS name or IP address")
    check_hostname: bool = Field(default=False, description="true: the peer's address has to be that of hostname, too")
    description: Description = Field(default="", description="for people")

    @field_validator("check_hostname")
    @classmethod
    def _needs_hostname(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("hostname") == "":
            raise ValueError("true needs a hostname to check")
        return value


class Destination(Part):
    """Where instances of a forward node go: the keys common to every type, and ``options``, those of its kind."""

    KINDS: ClassVar[str] = "destinations"

    name: Name = Field(description="unique in the node; 1–64 letters, digits, underscores, dots, hyphens")
    description: Description = Field(default="", description="for people")
    enabled: bool = Field(default=True, description="false: nothing is transferred to it, nor queued")
    paused: bool = Field(default=False, description="true: instances are queued, but held")
    condition: ConditionText = Field(
        default="", max_length=1024, description="only instances that meet this expression; blank: all"
    )
    authorized_sop_classes: SOPClasses = Field(
        default=(), description="only these SOP classes, by UID, name or keyword; empty: all"
    )
    transfer_syntax: TransferSyntaxText = Field(
        default="keep", description="what pixels are sent in: keep, or a transfer syntax by UID or keyword"
    )
    transcode_only_uncompressed: bool | None = Field(
        default=None,
        description="true: what is compressed stays as it is; default: true where transfer_syntax is a compressed one",
    )
    quality: int = Field(default=85, ge=1, le=100, description="of JPEG and JPEG XL with losses, 1–100")
    compression_ratio: float = Field(
        default=10.0, gt=1, le=1000, description="of JPEG 2000 and HTJ2K with losses: bytes before by bytes afterwards"
    )
    near_lossless_error: int = Field(
        default=2, ge=1, le=255, description="of JPEG-LS near-lossless: what a pixel may differ by"
    )
    de_identification: DeIdentification | None = Field(default=None, description="de-identify what is sent")
    tag_morphing: TagMorphing | None = Field(
        default=None, description="change data elements of what is sent; never together with de_identification"
    )
    follow_ups: Annotated[tuple[FollowUp, ...], unique_by("name")] = Field(
        default=(), description="what is done after instances were sent"
    )
    notifications: Annotated[tuple[Notification, ...], unique_by("name")] = Field(
        default=(), description="who is told what became of each study"
    )
    retry_for: Duration = Field(
        default=7 * DAY, ge=0, le=365 * DAY, description="how long a delivery is tried again before it is failed"
    )
    retry_first: Duration = Field(default=5.0, ge=0.1, le=DAY, description="longest wait before the first retry")
    retry_longest: Duration = Field(default=900.0, ge=1, le=7 * DAY, description="longest wait between two retries")

    @property
    def only_uncompressed(self) -> bool:
        """True: what is compressed stays as it is."""
        if self.transcode_only_uncompressed is not None:
            return self.transcode_only_uncompressed
        return transfer_syntax(self.transfer_syntax) not in ("", *NATIVE)

    @field_validator("tag_morphing")
    @classmethod
    def _not_both(cls, value: TagMorphing | None, info: ValidationInfo) -> TagMorphing | None:
        if value is not None and info.data.get("de_identification") is not None:
            raise ValueError("excludes de_identification; only one of the two can be used")
        return value

    @field_validator("retry_longest")
    @classmethod
    def _at_least_first(cls, value: float, info: ValidationInfo) -> float:
        first = info.data.get("retry_first", 0.0)
        if value < first:
            raise ValueError(f"{format_duration(value)} is less than retry_first, {format_duration(first)}")
        return value


class ForwardNode(Model):
    """An AE title that receives, who may send to it, and where what it receives goes."""

    ae_title: AETitle = Field(description="called AE title, 1–16 characters, unique")
    description: Description = Field(default="", description="for people")
    sources: Annotated[tuple[Source, ...], unique_by("ae_title", "hostname")] = Field(
        default=(), description="who may send; none: anyone"
    )
    destinations: Annotated[tuple[Destination, ...], unique_by("name")] = Field(
        default=(), description="where every instance goes"
    )


class PluginSections(Sections):
    """Plugins that are not used, and one section for each service."""

    disabled: tuple[str, ...] = Field(default=(), description="names of installed plugins that are not loaded")


class Configuration(Model):
    """Everything that the gateway is told; made by :mod:`karnak_core.config.load`."""

    listener: Listener = Field(default=Listener(), description="where associations are accepted")
    storage: Storage = Field(default=Storage(), description="how much is kept, and how long")
    monitoring: Monitoring | None = Field(default=None, description="metrics and health by HTTP; none: off")
    clinical_log: ClinicalLog | None = Field(
        default=None, description="log of de-identified instances that were sent; none: off"
    )
    application_entities: Annotated[tuple[ApplicationEntity, ...], unique_by("ae_title")] = Field(
        default=(), description="addresses of AE titles"
    )
    authenticators: Mapping[Name, Authenticator] = Field(
        default_factory=dict, description="how requests are authorized, by names to be used elsewhere"
    )
    profiles: Annotated[tuple[ProfileText, ...], EACH_ONCE] = Field(
        default=(), description="de-identification profiles: paths of their files"
    )
    projects: Annotated[tuple[Project, ...], unique_by("name")] = Field(
        default=(), description="what de-identification and tag morphing are done for"
    )
    forward_nodes: Annotated[tuple[ForwardNode, ...], unique_by("ae_title")] = Field(
        default=(), description="the AE titles that receive"
    )
    plugins: PluginSections = Field(default=PluginSections(), description="what plugins are told")

    @property
    def services(self) -> Mapping[str, BaseModel]:
        """The sections of services and of other plugins that are written: the name, and the keys."""
        return self.plugins.services
