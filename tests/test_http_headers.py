"""HTTP headers are read as people write them; what could not be sent is refused, and says which pair."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from karnak_core.config.export import to_document
from karnak_core.config.load import load
from karnak_core.config.plan import _keys
from karnak_core.config.seal import sealed
from karnak_core.config.secret import WRITE_OUT, Secret
from karnak_core.database.secrets import Vault
from karnak_core.errors import Misconfigured
from karnak_core.http_headers import NOT_OURS, HeaderError, Headers, append_authorization, parse, resolved, write
from karnak_core.plugins import load as load_plugins


class Keys(BaseModel):
    """A kind's model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    headers: Headers = Field(default=(), description="sent along")


def read(written: Any) -> Keys:
    return Keys.model_validate({"headers": written})


def sent(keys: Keys) -> list[tuple[str, str]]:
    return resolved(keys.headers, lambda secret: secret.reveal())


# ---- text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        (" \n\t ", []),
        ("nothing that is a header", []),
        ("<key>X-Tenant</key><value>7</value>", [("X-Tenant", "7")]),
        ("<KEY>X</Key><VALUE>1</vAlUe>", [("X", "1")]),
        ("< key >X</ key ><value >1< /value>", [("X", "1")]),
        ("<key>B</key>\n<value>2</value>, <key>A</key> is <value>1</value>;", [("B", "2"), ("A", "1")]),
        ("<key>X</key><value>1</value><key>X</key><value>2</value>", [("X", "1"), ("X", "2")]),
        ("<key> X </key><value>  a \n\t b&nbsp;c  </value>", [("X", "a b c")]),
        ("<key>X</key><value>a&amp;b&lt;c&gt; &quot;&#233;&quot;</value>", [("X", 'a&b<c> "é"')]),
        ("<key>X</key><value>a <b>bold</b> claim</value>", [("X", "a <b>bold</b> claim")]),
    ],
)
def test_every_pair_of_a_text_is_read_in_order(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse(text) == pairs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<key>X</key>", "pair 1 (X): <key> without a <value>"),
        ("<key>X</key><key>Y</key><value>1</value>", "pair 1 (X): <key> without a <value>"),
        ("<key>A</key><value>1</value><key>X</key>", "pair 2 (X): <key> without a <value>"),
        ("<value>1</value>", "pair 1: <value> without <key> before it"),
        ("<key>X<value>1</value>", "pair 1: <key> is not closed before <value>"),
        ("<key>X</key><value>1", "pair 1 (X): <value> is not closed"),
        ("<key>X", "pair 1: <key> is not closed"),
        ("<key>X</key><value>1<key>Y</key><value>2</value>", "pair 1 (X): <value> is not closed before <key>"),
        ("</key><value>1</value>", "pair 1: </key> without <key> before it"),
        ("<key>X</key></value>", "pair 1 (X): </value> without <value> before it"),
        ("<key></key><value>1</value>", "pair 1: the name is empty"),
        ("<key>A</key><value>1</value><key>X</key><value> </value>", "pair 2 (X): the value is empty"),
        ("<key>X Y</key><value>1</value>", "pair 1: the name has ' ', which a header's name cannot have"),
        ("<key>X:</key><value>1</value>", "pair 1: the name has ':'"),
        ("<key>Ünder</key><value>1</value>", "pair 1: the name has 'Ü'"),
        ("<key>X</key><value>a\x7fb</value>", "pair 1 (X): the value has a control character"),
        ("<key>X</key><value>a\x0bb</value>", "pair 1 (X): the value has a control character"),
        ("<key>X</key><value>a\u2192b</value>", "pair 1 (X): the value has '→'"),
        (
            "<key>Authorization</key><value>a</value><key>authorization</key><value>b</value>",
            "pair 2 (authorization): stands twice; pair 1 is it, too",
        ),
    ],
)
def test_what_is_no_header_says_which_pair(text: str, words: str) -> None:
    with pytest.raises(HeaderError) as error:
        parse(text)
    assert str(error.value).startswith(words)
    assert str(error.value).count("pair ") == 1 + words.count("; pair ")


