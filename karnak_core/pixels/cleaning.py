"""What has to be done to the pixels of an instance by its profile, and what its header says afterwards.

`plan_cleaning` decides by the header alone; nothing is decoded. The pixels are then cleaned frame by frame by
`Cleaning.edit`, and `Cleaning.header` makes the header of what is sent follow. Whatever cannot be decided or cleaned
raises: an instance that needs cleaning is cleaned, or not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag

from karnak_core.deidentify import DeidentificationError, Mask, Method, Profile, Project, Rectangle, first_text_of
from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.choose import fitting
from karnak_core.pixels.colors import PixelColors
from karnak_core.pixels.defacing import check_defaceable, deface
from karnak_core.pixels.icons import remove_icons
from karnak_core.pixels.image import KINDS, PIXEL_DATA, Frame, ImageDescription
from karnak_core.pixels.masks import painter, rectangles_of, select_masks
from karnak_core.pixels.overlays import clean_overlays
from karnak_core.pixels.planes import AxialPlane, axial_planes
from karnak_core.pixels.reading import whole_number
from karnak_core.pixels.syntaxes import EXPLICIT, SYNTAXES
from karnak_core.pixels.transcode import Edit

PIXELS: Final = "clean.pixel.data"
FEATURES: Final = "clean.recognizable.visual.features"

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1"
#: ultrasound, secondary capture and VL endoscopic, retired, multi-frame and video ones too: with everything below them
_OFTEN_BURNED_IN: Final = tuple(f"{_STORAGE}.{number}" for number in ("3", "6", "7", "77.1.1"))
_CT: Final = f"{_STORAGE}.2"

_SOP_CLASS_UID, _STATION_NAME = 0x00080016, 0x00081010
_SERIES_UID, _INSTANCE_UID = 0x0020000E, 0x00080018
_BURNED_IN, _RECOGNIZABLE = 0x00280301, 0x00280302
_METHOD_CODES: Final = 0x00120064
#: smallest and largest pixel values, of the image, the series and a plane: they were those of other pixels
_EXTREMES: Final = (0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111)


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to the pixels of one instance."""

    #: painted over all frames, in this order; none: nothing is masked
    masks: tuple[Mask, ...]
    #: the parts of the image that are masked
    rectangles: tuple[Rectangle, ...]
    #: how the frames lie whose face is removed, one where all lie alike; none: no face is removed
    planes: tuple[AxialPlane, ...]
    #: what is recorded to have been done
    methods: tuple[Method, ...]
    #: of the whole profile, in the order in which they are recorded
    all_methods: tuple[Method, ...]
    #: the header as it was received: it has the palette
    received: Dataset = field(repr=False)
    #: returns what the noise of a frame is derived from
    key: Callable[[int], bytes] = field(repr=False)

    def edit(self, image: ImageDescription) -> Edit:
        """Return what cleans a decoded frame.

        Parameters
        ----------
        image
            Of the frames as they are decoded: their photometric interpretation may be another one than the header's.

        Raises
        ------
        DeidentificationError
            Such pixels cannot be cleaned.
        """
        paint = painter(self.masks, image, PixelColors(image, self.received)) if self.masks else None
        planes = self.planes
        if planes:
            check_defaceable(image)

        def edit(index: int, frame: Frame) -> Frame:
            if planes:
                frame = deface(frame, planes[index if len(planes) > 1 else 0], self.key(index))
            if paint is not None:
                frame = frame if frame.flags.writeable else frame.copy()
                paint(frame)
            return frame

        return edit

    def header(self, dataset: Dataset) -> None:
        """Change the header of what is sent, without its pixels, to what is true of the cleaned ones.

        Raises
        ------
        DeidentificationError
            An overlay, an icon or the methods recorded before cannot be read.
        """
        if self.masks:
            _set(dataset, _BURNED_IN, "NO")
            clean_overlays(dataset, self.rectangles)
        if self.planes:
            _set(dataset, _RECOGNIZABLE, "NO")
        remove_icons(dataset)
        for tag in _EXTREMES:
            if tag in dataset:
                del dataset[tag]
        self._record(dataset)

    def _record(self, dataset: Dataset) -> None:
        try:
            items = list(dataset[_METHOD_CODES].value or ()) if _METHOD_CODES in dataset else []
            known = {str(item.get("CodeValue", "")) for item in items}
        except UNREADABLE:  # their messages may quote a value
            raise DeidentificationError("De-identification Method Code Sequence cannot be read") from None
        items += [_code(method) for method in self.methods if method.value not in known]
        order = {method.value: number for number, method in enumerate(self.all_methods)}
        items.sort(key=lambda item: order.get(str(item.get("CodeValue", "")), len(order)))
        dataset[_METHOD_CODES] = DataElement(_METHOD_CODES, "SQ", Items(items))


