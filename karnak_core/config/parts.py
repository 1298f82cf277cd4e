"""Models whose keys depend on a plugin: in files its keys stand beside ours, in the program behind one field."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from karnak_core.config.collect import again, raise_all
from karnak_core.config.reading import Reading, reading
from karnak_core.kinds import Kind


class Model(BaseModel):
    """What every model of the configuration has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Open(Model):
    """A model with further keys that plugins define; they are kept behind the field ``HIDDEN``."""

    HIDDEN: ClassVar[str]

    @classmethod
    @abstractmethod
    def further(cls, written: Mapping[str, Any], context: Reading) -> Mapping[str, Any]:
        """Return the further keys of one mapping of the file, each with its type or pydantic field."""

    @model_validator(mode="before")
    @classmethod
    def _put_behind(cls, value: Any, info: ValidationInfo) -> Any:
        # without a context it is code that builds the model, and names the field itself
        if not isinstance(value, Mapping) or reading(info) is None:
            return value
        own = cls.model_fields.keys() - {cls.HIDDEN}
        return {
            **{key: item for key, item in value.items() if key in own},
            cls.HIDDEN: {key: item for key, item in value.items() if key not in own},
        }

    @model_serializer(mode="wrap")
    def _put_beside(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        # the name first, as people write it
        beside = {"name": written["name"]} if "name" in written else {}
        for key, item in written.items():
            beside |= item if key == self.HIDDEN else {key: item}
        return beside


class Part(Open):
    """One part that a plugin opens: its ``type`` names the kind, whose keys stand beside those of the subclass."""

    HIDDEN: ClassVar[str] = "options"
    #: the field of ``Plugins`` with the kinds
    KINDS: ClassVar[str]

    type: str = Field(description="which kind it is; the kind has further keys")
    options: SerializeAsAny[BaseModel] = Field(description="the keys of the kind")

    @classmethod
    def kinds(cls, context: Reading) -> Mapping[str, Kind[Any, Any]]:
        """Return the kinds that ``type`` can name."""
        found: Mapping[str, Kind[Any, Any]] = getattr(context.plugins, cls.KINDS)
        return found

    @classmethod
    def further(cls, written: Mapping[str, Any], context: Reading) -> Mapping[str, Any]:
        """Return the keys of the kind."""
        name = written.get("type")
        kind = cls.kinds(context).get(name) if isinstance(name, str) else None
        return kind.config.model_fields if kind else {}

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str, info: ValidationInfo) -> str:
        context = reading(info)
        if context and value not in cls.kinds(context):
            known = ", ".join(sorted(cls.kinds(context))) or "none"
            raise ValueError(f"{value!r} is not a known type; known: {known}")
        return value

    @field_validator("options", mode="plain")
    @classmethod
    def _of_the_kind(cls, value: Any, info: ValidationInfo) -> Any:
        context = reading(info)
        if isinstance(value, BaseModel):
            return value
        if context is None:
            raise ValueError("is not the model of a kind")
        kind = cls.kinds(context).get(info.data.get("type", ""))
        # without a type its problem is reported, and nothing is known about the other keys
        return kind.config.model_validate(value, context=context) if kind else Model()


class Sections(Open):
    """Sections of plugins, of which each is there at most once: of services, and of what parts of a kind share."""

    HIDDEN: ClassVar[str] = "services"

    services: Mapping[str, SerializeAsAny[BaseModel]] = Field(
        default_factory=dict, description="the section of each service, by the name of its kind"
    )

    @classmethod
    def further(cls, written: Mapping[str, Any], context: Reading) -> Mapping[str, Any]:
        """Return the sections."""
        return context.plugins.sections

    @field_validator("services", mode="plain")
    @classmethod
    def _of_the_kinds(cls, value: Any, info: ValidationInfo) -> Any:
        context = reading(info)
        if context is None:
            return value
        sections: dict[str, BaseModel] = {}
        problems: list[InitErrorDetails] = []
        for name, section in value.items():
            model = context.plugins.sections.get(name)
            if model is None:
                problems.append(InitErrorDetails(type="extra_forbidden", loc=(name,), input=None))
                continue
            try:
                # a name without keys asks for the section with its defaults
                written = {} if section is None else section
                sections[name] = model.model_validate(written, context=context)
            except ValidationError as error:
                problems += again(error, name)
        raise_all(problems)
        return sections
