"""What keeps an instance from a destination: its SOP class, the destination's condition, a plugin."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, cast

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from karnak_core.errors import DeliveryError, Excluded, Permanent, Retryable
from karnak_core.expressions import Condition, ExpressionError
from karnak_core.model import Exclusion, Instance
from karnak_core.part10 import PIXELS, plain_dataset
from karnak_core.plugins import Plugins

#: bytes; a longer value stays in the file until somebody asks for it
LARGEST_READ: Final = 64 << 10


class LazyHeader:
    """The data set of an instance without its pixel data, read when somebody looks at it, once.

    Large values are left in the file, and read from there while this is open.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, pixel data left out."""
        try:
            if self._instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
                return self._inflated()
            return pydicom.dcmread(self._instance.path, stop_before_pixels=True, defer_size=LARGEST_READ)
        except (DeliveryError, FileNotFoundError):
            raise
        except Exception as error:  # pydicom raises what it likes on broken data sets
            raise Permanent(f"the data set cannot be read: {type(error).__name__}") from error

    def _inflated(self) -> Dataset:
        """Read what pydicom would inflate in memory as a whole."""
        instance = self._instance
        file_meta = read_file_meta_info(instance.path)
        plain, offset = self._stack.enter_context(
            plain_dataset(instance.path, instance.transfer_syntax_uid, instance.dataset_offset)
        )
        file = cast(BinaryIO, plain)
        file.seek(offset)
        ds = read_dataset(
            file,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: int(tag) in PIXELS,
            defer_size=LARGEST_READ,
        )
        header = FileDataset(file, ds, file_meta=file_meta, is_implicit_VR=False, is_little_endian=True)
        header.set_original_encoding(False, True, ds._character_set)
        return header


class Filters:
    """The filters of one destination, in order; core's own first, a plugin can only narrow."""

    def __init__(
        self, destination: str, sop_classes: frozenset[str], condition: Condition | None, plugins: Plugins
    ) -> None:
        self._destination = destination
        self._sop_classes = sop_classes
        self._condition = condition
        self._plugins = plugins if plugins.has("karnak_exclude_instance") else None

    def check(self, instance: Instance) -> None:
        """Return if the instance may go on.

        Raises
        ------
        Excluded
            A rule keeps it back; the reason names the rule and no instance, so that equal reasons count as one.
        DeliveryError
            It cannot be decided: held back.
        """
        if self._sop_classes and instance.sop_class_uid not in self._sop_classes:
            raise Excluded(f"SOP class {instance.sop_class_uid} is not authorised")
        with LazyHeader(instance) as header:
            if self._condition is not None:
                self._check_condition(self._condition, header)
            if self._plugins is not None:
                self._ask_plugins(self._plugins, instance, header)

    def _check_condition(self, condition: Condition, header: LazyHeader) -> None:
        try:
            holds = condition.holds(header.dataset)
        except ExpressionError as error:
            raise Permanent(f"the condition cannot be decided: {error}") from error
        if not holds:
            raise Excluded("condition not met")

    def _ask_plugins(self, plugins: Plugins, instance: Instance, header: LazyHeader) -> None:
        try:
            answer: Any = plugins.hook.karnak_exclude_instance(
                instance=instance, header=header.dataset, destination=self._destination
            )
        except (DeliveryError, FileNotFoundError):
            raise
        except Exception as error:
            raise Retryable(f"a plugin failed in karnak_exclude_instance: {type(error).__name__}") from error
        if isinstance(answer, Exclusion):
            raise Excluded(answer.rule)
        if answer is not None:
            raise Retryable(f"a plugin answered karnak_exclude_instance with {type(answer).__name__}, not Exclusion")