@pytest.mark.parametrize(
    "name", ["Host", "Content-Length", "Connection", "Expect", "Upgrade", "Transfer-Encoding", "tRaNsFeR-eNcOdInG"]
)
def test_header_of_the_connection_is_refused(name: str) -> None:
    assert name.lower() in NOT_OURS
    for written in (f"<key>A</key><value>1</value><key>{name}</key><value>x</value>", {"A": "1", name: "x"}):
        with pytest.raises(ValidationError, match=rf"pair 2 \({name}\): cannot be given: it belongs to the connection"):
            read(written)


def test_every_problem_is_told() -> None:
    with pytest.raises(HeaderError) as error:
        parse("<key>Host</key><value>a</value><key>B</key><value></value><key>C</key><value>c</value>")
    assert str(error.value).split("; ") == [
        "pair 1 (Host): cannot be given: it belongs to the connection, and is set by who sends",
        "pair 2 (B): the value is empty",
    ]


def test_value_is_in_no_message() -> None:
    for text in (
        "<key>Authorization</key><value>hunter2\x01</value>",
        "<key>X</key><value>hunter2",
        "<key>hunter2 hunter2</key><value>x</value>",
        f"<key>{'hunter2' * 9}</key>",
    ):
        with pytest.raises(HeaderError) as error:
            parse(text)
        assert "hunter2" not in str(error.value)


NAMES = st.from_regex(r"\A[A-Za-z!#$%&'*+.^_`|~-]{1,20}\Z").filter(
    lambda name: name.lower() not in NOT_OURS | {"authorization"}
)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), min_size=1, max_size=30
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_what_is_written_is_read_as_what_it_was(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name, " ".join(value.split())) for name, value in pairs if value.split()]
    assert parse(write(pairs)) == pairs


PIECES = st.sampled_from(["<key>", "</key>", "<value>", "</value>", "X", " ", "&amp;", "<", "/key>"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_odd_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        pairs = parse(text)
    except HeaderError:
        return
    assert len(pairs) == text.count("<key>") == text.count("</value>")


# ---- a key of the configuration ----------------------------------------------------------------------------------


def test_mapping_is_taken_as_well() -> None:
    assert sent(read({"X-Tenant": "7", "X-Tag": ["a", " b "]})) == [("X-Tenant", "7"), ("X-Tag", "a"), ("X-Tag", "b")]
    assert read({"X-Tenant": "7"}) == read("<key>X-Tenant</key><value>7</value>")
    assert read({}) == read("") == Keys()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (7, "is not text of <key>…</key><value>…</value>, nor a mapping of names to values"),
        (["X"], "nor a mapping"),
        ({"X": 7}, "pair 1: the value is no text; put it in quotes"),
        ({"A": "1", "X": None}, "pair 2: the value is no text"),
        ({"X": {"evn": "A"}}, r"pair 1: the value is not \{env: NAME\}, \{file: PATH\} or text"),
        ({"X": "a\nb"}, r"pair 1 \(X\): the value has a control character"),
        ({"X": ""}, r"pair 1 \(X\): the value is empty"),
        ({"": "a"}, "pair 1: the name is empty"),
    ],
)
def test_what_is_no_mapping_of_headers_is_refused(written: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        read(written)


@pytest.mark.parametrize("written", ["<key>{}</key><value>hunter2</value>", "mapping"])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "Cookie", "X-API-Key", "X-Auth-Token"])
def test_credentials_are_shown_nowhere_and_encrypted(written: str, name: str) -> None:
    vault = Vault([Fernet.generate_key().decode()])
    keys = read({name: "hunter2"} if written == "mapping" else written.format(name))
    stored = sealed(keys, vault)
    exported = stored.model_dump(mode="json", context=WRITE_OUT)
    assert list(exported["headers"][name]) == ["stored"]
    for shown in (repr(keys), str(keys), repr(stored), str(exported), keys.model_dump_json(), str(keys.model_dump())):
        assert "hunter2" not in shown
    assert resolved(stored.headers, lambda secret: secret.reveal(vault)) == [(name, "hunter2")]
    assert sealed(read({name: "hunter2"}), vault, stored) == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Jwt", "planted"),
        ("X-Vault", "planted"),
        ("X-Amz-Security", "planted"),
        ("X-Access", "Bearer planted"),
        ("X-Access", "basic cGxhbnRlZA=="),
        ("X-Access", "eyJhbGciOiJub25lIn0.planted"),
        ("X-Proxy", "https://karnak:planted@proxy.example.org/"),
    ],
)
def test_credentials_are_known_by_their_value_and_by_unusual_names(name: str, value: str) -> None:
    keys = read({name: value})
    assert value not in repr(keys)
    # a version that was applied before this was known is what it was
    plugins = load_plugins()
    stow = {"name": "a", "type": "stow", "url": "https://a.example.org/", "headers": {name: value}}
    document = {"forward_nodes": [{"ae_title": "A", "destinations": [stow]}]}
    assert to_document(load(document, plugins))["forward_nodes"][0]["destinations"][0]["headers"] == {name: value}
    with pytest.raises(ValueError, match="plain"):
        to_document(load(document, plugins, seen=frozenset()))


