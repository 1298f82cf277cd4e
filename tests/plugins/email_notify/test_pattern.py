"""Subject patterns are read as Java's String.format reads them."""

from __future__ import annotations

import pytest

from karnak_plugins.email_notify.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "values", "text"),
    [
        ("[Karnak Notification] %s %.30s", ["P1", "d" * 40], "[Karnak Notification] P1 " + "d" * 30),
        ("%s", ["value"], "value"),
        ("no value", ["left out"], "no value"),
        ("%s", ["first", "left out"], "first"),
        ("%.3s|", ["abcdef"], "abc|"),
        ("%.30s|", ["abc"], "abc|"),
        ("%.0s|", ["abc"], "|"),
        ("%6s|", ["abc"], "   abc|"),
        ("%-6s|", ["abc"], "abc   |"),
        ("%2s|", ["abc"], "abc|"),
        ("%6.2s|", ["abc"], "    ab|"),
        ("%-6.2s|", ["abc"], "ab    |"),
        ("%S", ["Straße"], "STRASSE"),
        ("%-4.2S|", ["abc"], "AB  |"),
        ("100%%", [], "100%"),
        ("a%nb", [], "a b"),
        ("%2$s %1$s", ["a", "b"], "b a"),
        ("%2$s %s %s", ["a", "b"], "b a b"),
        ("%1$s %1$s %s", ["a"], "a a a"),
        ("%2$-3.1S|", ["a", "bcd"], "B  |"),
        ("", [], ""),
    ],
)
def test_pattern_gives_what_java_gives(pattern: str, values: list[str], text: str) -> None:
    assert Pattern(pattern).format(values) == text


@pytest.mark.parametrize(
    ("pattern", "needs"), [("", 0), ("%%%n", 0), ("%s %s", 2), ("%3$s", 3), ("%2$s %s", 2), ("%s %1$s", 1)]
)
def test_pattern_knows_how_many_values_it_needs(pattern: str, needs: int) -> None:
    assert Pattern(pattern).needs == needs


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("%d", "'%d' at character 1 is unknown; known: %s"),
        ("50%", "'%' at character 3 is unknown"),
        ("a %", "'%' at character 3 is unknown"),
        ("%-s", "'%-s' at character 1 fills up behind, but does not say to how many characters"),
        ("%#s", "'%#s' at character 1 is unknown"),
        ("%05s", "'%05s' at character 1 is unknown"),
        ("%0$s", "'%0$s' at character 1: values are counted from 1"),
        ("%<s", "'%<s' at character 1 is unknown"),
        ("%5%", "'%5%' at character 1 is unknown"),
        ("%.2n", "'%.2n' at character 1 is unknown"),
        ("%N", "'%N' at character 1 is unknown"),
        ("%.s", "'%.s' at character 1 is unknown"),
        ("%99999s", "'%99999s' at character 1 fills up to more than 200 characters"),
        ("%tY", "'%t' at character 1 is unknown"),
    ],
)
def test_pattern_that_is_wrong_is_refused_with_its_place(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        Pattern(pattern)
    assert words in str(raised.value)
