"""The manual's profiles are right, and its table of differences is that of the vectors."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from karnak_core.deidentify import BUILT_IN, Profile
from karnak_core.deidentify.actions import SYMBOLS

MANUAL = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text("utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL))
def test_profiles_of_the_manual_have_no_problems(text: str) -> None:
    assert Profile.from_yaml(text).check() == ()


def test_manual_names_every_codename_and_action() -> None:
    assert [one.codename for one in BUILT_IN if f"`{one.codename}`" not in MANUAL] == []
    assert [symbol for symbol in SYMBOLS if f"| `{symbol}` |" not in MANUAL] == []


def test_manual_lists_the_vectors_that_are_answered_otherwise() -> None:
    spec = importlib.util.spec_from_file_location("vectors", Path(__file__).with_name("test_vectors.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sorted(re.findall(r"\bD\d{4}\b", MANUAL)) == sorted(module.DEVIATIONS)
