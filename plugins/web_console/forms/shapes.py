"""What kind of field a key needs: told by the type that its model declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from karnak_core.config.names import (
    AuthenticatorName,
    ConditionText,
    ProfileName,
    ProjectName,
    SOPClasses,
    TransferSyntaxText,
)
from karnak_core.config.parts import Part
from karnak_core.config.quantities import Quantity
from karnak_core.config.secret import Secret
from karnak_core.config.shape import shapes
from karnak_core.http_headers import Headers


class Widget(StrEnum):
    """How a value is shown and changed."""

    TEXT = "text"
    NUMBER = "number"
    #: a number with a unit, such as ``2 GiB``
    QUANTITY = "quantity"
    CHECKBOX = "checkbox"
    #: one of several texts
    SELECT = "select"
    SECRET = "secret"
    #: several texts, one a line
    LINES = "lines"
    #: texts by texts, one pair a line
    PAIRS = "pairs"
    CONDITION = "condition"
    SOP_CLASSES = "sop_classes"
    HEADERS = "headers"
    #: the keys of a model
    GROUP = "group"
    #: the keys of a kind, which is chosen
    PART = "part"
    #: a list of models
    ROWS = "rows"
    #: a list of parts, each of a kind
    PARTS = "parts"
    #: whatever has no better one: as YAML
    YAML = "yaml"


#: what ``Annotated`` adds to a type tells which of our types it is
_CONDITION, _SYNTAX, _SOP_CLASSES, _HEADERS = (
    get_args(kind)[1] for kind in (ConditionText, TransferSyntaxText, SOPClasses, Headers)
)
_NAMES: Mapping[type, str] = {
    AuthenticatorName: "authenticators",
    ProjectName: "projects",
    ProfileName: "profiles",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What one key of a model takes."""

    #: as it stands in the file
    key: str
    #: the name of the model's field
    attribute: str
    field: FieldInfo
    widget: Widget
    #: true: it may have no value
    optional: bool = False
    #: of a group, of rows: the model; of parts: the model that names the kinds
    model: type[BaseModel] | None = None
    #: of a select: the texts
    words: tuple[str, ...] = ()
    #: of a select: the section of the configuration with the names to choose from
    section: str = ""
    quantity: Quantity | None = None
    #: of text: the most characters
    longest: int | None = None

    @property
    def required(self) -> bool:
        """Say whether it has to be there."""
        return self.field.is_required()

    @property
    def default(self) -> Any:
        """Return what it is where it is left out; None, too, where it has to be there."""
        return None if self.required else self.field.get_default(call_default_factory=True)


def shape_of(attribute: str, field: FieldInfo) -> Shape:
    """Return what a field of a model takes."""
    found = list(shapes(field))
    kinds = [kind for kind, _ in found if kind is not NoneType]
    metadata = [item for _, items in found for item in items]
    alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
    common: dict[str, Any] = {
        "key": alias or attribute,
        "attribute": attribute,
        "field": field,
        "optional": len(kinds) < len(found),
        "quantity": next((item for item in metadata if isinstance(item, Quantity)), None),
        "longest": next((item.max_length for item in metadata if isinstance(item, MaxLen)), None),
    }
    if _HEADERS in metadata:
        return Shape(widget=Widget.HEADERS, **common)
    if _SOP_CLASSES in metadata:
        return Shape(widget=Widget.SOP_CLASSES, **common)
    if len(kinds) != 1:
        return Shape(widget=Widget.YAML, **common)
    return Shape(**{**common, **_of(kinds[0], metadata, common["optional"])})


def _of(kind: Any, metadata: Sequence[Any], optional: bool) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin is Literal and all(isinstance(word, str) for word in get_args(kind)):
        return {"widget": Widget.SELECT, "words": get_args(kind)}
    if isinstance(origin, type):
        return _of_several(origin, get_args(kind))
    if not isinstance(kind, type):
        return {"widget": Widget.YAML}
    for name, section in _NAMES.items():
        if issubclass(kind, name):
            return {"widget": Widget.SELECT, "section": section}
    if issubclass(kind, Enum):
        return {"widget": Widget.SELECT, "words": tuple(str(member.value) for member in kind)}
    if issubclass(kind, Secret):
        return {"widget": Widget.SECRET}
    if issubclass(kind, Part):
        return {"widget": Widget.PART, "model": kind}
    if issubclass(kind, BaseModel):
        return {"widget": Widget.GROUP, "model": kind}
    if issubclass(kind, bool):
        return {"widget": Widget.SELECT, "words": ("true", "false")} if optional else {"widget": Widget.CHECKBOX}
    if any(isinstance(item, Quantity) for item in metadata):
        return {"widget": Widget.QUANTITY}
    if issubclass(kind, int | float):
        return {"widget": Widget.NUMBER}
    if issubclass(kind, str):
        if _CONDITION in metadata:
            return {"widget": Widget.CONDITION}
        if _SYNTAX in metadata:
            return {"widget": Widget.SELECT, "section": "transfer_syntaxes"}
        return {"widget": Widget.TEXT}
    return {"widget": Widget.YAML}


def _of_several(origin: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    inner = arguments[1] if issubclass(origin, Mapping) and len(arguments) == 2 else arguments[0] if arguments else Any
    kinds = [kind for kind, _ in shapes(inner)]
    only = kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) else object
    plain = issubclass(only, str | int | float) and not issubclass(only, bool | Enum)
    if issubclass(origin, Mapping):
        keys = [kind for kind, _ in shapes(arguments[0])] if arguments else []
        texts = len(keys) == 1 and isinstance(keys[0], type) and issubclass(keys[0], str)
        return {"widget": Widget.PAIRS if texts and only is str else Widget.YAML}
    alike = issubclass(origin, list | set | frozenset | Sequence) and (origin is not tuple or arguments[-1] is ...)
    if alike and plain:
        return {"widget": Widget.LINES}
    if alike and issubclass(only, Part):
        return {"widget": Widget.PARTS, "model": only}
    if alike and issubclass(only, BaseModel):
        return {"widget": Widget.ROWS, "model": only}
    return {"widget": Widget.YAML}


def shapes_of(model: type[BaseModel], without: Sequence[str] = ()) -> list[Shape]:
    """Return what the keys of a model take, in its order."""
    return [shape_of(name, field) for name, field in model.model_fields.items() if name not in without]
