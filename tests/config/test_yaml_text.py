"""YAML that is no configuration is refused with line and column, and costs little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karnak_core.config.yaml_text import parse, write
from karnak_core.errors import ConfigurationError


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; write {} for a configuration of defaults only"),
        ("# nothing\n", "the file is empty; write {} for a configuration of defaults only"),
        ("- a\n", "line 1, column 1: is not a mapping of keys to values"),
        ("a: [1\nb: 2\n", "line 2, column 2: while parsing a flow sequence: expected ',' or ']', but got ':'"),
        ("a: 1\n b: 2\n", "line 2, column 3: mapping values are not allowed here"),
        ("a: *b\n", "line 1, column 4: found undefined alias 'b'"),
        ("a: &a [*a]\n", "line 1, column 4: contains itself"),
        ("? [a]\n: 1\n", "line 1, column 3: a key has to be text"),
        ("a: !!python/name:os.system x\n", "line 1, column 4: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/name:os.system'"),
        ('a: "\\0"\n', "line 1, column 4: has a control character"),
        ('a: "\\ud800"\n', "line 1, column 4: has a control character"),
        ("a: \x07\n", "position 3: character 7 is not allowed in YAML"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1: expected a single document in the stream: but found another document"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_line_and_column(text: str, message: str) -> None:
    assert problems(text) == [message]


def test_every_key_that_stands_twice_is_told() -> None:
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        "line 3, column 1: key 'a' stands twice; first in line 1",
        "line 2, column 11: key 'c' stands twice; first in line 2",
    ]


def test_lines_of_the_file_are_not_shown() -> None:
    assert "hunter2" not in str(problems("password: hunter2\n  port: [hunter2"))


def test_aliases_and_merges_are_allowed() -> None:
    text = "base: &base {x: 1, y: 2}\nlist: [*base, {<<: *base, y: 3}]\n"
    assert parse(text) == {"base": {"x": 1, "y": 2}, "list": [{"x": 1, "y": 2}, {"x": 1, "y": 3}]}


@pytest.mark.parametrize("inner", ["[{aliases}]", "{{<<: [{aliases}]}}"])
def test_aliases_that_expand_to_too_much_are_refused(inner: str) -> None:
    lines = ["a0: &a0 {k: 1}"]
    for level in range(1, 40):
        aliases = ", ".join([f"*a{level - 1}"] * 2)
        lines.append(f"a{level}: &a{level} {inner.format(aliases=aliases)}")
    assert problems("\n".join(lines))[0].endswith("has more than 100000 entries with its aliases expanded")


def test_deep_nesting_is_refused() -> None:
    assert problems("[" * 50_000) == ["line 1, column 41: nested deeper than 40 levels"]


def test_many_entries_are_refused_before_all_of_them_are_read() -> None:
    assert problems(f"a: [{'x, ' * 150_000}") == ["line 1, column 299996: has more than 100000 entries before this one"]


def test_large_files_are_refused() -> None:
    assert problems("#" * (1024 * 1024 + 1)) == ["the file is larger than 1024 KiB"]


def test_only_true_false_numbers_and_null_are_not_text() -> None:
    assert parse("a: [true, False, 1, -7, 1.5, null, ~, no, on, y, 0123, 1:30, 2026-01-01, 1e3, 0x1F]") == {
        "a": [True, False, 1, -7, 1.5, None, None, "no", "on", "y", "0123", "1:30", "2026-01-01", "1e3", "0x1F"]
    }


def test_keys_are_text() -> None:
    assert parse("{1: a, true: b, null: c}") == {"1": "a", "true": "b", "null": "c"}


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t :#'\"-[]{}&*!|>%@`\\"))


@given(st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT | st.lists(TEXT)))
def test_a_document_that_was_written_reads_the_same(document: dict[str, object]) -> None:
    assert parse(write(document)) == document


LINES = st.lists(st.text(st.sampled_from("ab:#-\"' \t\u3000é😀"), max_size=12)).map("\n".join)


@given(LINES, LINES)
def test_text_of_several_lines_that_was_written_reads_the_same(one: str, other: str) -> None:
    document = {"a": [{"text": one}, {"b": [{"text": other, "c": ""}]}], "z": other}
    assert parse(write(document)) == document


@pytest.mark.parametrize("end", ["\r", "\r\n", "\x85", "\u2028", "\u2029"])
def test_line_ends_that_yaml_would_change_are_kept(end: str) -> None:
    document = {"a": end, "b": f"x{end}y\n", "c": f"x\n{end}"}
    assert parse(write(document)) == document


def test_text_of_several_lines_is_written_as_a_block_of_them() -> None:
    assert write({"a": [{"text": "one: 1 \n\n\t# two\n"}]}) == "a:\n  - text: |\n      one: 1 \n\n      \t# two\n"
