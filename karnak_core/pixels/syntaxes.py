"""The transfer syntaxes: which are decoded and encoded, and which one an instance goes out in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from pydicom.uid import UID, AllTransferSyntaxes

_ROOT: Final = "1.2.840.10008.1.2"
IMPLICIT: Final = UID(_ROOT)
EXPLICIT: Final = UID(f"{_ROOT}.1")
BIG_ENDIAN: Final = UID(f"{_ROOT}.2")
RLE: Final = UID(f"{_ROOT}.5")
JPEG_BASELINE: Final = UID(f"{_ROOT}.4.50")
JPEG_EXTENDED: Final = UID(f"{_ROOT}.4.51")
JPEG_SPECTRAL: Final = UID(f"{_ROOT}.4.53")
JPEG_PROGRESSIVE: Final = UID(f"{_ROOT}.4.55")
JPEG_LOSSLESS: Final = UID(f"{_ROOT}.4.57")
JPEG_LOSSLESS_SV1: Final = UID(f"{_ROOT}.4.70")
JPEG_LS: Final = UID(f"{_ROOT}.4.80")
JPEG_LS_NEAR: Final = UID(f"{_ROOT}.4.81")
JPEG_2000_LOSSLESS: Final = UID(f"{_ROOT}.4.90")
JPEG_2000: Final = UID(f"{_ROOT}.4.91")
HTJ2K_LOSSLESS: Final = UID(f"{_ROOT}.4.201")
HTJ2K_RPCL: Final = UID(f"{_ROOT}.4.202")
HTJ2K: Final = UID(f"{_ROOT}.4.203")
JPEG_XL_LOSSLESS: Final = UID(f"{_ROOT}.4.110")
JPEG_XL_RECOMPRESSION: Final = UID(f"{_ROOT}.4.111")
JPEG_XL: Final = UID(f"{_ROOT}.4.112")

#: JPEG with a discrete cosine transform: something is always lost
DCT: Final = frozenset((JPEG_BASELINE, JPEG_EXTENDED, JPEG_SPECTRAL, JPEG_PROGRESSIVE))
NATIVE: Final = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN))
#: what installs the codecs
EXTRA: Final = "karnak-gateway[transcode]"
_LIBRARIES: Final = ("imagecodecs", "jpeg_ls", "openjpeg", "rle")


@dataclass(frozen=True, kw_only=True)
class TransferSyntax:
    """What can be done with a transfer syntax."""

    uid: UID
    #: as in PS3.6 Table A-1
    keyword: str
    #: true: what is decoded is what was encoded, bit by bit, always
    lossless: bool
    decoded: bool = True
    #: why it cannot be asked for; empty: it can
    refused: str = ""
    experimental: bool = False
    #: libraries that are needed to encode, as they are imported
    libraries: tuple[str, ...] = ()
    #: the lossless one of the same family, for pixels that must not change; empty: it is lossless itself
    counterpart: str = ""
    #: most bits of a sample; and whether they may be signed
    bits: int = 16
    signed: bool = True
    #: value of Lossy Image Compression Method (0028,2114); empty: lossless
    method: str = ""


_RETIRED: Final = "retired, and no library encodes it"
_SYNTAXES: Final = (
    TransferSyntax(uid=IMPLICIT, keyword="ImplicitVRLittleEndian", lossless=True, bits=64),
    TransferSyntax(uid=EXPLICIT, keyword="ExplicitVRLittleEndian", lossless=True, bits=64),
    TransferSyntax(
        uid=BIG_ENDIAN, keyword="ExplicitVRBigEndian", lossless=True, bits=64, refused="retired since DICOM 2016b"
    ),
    TransferSyntax(
        uid=JPEG_BASELINE,
        keyword="JPEGBaseline8Bit",
        lossless=False,
        libraries=("imagecodecs",),
        counterpart=JPEG_LOSSLESS_SV1,
        bits=8,
        signed=False,
        method="ISO_10918_1",
    ),
    TransferSyntax(
        uid=JPEG_EXTENDED,
        keyword="JPEGExtended12Bit",
        lossless=False,
        libraries=("imagecodecs",),
        counterpart=JPEG_LOSSLESS_SV1,
        bits=12,
        signed=False,
        method="ISO_10918_1",
    ),
    TransferSyntax(
        uid=JPEG_SPECTRAL, keyword="JPEGSpectralSelectionNonHierarchical68", lossless=False, refused=_RETIRED
    ),
    TransferSyntax(
        uid=JPEG_PROGRESSIVE, keyword="JPEGFullProgressionNonHierarchical1012", lossless=False, refused=_RETIRED
    ),
    TransferSyntax(uid=JPEG_LOSSLESS, keyword="JPEGLossless", lossless=True, libraries=("imagecodecs",)),
    TransferSyntax(uid=JPEG_LOSSLESS_SV1, keyword="JPEGLosslessSV1", lossless=True, libraries=("imagecodecs",)),
    TransferSyntax(uid=JPEG_LS, keyword="JPEGLSLossless", lossless=True, libraries=("jpeg_ls", "imagecodecs")),
    TransferSyntax(
        uid=JPEG_LS_NEAR,
        keyword="JPEGLSNearLossless",
        lossless=False,
        libraries=("jpeg_ls", "imagecodecs"),
        counterpart=JPEG_LS,
        signed=False,
        method="ISO_14495_1",
    ),
    TransferSyntax(
        uid=JPEG_2000_LOSSLESS, keyword="JPEG2000Lossless", lossless=True, libraries=("openjpeg", "imagecodecs")
    ),
    TransferSyntax(
        uid=JPEG_2000,
        keyword="JPEG2000",
        lossless=False,
        libraries=("openjpeg",),
        counterpart=JPEG_2000_LOSSLESS,
        method="ISO_15444_1",
    ),
    TransferSyntax(uid=HTJ2K_LOSSLESS, keyword="HTJ2KLossless", lossless=True, libraries=("imagecodecs", "openjpeg")),
    TransferSyntax(uid=HTJ2K_RPCL, keyword="HTJ2KLosslessRPCL", lossless=True, libraries=("imagecodecs", "openjpeg")),
    TransferSyntax(
        uid=HTJ2K,
        keyword="HTJ2K",
        lossless=False,
        libraries=("imagecodecs", "openjpeg"),
        counterpart=HTJ2K_LOSSLESS,
        method="ISO_15444_15",
    ),
    TransferSyntax(
        uid=JPEG_XL_LOSSLESS,
        keyword="JPEGXLLossless",
        lossless=True,
        experimental=True,
        libraries=("imagecodecs",),
    ),
    TransferSyntax(
        uid=JPEG_XL_RECOMPRESSION,
        keyword="JPEGXLJPEGRecompression",
        lossless=False,
        experimental=True,
        libraries=("imagecodecs",),
    ),
    TransferSyntax(
        uid=JPEG_XL,
        keyword="JPEGXL",
        lossless=False,
        experimental=True,
        libraries=("imagecodecs",),
        counterpart=JPEG_XL_LOSSLESS,
        signed=False,
        method="ISO_18181_1",
    ),
    TransferSyntax(uid=RLE, keyword="RLELossless", lossless=True, libraries=("rle",), bits=32),
)
#: every syntax whose pixels are decoded or encoded, by UID
SYNTAXES: Final[Mapping[str, TransferSyntax]] = {syntax.uid: syntax for syntax in _SYNTAXES}
#: those that may be asked for, in the order of their UIDs
OFFERED: Final = tuple(syntax for syntax in _SYNTAXES if not syntax.refused)

#: what people write, without case, spaces, hyphens and underscores
_NAMES: Final = {
    **{syntax.keyword.lower(): syntax for syntax in _SYNTAXES},
    "rle": SYNTAXES[RLE],
    "jpegbaseline": SYNTAXES[JPEG_BASELINE],
    "jpegextended": SYNTAXES[JPEG_EXTENDED],
    "jpegls": SYNTAXES[JPEG_LS],
}
KEEP: Final = ""


def transfer_syntax(text: str) -> str:
    """Return the UID that a configuration asks for, by UID or keyword; an empty one for ``keep``.

    Raises
    ------
    ValueError
        It is no transfer syntax, or no instance can be sent in it; says why.
    """
    name = re.sub(r"[\s_-]", "", text).lower()
    if name in ("", "keep"):
        return KEEP
    syntax = SYNTAXES.get(name) or _NAMES.get(name)
    if syntax is None:
        known = UID(name).is_transfer_syntax if re.fullmatch(r"[0-9.]+", name) else name in _known_keywords()
        if known:
            raise ValueError(f"{text!r} cannot be asked for: no library encodes it; known: {_offered()}")
        raise ValueError(f"{text!r} is no transfer syntax; known: {_offered()}, by keyword or UID")
    if syntax.refused:
        raise ValueError(f"{text!r} cannot be asked for: {syntax.refused}; known: {_offered()}")
    missing = missing_libraries(syntax.uid)
    if missing:
        raise ValueError(f"{text!r} needs codecs that are not installed ({', '.join(missing)}): install {EXTRA}")
    return syntax.uid


def missing_libraries(transfer_syntax_uid: str) -> list[str]:
    """Return which libraries are missing for encoding in a syntax."""
    return [name for name in SYNTAXES[transfer_syntax_uid].libraries if find_spec(name) is None]


def _offered() -> str:
    return ", ".join(["keep", *(syntax.keyword for syntax in OFFERED)])


def _known_keywords() -> Collection[str]:
    return {uid.keyword.lower() for uid in AllTransferSyntaxes}


def can_decode(transfer_syntax_uid: str) -> bool:
    """Say whether pixels in a syntax can be decoded, with the codecs installed."""
    return transfer_syntax_uid in SYNTAXES


def why_not_decoded(transfer_syntax_uid: str) -> str:
    """Return why pixels in a syntax are not decoded."""
    uid = UID(transfer_syntax_uid)
    name = uid.keyword or str(uid)
    return f"pixels in transfer syntax {name} cannot be decoded"
