"""Ages and times that are not quite of their VR: shifted where that has a meaning, else emptied or removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import Profile

SHIFT = "  - {name: d, codename: action.on.dates, option: shift, arguments: {days: 10, seconds: 0}}"


@pytest.fixture
def dated() -> Dataset:
    """A data set with an age and a time, which tests set."""
    ds = Dataset()
    ds.PatientID = "P"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    ds.add_new(0x00101010, "AS", "")
    ds.add_new(0x0008002A, "DT", "")
    return ds


def test_age_without_a_unit_is_counted_in_days(
    dated: Dataset, morph: Callable[..., Any], make_profile: Callable[..., Profile]
) -> None:
    dated[0x00101010]._value = "043"
    assert morph(dated, make_profile(SHIFT)).PatientAge == "053"


@pytest.mark.parametrize("age", ["043y", "043X", "43Y", "0 3Y", "043YY", "-43Y"])
def test_age_that_is_none_is_emptied_or_removed(
    dated: Dataset, deidentify: Callable[..., Dataset], make_profile: Callable[..., Profile], age: str
) -> None:
    dated[0x00101010]._value = age
    for profile in (make_profile(SHIFT, basic=True), make_profile(SHIFT)):
        assert not deidentify(dated, profile).get("PatientAge")


@pytest.mark.parametrize("offset", ["+2500", "-1500", "+0160", "+9999"])
def test_time_in_a_zone_that_does_not_exist_is_emptied_or_removed(
    dated: Dataset, deidentify: Callable[..., Dataset], make_profile: Callable[..., Profile], offset: str
) -> None:
    dated[0x0008002A]._value = f"20200110101010{offset}"
    for profile in (make_profile(SHIFT, basic=True), make_profile(SHIFT)):
        assert not deidentify(dated, profile).get("AcquisitionDateTime")


@pytest.mark.parametrize("offset", ["+1400", "-1200", "+0545", ""])
def test_zone_of_a_time_stays(
    dated: Dataset, morph: Callable[..., Any], make_profile: Callable[..., Profile], offset: str
) -> None:
    dated[0x0008002A]._value = f"20200110101010{offset}"
    assert morph(dated, make_profile(SHIFT)).AcquisitionDateTime == f"20191231101010.000000{offset}"
