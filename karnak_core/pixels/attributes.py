"""What a header says of pixels that were encoded anew (PS3.3 sections C.7.6.1, C.7.6.3 and C.12.4)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Final

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.image import ImageDescription

_TABLES: Final = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength")
_LONGEST_TEXT: Final = 1024
_FUNCTIONAL_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

NewUID = Callable[[str, str], str]


def derived_uid(sop_instance_uid: str, parameters: str) -> str:
    """Return the UID of a lossy copy, the same one whenever it is made: sent again it is a duplicate, not another one.

    Parameters
    ----------
    parameters
        What makes the copy another one than those of other destinations: transfer syntax and losses.
    """
    digest = hashlib.sha256(f"{sop_instance_uid}\n{parameters}".encode()).digest()
    # a UUID as a UID (PS3.5 section B.2), made of a name
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def described(header: Dataset, image: ImageDescription) -> Dataset:
    """Return a header that says of its pixels what a description says; the one given stays as it is.

    An icon that is compressed is left out: it is in the source's transfer syntax (PS3.5 section A.4).
    """
    # undecoded elements stay undecoded
    new = Dataset({tag: header.get_item(tag, keep_deferred=True) for tag in header.keys()})  # noqa: SIM118
    implicit, little_endian = header.original_encoding
    new.set_original_encoding(implicit, little_endian, header.original_character_set)
    for keyword in _TABLES:
        if keyword in new:
            delattr(new, keyword)
    if "IconImageSequence" in new and any(_is_compressed(item) for item in new.IconImageSequence):
        del new.IconImageSequence
    if image.kind != "pixel":
        return new
    new.SamplesPerPixel = image.samples_per_pixel
    new.PhotometricInterpretation = image.photometric_interpretation
    if image.samples_per_pixel > 1:
        new.PlanarConfiguration = image.planar_configuration
    elif "PlanarConfiguration" in new:
        del new.PlanarConfiguration
    new.BitsStored = image.bits_stored
    new.HighBit = image.high_bit
    return new


def _is_compressed(icon: Dataset) -> bool:
    return "PixelData" in icon and bool(icon["PixelData"].is_undefined_length)


def say_lossy(header: Dataset, method: str, ratio: float | None) -> None:
    """Say that pixels have lost something to compression, in addition to what was said before.

    It is never taken back (PS3.3 section C.7.6.1.1.5). ``ratio``: bytes before by bytes afterwards; None: not known.
    """
    header.LossyImageCompression = "01"
    if ratio is not None and 0 < ratio < 1e9:
        header.LossyImageCompressionRatio = [*_values(header, "LossyImageCompressionRatio"), DSfloat(f"{ratio:.6g}")]
        header.LossyImageCompressionMethod = [*_values(header, "LossyImageCompressionMethod"), method]


def say_derived(header: Dataset, transfer_syntax_uid: str, ratio: float, new_uid: NewUID, parameters: str) -> None:
    """Make the header that of a derived image, with a UID of its own, which names the one that it was made of.

    A lossy compressed version of an image is another image (PS3.3 section C.7.6.1.1.5).
    """
    original_uid = str(header.get("SOPInstanceUID") or "")
    header.SOPInstanceUID = new_uid(original_uid, parameters)
    if _is_enhanced(header):
        # enhanced objects: what may be said of the acquisition depends on Image Type and Frame Type, which say that the
        # image is derived from others in another sense; and they have no General Image module
        return
    values = _values(header, "ImageType")
    header.ImageType = ["DERIVED", *values[1:]] if len(values) > 1 else ["DERIVED", "PRIMARY"]
    said = str(header.get("DerivationDescription") or "")
    added = f"lossy compression {ts.SYNTAXES[transfer_syntax_uid].keyword}, ratio {ratio:.4g}"
    if len(said) + len(added) + 2 <= _LONGEST_TEXT:
        header.DerivationDescription = f"{said}; {added}" if said else added
    header.DerivationCodeSequence = _with(header, "DerivationCodeSequence", _code("113040", "Lossy Compression"))
    source = Dataset()
    source.ReferencedSOPClassUID = header.get("SOPClassUID")
    source.ReferencedSOPInstanceUID = original_uid
    source.PurposeOfReferenceCodeSequence = Sequence([_code("121320", "Uncompressed predecessor")])
    header.SourceImageSequence = _with(header, "SourceImageSequence", source)


def _is_enhanced(header: Dataset) -> bool:
    groups = any(keyword in header for keyword in _FUNCTIONAL_GROUPS)
    return groups or "Enhanced" in UID(str(header.get("SOPClassUID") or "")).name


def _values(header: Dataset, keyword: str) -> list[object]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, float, int)) else list(value)


def _with(header: Dataset, keyword: str, item: Dataset) -> Sequence:
    return Sequence([*(header.get(keyword) or ()), item])


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = "DCM"
    code.CodeMeaning = meaning
    return code
