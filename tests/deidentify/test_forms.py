"""Values that a profile gives or computes have the form and the length of their VR."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import DeidentificationError, Profile, Project, Result
from karnak_core.deidentify.forms import fits

PROJECT = Project(name="STUDY-A", secret=bytes(16))


@pytest.mark.parametrize(
    ("vr", "good", "bad"),
    [
        ("AE", ["KARNAK", "A B"], ["A" * 17, "A\tB"]),
        ("AS", ["045Y", "003M", "045", ""], ["45Y", "045y", "045X"]),
        ("CS", ["A_B 1", "A\\B", "", "YES "], ["yes", "A-B", "A" * 17]),
        ("DA", ["20240229", ""], ["20230229", "2024", "2024.02.29", "20241301"]),
        ("DS", ["1", "-1.5e3", " .5 ", "1.5\\2"], ["1,5", "x", "1" * 17, "--1"]),
        ("DT", ["2024", "202402291259", "20240229125959.123456+0100"], ["2024-02", "20241", "20241301", "2024+1"]),
        ("IS", ["-12", "+7", "2147483647"], ["1.5", "2147483648", "x"]),
        ("LO", ["x" * 64, "Jérôme", "a\\b"], ["x" * 65, "a\nb"]),
        ("LT", ["a\r\nb \\ c"], ["x" * 10241, "a\x01"]),
        ("PN", ["Yamada^Tarou=山田^太郎=やまだ^たろう", "x" * 64], ["x" * 65, "a=b=c=d"]),
        ("SH", ["x" * 16], ["x" * 17]),
        ("ST", ["x" * 1024], ["x" * 1025]),
        ("TM", ["12", "1259", "125959.5"], ["24", "1260", "12:59", "1"]),
        ("UI", ["1.2.3", "2.25.0", "1.2\\1.3"], ["1..2", "1.02", "a", "1." * 32 + "1"]),
        ("UR", ["https://example.org/a"], ["a b"]),
        ("UT", ["anything"], ["a\x02"]),
        ("OB", ["anything"], []),
    ],
)
def test_values_fit_their_vr_or_do_not(vr: str, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if not fits(vr, value)] == []
    assert [value for value in bad if fits(vr, value)] == []


def profile(elements: str) -> Profile:
    return Profile.from_yaml(f"name: x\nprofileElements:\n{elements}").require()


def received() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.PatientID = "PID-1"
    dataset.StudyDate = "20200101"
    dataset.StudyDescription = "a study description of some length"
    dataset.StationName = "S"
    return dataset


@pytest.mark.parametrize(
    ("tag", "expression", "where"),
    [
        ("(0008,0020)", "Replace(getString(#Tag.StudyDescription))", "(0008,0020) DA"),
        ("(0008,1010)", "Replace(getString(#Tag.StudyDescription))", "(0008,1010) SH"),
        ("(0008,1030)", "Add(#Tag.StudyTime, #VR.TM, getString(#Tag.StudyDescription))", "(0008,0030) TM"),
    ],
)
def test_a_computed_value_that_is_none_of_its_vr_fails_the_instance(tag: str, expression: str, where: str) -> None:
    arguments = f'{{expr: "{expression}"}}'
    found = profile(f'  - {{name: e, codename: expression.on.tags, tags: ["{tag}"], arguments: {arguments}}}')
    with pytest.raises(DeidentificationError) as error:
        found.apply(received(), PROJECT, "PSN-1")
    assert str(error.value) == f"{where}: the new value is not one of this VR"


def test_a_value_written_for_one_of_several_tags_is_no_problem() -> None:
    expression = "tagIsPresent(#Tag.StudyDate) ? Replace('IT''S') : Keep()"
    found = profile(
        '  - {name: e, codename: expression.on.tags, tags: ["(0008,1030)", "(0008,0020)"], excludedTags: '
        f'["(0008,0020)"], arguments: {{expr: "{expression}"}}}}'
    )
    result = found.apply(received(), PROJECT, "PSN-1")
    assert isinstance(result, Result)
    assert result.dataset.StudyDescription == "IT'S"
