"""Every kind of pixels in every transfer syntax, decoded by programs that are not ours: as the manual's table says."""

from __future__ import annotations

import os
from collections.abc import Mapping

import matrix
import pytest
from independent import need_programs

pytestmark = pytest.mark.filterwarnings("ignore")

#: set: every image of the test data, not one of each kind; takes minutes
WHOLE_CORPUS = os.environ.get("KARNAK_WHOLE_CORPUS")


@pytest.fixture(scope="module")
def cases() -> list[matrix.Case]:
    """All images that can be read."""
    need_programs()
    return matrix.cases()


@pytest.fixture(scope="module")
def samples(cases: list[matrix.Case]) -> Mapping[str, matrix.Case]:
    """One image of each kind."""
    return {case.kind: case for case in matrix.samples(cases)}


def test_table_has_every_kind_of_image(samples: Mapping[str, matrix.Case]) -> None:
    assert matrix.kinds() == list(samples)


@pytest.mark.parametrize("kind", matrix.kinds())
def test_table_says_what_becomes_of_the_pixels(kind: str, samples: Mapping[str, matrix.Case]) -> None:
    measured = matrix.measure(samples[kind])
    assert "unread" not in measured.values()
    assert matrix.row(kind, measured) == matrix.committed_row(kind)


@pytest.mark.skipif(not WHOLE_CORPUS, reason="KARNAK_WHOLE_CORPUS is not set")
@pytest.mark.timeout(3600)
def test_every_image_is_the_same_in_every_syntax_or_refused(cases: list[matrix.Case]) -> None:
    wrong = {}
    for case in cases:
        try:
            measured = matrix.measure(case, whole=True)
        except matrix.CannotDecode:
            continue
        except AssertionError as error:
            wrong[case.path.name] = str(error)
        else:
            if "unread" in measured.values():
                wrong[case.path.name] = "unread"
    assert wrong == {}