def plan_cleaning(
    profile: Profile, received: Dataset, sent: Dataset, project: Project, has_pixel_data: bool
) -> Cleaning | None:
    """Decide what is to be done to the pixels of an instance that is de-identified. Tag morphing leaves pixels alone.

    Parameters
    ----------
    received
        As it was received, with its pixels or without. Masks, conditions, orientation and everything else go by it.
    sent
        As the profile has left it: a profile may say of an instance that something is burned in.
    has_pixel_data
        True: the instance has Pixel Data, Float Pixel Data or Double Float Pixel Data.

    Returns
    -------
    Cleaning or None
        None: the pixels stay as they are.

    Raises
    ------
    DeidentificationError
        The pixels have to be cleaned, and it is not known how; or it cannot be decided whether they do.
    """
    if not has_pixel_data or not profile.cleans_pixels:
        return None
    asked = profile.cleaning(_with_pixel_data(received))
    if not asked:
        return None
    sop_class = first_text_of(received, _SOP_CLASS_UID).strip()
    if not sop_class:
        raise DeidentificationError("pixels cannot be cleaned: SOP Class UID is missing")
    masks: tuple[Mask, ...] = ()
    rectangles: tuple[Rectangle, ...] = ()
    methods = []
    if PIXELS in asked and needs_mask(sop_class, received, sent):
        masks, rectangles = _masks(profile, received)
        methods.append(asked[PIXELS])
    planes = axial_planes(received) if FEATURES in asked and is_ct(sop_class) else ()
    if planes:
        methods.append(asked[FEATURES])
    if not methods:
        return None
    return Cleaning(
        masks=masks,
        rectangles=rectangles,
        planes=planes,
        methods=tuple(methods),
        all_methods=profile.methods,
        received=received,
        key=_key(received, project),
    )


def needs_mask(sop_class_uid: str, received: Dataset, sent: Dataset) -> bool:
    """Tell whether text may be burned into the pixels of an instance.

    It may where the SOP class is one of those that often have it, and where Burned In Annotation is there and is
    anything but NO, as received or after the profile: a flag that the profile turns to NO is not believed.
    """
    if _is_below(sop_class_uid, _OFTEN_BURNED_IN):
        return True
    flags = (first_text_of(dataset, _BURNED_IN).strip().upper() for dataset in (received, sent))
    return any(flag not in ("", "NO") for flag in flags)


def syntax_of_cleaned(transfer_syntax_uid: str, image: ImageDescription) -> str:
    """Return the transfer syntax of cleaned pixels where the destination asks for none.

    That of the instance, or the lossless one of its family, so that nothing changes but what was cleaned; Explicit VR
    Little Endian where no codec writes it.

    Parameters
    ----------
    transfer_syntax_uid
        Of the received instance.
    image
        Of the decoded frames.
    """
    syntax = SYNTAXES.get(transfer_syntax_uid)
    if syntax is not None and not syntax.lossless:
        syntax = SYNTAXES.get(syntax.counterpart)
    return EXPLICIT if syntax is None or syntax.refused else fitting(syntax.uid, image)


def is_ct(sop_class_uid: str) -> bool:
    """Tell whether a SOP class is that of a CT, an Enhanced CT or a converted one."""
    return _is_below(sop_class_uid, (_CT,))


def _is_below(uid: str, roots: Sequence[str]) -> bool:
    return any(uid == root or uid.startswith(f"{root}.") for root in roots)


def _masks(profile: Profile, received: Dataset) -> tuple[tuple[Mask, ...], tuple[Rectangle, ...]]:
    columns, rows = _size(received, "Columns"), _size(received, "Rows")
    masks = select_masks(profile.masks, first_text_of(received, _STATION_NAME), columns, rows)
    if not masks:
        raise DeidentificationError(
            "the pixels have to be cleaned, and the profile has no mask for the station and the size of the image"
        )
    rectangles = rectangles_of(masks, columns, rows)
    if not rectangles:
        raise DeidentificationError("the pixels have to be cleaned, and the mask for them lies outside the image")
    return masks, rectangles


def _size(received: Dataset, keyword: str) -> int:
    try:
        return whole_number(received[keyword].value)
    except UNREADABLE:  # their messages may quote a value
        raise DeidentificationError(f"the pixels have to be cleaned, and {keyword} cannot be read") from None


def _with_pixel_data(received: Dataset) -> Dataset:
    """Return a header with Pixel Data, for conditions that look whether there is some."""
    if any(tag in received for tag in KINDS):
        return received
    elements = {**dict(received.items()), BaseTag(PIXEL_DATA): DataElement(PIXEL_DATA, "OB", b"\0\0")}
    dataset = Dataset(elements)
    implicit, little = received.original_encoding
    dataset.set_original_encoding(implicit, little, received.original_character_set or None)
    return dataset


def _key(received: Dataset, project: Project) -> Callable[[int], bytes]:
    series, instance = (first_text_of(received, tag) for tag in (_SERIES_UID, _INSTANCE_UID))
    return lambda index: project.hasher.digest(f"deface\\{series}\\{instance}\\{index}")


def _set(dataset: Dataset, tag: int, text: str) -> None:
    dataset[tag] = DataElement(tag, "CS", text)


def _code(method: Method) -> Dataset:
    item = Dataset()
    item.CodeValue = method.value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = method.meaning
    return item
