"""What a header says of pixels that were encoded anew (PS3.3 sections C.7.6.1, C.7.6.3 and C.12.4)."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable
from typing import Final

from pydicom import Dataset
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.image import ImageDescription
from karnak_core.pixels.reading import items_of, put, reading, text_of, texts_of, values_of

_TABLES: Final = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength")
_LONGEST_TEXT: Final = 1024
#: a ratio is smaller: it has to be written in the 16 characters of a DS
_LARGEST_RATIO: Final = 1e9
#: what an image is to one that is made of it (PS3.16 CID 7202)
UNCOMPRESSED: Final = "121320"
COMPRESSED: Final = "121322"
LOSSY: Final = "121330"
_PURPOSES: Final = {
    UNCOMPRESSED: "Uncompressed predecessor",
    # for one that is compressed without loss there is no code of its own
    COMPRESSED: "Source image for image processing operation",
    LOSSY: "Lossy compressed predecessor",
}
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

    Raises
    ------
    CannotTranscode
        It cannot be told what the icon is.
    """
    # undecoded elements stay undecoded
    new = Dataset({tag: header.get_item(tag, keep_deferred=True) for tag in header.keys()})  # noqa: SIM118
    implicit, little_endian = header.original_encoding
    new.set_original_encoding(implicit, little_endian, header.original_character_set)
    for keyword in _TABLES:
        if keyword in new:
            delattr(new, keyword)
    with reading("Icon Image Sequence"):
        if any(_is_compressed(item) for item in items_of(new, "IconImageSequence")):
            del new.IconImageSequence
    if image.kind != "pixel":
        return new
    put(new, "SamplesPerPixel", image.samples_per_pixel)
    put(new, "PhotometricInterpretation", image.photometric_interpretation)
    if image.samples_per_pixel > 1:
        put(new, "PlanarConfiguration", image.planar_configuration)
    elif "PlanarConfiguration" in new:
        del new.PlanarConfiguration
    put(new, "BitsStored", image.bits_stored)
    put(new, "HighBit", image.high_bit)
    return new


def _is_compressed(icon: Dataset) -> bool:
    return "PixelData" in icon and bool(icon["PixelData"].is_undefined_length)


def says_lossy(header: Dataset) -> bool:
    """Tell whether a header says that its pixels have lost something; raises `CannotTranscode` if it cannot be read."""
    return text_of(header, "LossyImageCompression") == "01"


def say_lossy(header: Dataset, method: str, ratio: float) -> None:
    """Say that pixels have lost something to compression, in addition to what was said before.

    It is never taken back. Ratios and methods belong together by their place (PS3.3 section C.7.6.1.1.5): where there
    were more of one kind before, an empty value stands for what is not known of the other.

    Parameters
    ----------
    ratio
        Bytes before by bytes afterwards.

    Raises
    ------
    CannotTranscode
        What was said before cannot be read.
    """
    ratios, methods = _losses(header)
    known = max(len(ratios), len(methods))
    for values in (ratios, methods):
        values += [""] * (known - len(values))
    _put_losses(header, [*ratios, _ratio(ratio)], [*methods, method])


def remember_loss(header: Dataset, method: str, ratio: float) -> None:
    """Say of pixels what the transfer syntax that they were received in says: once it is another one nothing else does.

    Parameters
    ----------
    method
        Of that transfer syntax: it is the last one that they went through.

    Raises
    ------
    CannotTranscode
        What the header says of losses cannot be read.
    """
    ratios, methods = _losses(header)
    if not says_lossy(header) or not (ratios or methods):
        say_lossy(header, method, ratio)
    elif len(ratios) == len(methods) + 1:
        _put_losses(header, ratios, [*methods, method])
    elif len(methods) == len(ratios) + 1 and methods[-1] == method:
        _put_losses(header, [*ratios, _ratio(ratio)], methods)


def _losses(header: Dataset) -> tuple[list[DSfloat | str], list[str]]:
    """Return the ratios and methods that a header says, empty values among them."""
    ratios: list[DSfloat | str] = []
    for value in values_of(header, "LossyImageCompressionRatio"):
        with reading("LossyImageCompressionRatio"):
            number = float(value or 0)
            if not math.isfinite(number) or abs(number) >= _LARGEST_RATIO:
                raise ValueError("no ratio")
            ratios.append(value if isinstance(value, DSfloat) else _ratio(number) if number else "")
    return ratios, texts_of(header, "LossyImageCompressionMethod")


def _put_losses(header: Dataset, ratios: list[DSfloat | str], methods: list[str]) -> None:
    put(header, "LossyImageCompression", "01")
    put(header, "LossyImageCompressionRatio", ratios)
    put(header, "LossyImageCompressionMethod", methods)


def _ratio(ratio: float) -> str:
    return f"{min(ratio, _LARGEST_RATIO):.6g}"


def say_derived(
    header: Dataset, before: str, transfer_syntax_uid: str, ratio: float, new_uid: NewUID, parameters: str
) -> None:
    """Make the header that of a derived image, with a UID of its own, which names the one that it was made of.

    A lossy compressed version of an image is another image (PS3.3 section C.7.6.1.1.5).

    Parameters
    ----------
    before
        What the image that it was made of is called: one of the purposes `UNCOMPRESSED`, `COMPRESSED` and `LOSSY`.

    Raises
    ------
    CannotTranscode
        What has to be changed cannot be read.
    """
    original_uid, sop_class_uid = text_of(header, "SOPInstanceUID"), text_of(header, "SOPClassUID")
    put(header, "SOPInstanceUID", new_uid(original_uid, parameters))
    if _is_enhanced(header, sop_class_uid):
        # enhanced objects: what may be said of the acquisition depends on Image Type and Frame Type, which say that the
        # image is derived from others in another sense; and they have no General Image module
        return
    values = texts_of(header, "ImageType")
    put(header, "ImageType", ["DERIVED", *values[1:]] if len(values) > 1 else ["DERIVED", "PRIMARY"])
    said = text_of(header, "DerivationDescription")
    added = f"lossy compression {ts.SYNTAXES[transfer_syntax_uid].keyword}, ratio {ratio:.4g}"
    if len(said) + len(added) + 2 <= _LONGEST_TEXT:
        put(header, "DerivationDescription", f"{said}; {added}" if said else added)
    _add(header, "DerivationCodeSequence", _code("113040", "Lossy Compression"))
    source = Dataset()
    put(source, "ReferencedSOPClassUID", sop_class_uid)
    put(source, "ReferencedSOPInstanceUID", original_uid)
    put(source, "PurposeOfReferenceCodeSequence", [_code(before, _PURPOSES[before])])
    _add(header, "SourceImageSequence", source)


def purpose_of_source(header: Dataset, transfer_syntax_uid: str) -> str:
    """Return the code of what an image is to one that is made of it (PS3.16 CID 7202).

    Parameters
    ----------
    header
        As it was before; raises `CannotTranscode` where it cannot be read.
    transfer_syntax_uid
        That of the image.
    """
    if says_lossy(header) or transfer_syntax_uid in ts.DCT:
        return LOSSY
    return UNCOMPRESSED if transfer_syntax_uid in ts.NATIVE else COMPRESSED


def _is_enhanced(header: Dataset, sop_class_uid: str) -> bool:
    groups = any(keyword in header for keyword in _FUNCTIONAL_GROUPS)
    return groups or "Enhanced" in UID(sop_class_uid).name


def _add(header: Dataset, keyword: str, item: Dataset) -> None:
    put(header, keyword, [*items_of(header, keyword), item])


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = "DCM"
    code.CodeMeaning = meaning
    return code
