"""The front of a head is gone from axial CT, what lies behind it stays, and it comes out the same each time."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pixel_objects import make_header, native
from pydicom import Dataset
from pydicom.sequence import Sequence

from karnak_core.deidentify import DeidentificationError, Profile, Project
from karnak_core.pixels import PixelSource
from karnak_core.pixels.cleaning import Cleaning, plan_cleaning
from karnak_core.pixels.defacing import deface, face_rows
from karnak_core.pixels.edges import edges, eroded
from karnak_core.pixels.planes import AxialPlane, axial_planes

CT, ENHANCED_CT, LEGACY_CT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "2.2"))
AXIAL = [1, 0, 0, 0, 1, 0]
KEY = bytes(32)
PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))
PROFILE = Profile.from_yaml(
    "name: Test\nprofileElements:\n  - {name: deface, codename: clean.recognizable.visual.features}\n"
).require()
PLANE = AxialPlane(anterior="top", spacing=0.5, slope=1.0, intercept=-1024.0)
SIZE = 256


def head(nose: int = 25, size: int = SIZE) -> NDArray[np.int64]:
    """Return Hounsfield units of an axial frame of a head that looks up: skin, a nose, bone, a little noise."""
    y, x = np.mgrid[:size, :size] * (256 / size)
    hounsfield = np.full((size, size), -1000)
    hounsfield[((x - 128) / 80) ** 2 + ((y - 140) / 100) ** 2 < 1] = 40
    hounsfield[(abs(x - 128) < 10) & (y > nose) & (y < 60)] = 30
    hounsfield[((x - 128) / 70) ** 2 + ((y - 140) / 90) ** 2 < 1] = 700
    hounsfield[((x - 128) / 62) ** 2 + ((y - 140) / 80) ** 2 < 1] = 35
    return hounsfield + np.random.default_rng(1).integers(-5, 6, (size, size))


def stored(hounsfield: NDArray[Any], plane: AxialPlane = PLANE, dtype: str = "u2") -> NDArray[Any]:
    return np.rint((hounsfield - plane.intercept) / plane.slope).astype(dtype)


def ct_header(frame: NDArray[Any], **changes: Any) -> Dataset:
    header = make_header(frame, SOPClassUID=CT, ImageOrientationPatient=AXIAL, PixelSpacing=[0.5, 0.5])
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return header


def planned(header: Dataset, project: Project = PROJECT) -> Cleaning | None:
    return plan_cleaning(PROFILE, header, header, project, True)


def skin(frame: NDArray[Any], plane: AxialPlane = PLANE) -> NDArray[Any]:
    """Return the first row of each column that is not air."""
    tissue: NDArray[Any] = frame * plane.slope + plane.intercept > -500
    return tissue.argmax(axis=0)


# ---- the method ----------------------------------------------------------------------------------------------------


def test_skin_and_all_before_it_are_gone_and_what_lies_behind_stays() -> None:
    frame = stored(head())
    face = face_rows(frame, PLANE)
    cleaned = deface(frame, PLANE, KEY)
    assert abs(face[128] - 25) <= 4  # the tip of the nose
    assert face.max() <= int(SIZE / 2.9)
    place = np.arange(SIZE)[:, None]
    behind = place >= face + 20
    assert (cleaned[behind] == frame[behind]).all()
    before = place <= face
    assert (cleaned[before] != frame[before]).mean() > 0.95
    # there is no line of skin any more
    assert skin(frame)[70:186].min() > 10
    assert (skin(cleaned)[70:186] == 0).all()
    assert cleaned.dtype == frame.dtype


def test_noise_is_made_of_the_tissue_of_its_column() -> None:
    frame = stored(head())
    face = face_rows(frame, PLANE)
    cleaned = deface(frame, PLANE, KEY)
    column = 128
    tissue = frame[face[column] + 1 : face[column] + 14, column]
    assert tissue.min() <= cleaned[3 : face[column], column].mean() <= tissue.max()
    assert cleaned[:, column].std() > 0


def test_tissue_of_value_zero_makes_noise_too() -> None:
    plane = AxialPlane(anterior="top", spacing=0.5, slope=1.0, intercept=0.0)
    hounsfield = np.where(head() > -500, 0, -1000)
    cleaned = deface(stored(hounsfield, plane, "i2"), plane, KEY)
    assert (cleaned[5:20, 128] == 0).all()  # air before


def test_nose_that_leaves_the_image_is_covered_too() -> None:
    frame = stored(head(nose=-1))
    cleaned = deface(frame, PLANE, KEY)
    assert (cleaned[0, 119:137] != frame[0, 119:137]).mean() > 0.5


@pytest.mark.parametrize("hounsfield", [-1000, 100])
def test_frame_without_any_skin_is_noise_in_its_front_third(hounsfield: int) -> None:
    frame = stored(np.full((SIZE, SIZE), hounsfield))
    assert (face_rows(frame, PLANE) == int(SIZE / 2.9)).all()
    assert (deface(frame, PLANE, KEY) == frame).all()  # noise of one value


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_small_frames_do_no_harm(size: int) -> None:
    frame = stored(np.random.default_rng(2).integers(-1000, 1000, (size, size)))
    for spacing in (1e-300, 0.01, 0.5, 10.0):
        plane = AxialPlane(anterior="top", spacing=spacing, slope=1.0, intercept=-1024.0)
        assert deface(frame, plane, KEY).shape == frame.shape


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ([1, 0, 0, 0, 1, 0], lambda frame: frame),
        ([-1, 0, 0, 0, 1, 0], lambda frame: frame),
        ([1, 0, 0, 0, -1, 0], lambda frame: frame[::-1]),
        ([-1, 0, 0, 0, -1, 0], lambda frame: frame[::-1]),
        ([0, 1, 0, 1, 0, 0], lambda frame: frame.T),
        ([0, -1, 0, 1, 0, 0], lambda frame: frame[::-1].T),
        ([0.1, 0.99, 0, -0.99, 0.1, 0], lambda frame: frame.T),
    ],
)
def test_face_is_found_on_the_side_that_the_patient_looks_to(orientation: list[float], turn: Any) -> None:
    frame = stored(head())
    turned = np.ascontiguousarray(turn(frame))
    (plane,) = axial_planes(ct_header(turned, ImageOrientationPatient=orientation))
    assert (deface(turned, plane, KEY) == turn(deface(frame, PLANE, KEY))).all()


def test_spacing_is_that_of_the_direction_in_which_the_patient_looks() -> None:
    header = ct_header(stored(head()), PixelSpacing=[0.4, 0.8])
    assert axial_planes(header)[0].spacing == 0.4
    header.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    assert axial_planes(header)[0].spacing == 0.8
    del header.PixelSpacing
    assert axial_planes(header)[0].spacing == 0.5


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"), [(2.0, -1024.0, "u2"), (1.0, 0.0, "i2"), (-1.0, 1000.0, "i2")]
)
def test_skin_is_where_hounsfield_units_say_so(slope: float, intercept: float, dtype: str) -> None:
    plane = AxialPlane(anterior="top", spacing=0.5, slope=slope, intercept=intercept)
    even = head() // 2 * 2
    assert (face_rows(stored(even, plane, dtype), plane) == face_rows(stored(even), PLANE)).all()


# ---- always the same -----------------------------------------------------------------------------------------------


def test_noise_stays_the_same_in_every_version_of_everything() -> None:
    frame = stored(np.where(np.mgrid[:64, :64][0] > 12, np.mgrid[:64, :64][1] * 7 + np.mgrid[:64, :64][0], -1000))
    digest = hashlib.sha256(deface(frame, PLANE, KEY).astype("<u2").tobytes()).hexdigest()
    assert digest == "4a633f1c62bc92bf7c2742146811e437540ddad5161344d29c84854e0f84f6e5"


def cleaned_frame(header: Dataset, frame: NDArray[Any], project: Project = PROJECT, index: int = 0) -> NDArray[Any]:
    cleaning = planned(header, project)
    assert cleaning is not None
    source = PixelSource.open(native(header, frame.tobytes()), "1.2.840.10008.1.2.1")
    return cleaning.edit(source.output_image)(index, source.frame(index))


def test_instance_that_is_sent_again_gets_the_same_noise_and_others_get_their_own() -> None:
    frame = stored(head())
    header = ct_header(frame)
    first = cleaned_frame(header, frame)
    assert (cleaned_frame(header, frame) == first).all()
    other = Project(name="STUDY-A", secret=bytes(16))
    assert (cleaned_frame(header, frame, other) != first).any()
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert (cleaned_frame(ct_header(frame, **{keyword: "2.25.9"}), frame) != first).any()


# ---- which images --------------------------------------------------------------------------------------------------


def enhanced(frame: NDArray[Any], *per_frame: Dataset, shared: Dataset | None = None) -> Dataset:
    header = make_header(frame, frames=len(per_frame), SOPClassUID=ENHANCED_CT)
    header.SharedFunctionalGroupsSequence = Sequence([shared or Dataset()])
    header.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    return header


def group(
    orientation: list[float] | None = None, spacing: float | None = None, intercept: int | None = None
) -> Dataset:
    item = Dataset()
    if orientation:
        plane = Dataset()
        plane.ImageOrientationPatient = orientation
        item.PlaneOrientationSequence = [plane]
    if spacing:
        measures = Dataset()
        measures.PixelSpacing = [spacing, spacing]
        item.PixelMeasuresSequence = [measures]
    if intercept is not None:
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept = 1, intercept
        item.PixelValueTransformationSequence = [values]
    return item


def test_enhanced_ct_is_defaced_by_its_functional_groups() -> None:
    frames = np.stack([stored(head()), stored(head(nose=45))])
    header = enhanced(frames[0], group(), group(), shared=group(AXIAL, 0.5, -1024))
    assert axial_planes(header) == (PLANE,)
    for index in range(2):
        cleaned = cleaned_frame(header, frames, index=index)
        face = face_rows(frames[index], PLANE)
        behind = np.arange(SIZE)[:, None] >= face + 20
        assert (cleaned[behind] == frames[index][behind]).all()
        assert (cleaned[: face[128], 128] != frames[index][: face[128], 128]).mean() > 0.9


def test_each_frame_of_an_enhanced_ct_counts_for_itself() -> None:
    header = enhanced(
        stored(head()),
        group(AXIAL, 0.5, -1024),
        group([1, 0, 0, 0, -1, 0], 0.25),
        shared=group(spacing=9, intercept=-1000),
    )
    assert axial_planes(header) == (
        PLANE,
        AxialPlane(anterior="bottom", spacing=0.25, slope=1.0, intercept=-1000.0),
    )


def test_enhanced_ct_with_fewer_groups_than_frames_is_held() -> None:
    frame = stored(head())
    header = enhanced(frame, group(AXIAL, 0.5, 0), group(AXIAL, 0.5, 0))
    header.NumberOfFrames = 3
    with pytest.raises(DeidentificationError, match="says of 2 frames how they lie"):
        planned(header)


def test_enhanced_ct_that_is_axial_in_part_is_held() -> None:
    header = enhanced(stored(head()), group(AXIAL), group([1, 0, 0, 0, 0, -1]))
    with pytest.raises(DeidentificationError, match="only some frames"):
        planned(header)


@pytest.mark.parametrize("sop_class", [CT, ENHANCED_CT, LEGACY_CT])
def test_ct_that_does_not_say_how_it_lies_is_held(sop_class: str) -> None:
    header = ct_header(stored(head()), SOPClassUID=sop_class)
    del header.ImageOrientationPatient
    with pytest.raises(DeidentificationError, match="cannot be told whether the CT is axial"):
        planned(header)


@pytest.mark.parametrize("orientation", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.7, 0.7, 0, 0, 0.7, 0.7]])
def test_ct_in_other_directions_is_left_as_it_is_and_nothing_else_is_claimed(orientation: list[float]) -> None:
    assert planned(ct_header(stored(head()), ImageOrientationPatient=orientation)) is None


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.20"])
def test_other_images_are_left_as_they_are(sop_class: str) -> None:
    assert planned(ct_header(stored(head()), SOPClassUID=sop_class)) is None


@pytest.mark.parametrize("changes", [{"PixelSpacing": [0, 0]}, {"RescaleSlope": 0}, {"PixelSpacing": [-1, 1]}])
def test_ct_whose_measures_cannot_be_is_held(changes: dict[str, Any]) -> None:
    with pytest.raises(DeidentificationError, match="Pixel Spacing of the CT is not positive"):
        planned(ct_header(stored(head()), **changes))


def test_ct_in_color_is_held() -> None:
    frame = np.zeros((16, 16, 3), "u1")
    header = ct_header(frame)
    with pytest.raises(DeidentificationError, match="CT in colour"):
        cleaned_frame(header, frame)


# ---- its parts -----------------------------------------------------------------------------------------------------


def test_erosion_takes_two_pixels_from_every_edge_but_those_of_the_image() -> None:
    image = np.zeros((12, 12), bool)
    image[0:7, 3:10] = True
    expected = np.zeros((12, 12), bool)
    expected[0:5, 5:8] = True
    assert (eroded(image, 5) == expected).all()


def test_edges_are_one_pixel_wide() -> None:
    image = np.zeros((12, 12), bool)
    image[4:, :] = True
    found = edges(image)
    assert found.sum(axis=0).tolist() == [1] * 12
    assert found.argmax(axis=0).tolist() == [3] * 12  # the last row before it
    assert not edges(np.ones((5, 5), bool)).any()
