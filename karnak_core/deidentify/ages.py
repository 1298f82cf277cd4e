"""The patient's age at the date of an instance, for ``ComputePatientAge()``."""

from __future__ import annotations

from datetime import date

from pydicom.dataset import Dataset

from karnak_core.deidentify.dates import read_da
from karnak_core.expressions import first_value

_BIRTH_DATE = 0x00100030
#: ContentDate, AcquisitionDate, DateOfSecondaryCapture, SeriesDate, StudyDate: the first valid one counts
_DATES = (0x00080023, 0x00080022, 0x00181012, 0x00080021, 0x00080020)


def age_of(dataset: Dataset) -> str | None:
    """Return the age as an AS; None when dates are missing, or it is one that an AS cannot say."""
    born = _date(dataset, _BIRTH_DATE)
    when = next((found for tag in _DATES if (found := _date(dataset, tag))), None)
    return age_between(born, when) if born and when else None


def age_between(born: date, when: date) -> str | None:
    """Return full years from two on, else full months from two on, else days."""
    if when < born:
        return None
    months = (when.year - born.year) * 12 + when.month - born.month - (when.day < born.day)
    number, unit = (months // 12, "Y") if months >= 24 else (months, "M") if months >= 2 else ((when - born).days, "D")
    return f"{number:03}{unit}" if number <= 999 else None


def _date(dataset: Dataset, tag: int) -> date | None:
    text = first_value(dataset, tag)
    return read_da(text) if text else None
