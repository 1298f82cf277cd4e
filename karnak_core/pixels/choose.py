"""Which transfer syntax an instance goes out in: what is configured, what its pixels allow, what the peer accepts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.image import ImageDescription

#: JPEG whose pixels go out in JPEG Lossless SV1 where it cannot hold them
_JPEG: Final = frozenset((ts.JPEG_BASELINE, ts.JPEG_EXTENDED))


def output_syntax(configured: str, original: str, *, only_uncompressed: bool) -> str:
    """Return the transfer syntax that an instance should have, before its pixels are looked at.

    Implicit VR, Big Endian and RLE become Explicit VR Little Endian where nothing else is asked for: everybody reads
    that.

    Parameters
    ----------
    configured
        A UID; empty: keep the original.
    original
        That of the instance.
    only_uncompressed
        True: what is compressed stays as it is. RLE counts as uncompressed.
    """
    compressed = original not in ts.NATIVE and original != ts.RLE
    if only_uncompressed and compressed:
        return original
    if configured and ts.can_decode(original) and configured in _WRITABLE:
        return configured
    return ts.EXPLICIT if original in (ts.RLE, ts.IMPLICIT, ts.BIG_ENDIAN) else original


_WRITABLE: Final = frozenset(syntax.uid for syntax in ts.OFFERED)


def fitting(wanted: str, image: ImageDescription, original: str = "") -> str:
    """Return the wanted transfer syntax, or the nearest one that such pixels can have without being harmed.

    A lossy one is replaced by the lossless one of its family where it cannot hold the pixels, or would change what
    they mean: indices of a palette, negative numbers. What no codec takes goes out as Explicit VR Little Endian.

    Parameters
    ----------
    image
        The frames as they are decoded.
    original
        The transfer syntax of the source.
    """
    syntax = ts.SYNTAXES.get(wanted)
    if syntax is None or wanted in ts.NATIVE:
        return wanted
    if wanted == ts.JPEG_XL_RECOMPRESSION:
        if original == ts.JPEG_BASELINE:
            return wanted
        syntax = ts.SYNTAXES[ts.JPEG_XL_LOSSLESS]
    if not syntax.lossless and not _holds_lossy(syntax, image):
        syntax = ts.SYNTAXES[syntax.counterpart]
    return syntax.uid if _holds(syntax, image) else ts.EXPLICIT


def _holds(syntax: ts.TransferSyntax, image: ImageDescription) -> bool:
    if image.kind != "pixel" or image.bits_allocated not in (8, 16):
        return False
    # codecs begin at two bits
    return image.bits_stored > 1 or syntax.uid == ts.RLE


def _holds_lossy(syntax: ts.TransferSyntax, image: ImageDescription) -> bool:
    if image.photometric_interpretation == "PALETTE COLOR" or (image.pixel_representation and not syntax.signed):
        return False
    if syntax.uid == ts.JPEG_XL:
        # its own colour space is made of RGB
        return image.photometric_interpretation != "YBR_FULL"
    if syntax.uid == ts.JPEG_BASELINE:
        return image.bits_allocated == image.bits_stored == 8
    if syntax.uid == ts.JPEG_EXTENDED:
        # one sample, of 8 or up to 12 bits (PS3.5 Table 8.2.1-1)
        return image.samples_per_pixel == 1 and (
            image.bits_stored == 8
            if image.bits_allocated == 8
            else image.bits_allocated == 16 and image.bits_stored <= 12
        )
    return image.bits_allocated <= syntax.bits


def select(accepted: Collection[str], wanted: str) -> str:
    """Return the transfer syntax for one object on an association: wanted, else Explicit, else Implicit."""
    if wanted in accepted:
        return wanted
    return ts.EXPLICIT if ts.EXPLICIT in accepted else ts.IMPLICIT


def candidates(wanted: str, original: str) -> tuple[str, ...]:
    """Return the transfer syntaxes to offer a peer for an instance, the best one first.

    Parameters
    ----------
    wanted
        What :func:`output_syntax` and :func:`fitting` say.
    original
        That of the instance: it is sent as it is where the peer does not take what is wanted.
    """
    lossless = (ts.JPEG_LOSSLESS_SV1,) if wanted in _JPEG else ()
    own = () if original == ts.BIG_ENDIAN else (original,)
    return tuple(dict.fromkeys((wanted, *lossless, *own, ts.EXPLICIT, ts.IMPLICIT)))
