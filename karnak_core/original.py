"""The data set of an instance as it was received, for those who decide by it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from karnak_core.errors import DeliveryError, Permanent
from karnak_core.model import Instance
from karnak_core.part10 import PIXELS, plain_dataset

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