@pytest.mark.parametrize("value", ["7", "tenant-7", "https://pacs.example.org:8080/a@b", "Basically a name", "eyJ"])
def test_what_is_no_credential_stays_readable(value: str) -> None:
    assert value in str(read({"X-Tenant": value}))


def test_what_is_exported_is_read_as_what_it_was() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    keys = sealed(read({"X-Tenant": "7", "X-Tag": ["a", "b"], "Authorization": "x", "X-Site": {"env": "SITE"}}), vault)
    exported = keys.model_dump(mode="json", context=WRITE_OUT, exclude_defaults=True)
    assert read(exported["headers"]) == keys
    assert Keys().model_dump(mode="json", context=WRITE_OUT, exclude_defaults=True) == {}


def test_plan_shows_what_changes_but_no_credentials() -> None:
    old = read({"X-Tenant": "7", "X-Old": "a", "Authorization": "hunter2"})
    new = read({"X-Tenant": "8", "Authorization": "hunter3"})
    assert list(_keys("cloud", old.model_dump(), new.model_dump())) == [
        "~ cloud: headers.X-Tenant 7 -> 8",
        "~ cloud: headers.X-Old a -> none",
        "~ cloud: headers.Authorization changed",
    ]


def test_secret_that_is_no_value_holds_the_destination_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = read({"X-Tenant": "7", "Authorization": {"env": "KARNAK_TEST_TOKEN"}})
    with pytest.raises(Misconfigured, match="KARNAK_TEST_TOKEN is not set"):
        sent(keys)
    monkeypatch.setenv("KARNAK_TEST_TOKEN", "hunter2\nX-Evil: 1")
    with pytest.raises(Misconfigured, match=r"pair 2 \(Authorization\): the value has a control character") as error:
        sent(keys)
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv("KARNAK_TEST_TOKEN", "Bearer abc")
    assert sent(keys) == [("X-Tenant", "7"), ("Authorization", "Bearer abc")]


def test_model_that_is_built_in_code_keeps_its_headers() -> None:
    keys = read({"X": "1", "Authorization": "a"})
    assert Keys(headers=keys.headers) == keys
    assert read({"X-Plain": Secret.plain("1")}).headers[0].value == Secret.plain("1")


# ---- adding ------------------------------------------------------------------------------------------------------


def test_authorization_is_added_after_what_is_there() -> None:
    there = "<key>X-Tenant</key><value>7</value>\n"
    added = append_authorization(there, {"Authorization": "Basic a&b"})
    assert added == ("<key>X-Tenant</key><value>7</value>\n<key>Authorization</key>\n<value>Basic a&amp;b</value>")
    assert parse(added) == [("X-Tenant", "7"), ("Authorization", "Basic a&b")]
    assert append_authorization(" \n", {"Authorization": "a"}) == "<key>Authorization</key>\n<value>a</value>"


@pytest.mark.parametrize(
    "there", ["<key>Authorization</key><value>x</value>", "<KEY> authorization </key>", "x <key>AUTHORIZATION</key> y"]
)
def test_second_authorization_is_refused_whatever_its_case(there: str) -> None:
    with pytest.raises(HeaderError, match="the headers already have <key>Authorization</key>; remove it"):
        append_authorization(there, {"Authorization": "a"})


def test_nothing_is_added_to_what_is_wrong() -> None:
    with pytest.raises(HeaderError, match="pair 1: <key> is not closed"):
        append_authorization("<key>X", {"Authorization": "a"})
