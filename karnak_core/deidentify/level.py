"""A data set, or an item of a sequence, while it is walked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from karnak_core.deidentify.changes import Place
from karnak_core.deidentify.encode import Encoder, encoder_for
from karnak_core.deidentify.items import dataset_of, encoded_items
from karnak_core.deidentify.undecoded import Element
from karnak_core.deidentify.visit import has_text, texts_of

SPECIFIC_CHARACTER_SET = 0x00080005

Elements = dict[BaseTag, Element]


class Where(Protocol):
    """Where an element is, as far as actions need to know."""

    @property
    def encoder(self) -> Encoder:
        """Makes elements for the same level."""
        ...

    @property
    def path(self) -> tuple[int, ...]:
        """Tags of the sequences around it, from the root."""
        ...

    def texts(self, tag: int, vr: str, /) -> tuple[str, ...]:
        """Return the values of an element of the level as text."""
        ...


@dataclass(kw_only=True, slots=True)
class Level:
    """One level as it was received, and what is added to it."""

    dataset: Dataset
    encoder: Encoder
    #: values of Specific Character Set that count here
    character_set: tuple[str, ...]
    #: tags of the sequences around it, from the root
    path: tuple[int, ...] = ()
    #: the same with indexes of items
    place: Place = ()
    added: Elements = field(default_factory=dict)

    @classmethod
    def root(cls, dataset: Dataset) -> Self:
        """Return the outermost level."""
        return cls._of(dataset, texts_of(dataset, SPECIFIC_CHARACTER_SET), (), ())

    def item(self, dataset: Dataset, tag: int, index: int) -> Self:
        """Return the level of an item of one of this level's sequences."""
        return self.nested(dataset, (*self.path, tag), (*self.place, (tag, index)))

    def nested(self, dataset: Dataset, path: tuple[int, ...], place: Place = ()) -> Self:
        """Return the level of an item somewhere below this one."""
        if SPECIFIC_CHARACTER_SET in dataset:
            return self._of(dataset, texts_of(dataset, SPECIFIC_CHARACTER_SET), path, place)
        if dataset.original_encoding == self.dataset.original_encoding:
            return type(self)(
                dataset=dataset, encoder=self.encoder, character_set=self.character_set, path=path, place=place
            )
        return self._of(dataset, self.character_set, path, place)

    @classmethod
    def _of(cls, dataset: Dataset, character_set: tuple[str, ...], path: tuple[int, ...], place: Place) -> Self:
        implicit, little = dataset.original_encoding
        # a data set made by code has no encoding yet: it is encoded when it is written, from whatever this is
        encoder = encoder_for(bool(implicit), little is not False, character_set)
        return cls(dataset=dataset, encoder=encoder, character_set=character_set, path=path, place=place)

    def texts(self, tag: int, vr: str) -> tuple[str, ...]:
        """Return the values of an element as text; none for an empty one, a sequence, or a VR that has no text.

        Raises
        ------
        DeidentificationError
            They cannot be decoded.
        """
        return texts_of(self.dataset, tag) if has_text(vr) else ()

    def sequence(self, tag: int, items: Iterable[tuple[Level, Elements]], *, undefined: bool = False) -> Element:
        """Return a sequence of this level with new items, encoded if all that is in them is encoded alike.

        Parameters
        ----------
        items
            Elements of each item, and the level that they were made for.
        undefined
            Whether it is to have undefined length: the only sign of a sequence where no VR is written.
        """
        items = list(items)
        implicit, little = self.dataset.original_encoding
        if implicit is not None and little is not None:
            value = encoded_items([elements for _, elements in items], implicit=implicit, little=little)
            if value is not None:
                raw = self.encoder.raw(tag, "SQ", value)
                return raw._replace(length=0xFFFFFFFF) if undefined else raw
        new = DataElement(tag, "SQ", Sequence([level.with_elements(elements) for level, elements in items]))
        new.is_undefined_length = undefined
        return new

    def with_elements(self, elements: Elements) -> Dataset:
        """Return a new data set with other elements, in the encoding of this one."""
        source = self.dataset
        new = dataset_of(elements, source._parent_encoding)
        new.is_undefined_length_sequence_item = getattr(source, "is_undefined_length_sequence_item", False)
        implicit, little = source.original_encoding
        new.set_original_encoding(implicit, little, source.original_character_set or None)
        return new
