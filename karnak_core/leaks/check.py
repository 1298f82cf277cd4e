"""The leak check: identifiers of a received instance, looked for in everything that is to be sent."""

from __future__ import annotations

from karnak_core.errors import Permanent
from karnak_core.leaks.beside import Beside
from karnak_core.leaks.elements import Elements, Malformed, read_elements
from karnak_core.leaks.encoded import Encoded, Leak
from karnak_core.leaks.identifiers import Identifiers, identifiers_of, what_of
from karnak_core.leaks.places import Places
from karnak_core.leaks.search import suspects

_PREAMBLE = 128
_META_START = 132
#: where something stands that is beside the pixels: in a comment of a compressed frame, or behind its end
_BESIDE = "(7FE0,0010), beside the pixels"
#: the same, among bytes that may be pixels themselves
_NOISE = "noise"
_ASCII = bytes(code if code < 128 else 32 for code in range(256))
#: so many are told; an instance that was not de-identified at all has thousands
_MOST = 100


def find_leaks(
    received: Encoded, sent: Encoded, *, kept: frozenset[int] = frozenset(), beside: Beside | None = None
) -> tuple[Leak, ...]:
    """Return where identifiers of the received instance stand in the one to be sent; empty: nowhere.

    Every value is looked at, at every level: texts, UIDs, dates, numbers, private elements, bytes of unknown meaning,
    the file meta information. Of pixel data, what stands beside the pixels.

    Parameters
    ----------
    received
        The instance as it came.
    sent
        The instance as it is to go out.
    kept
        Tags of elements that the profile says to keep: identifiers that stand in one of them are not looked for.
    beside
        What stands beside the pixels that are to be sent.

    Returns
    -------
    tuple[Leak, ...]
        In the order of the elements, 100 at most. They name tags, never values.

    Raises
    ------
    Permanent
        Either of the two cannot be read: what cannot be read may hold anything.
    """
    before = _read(received, "the received data set")
    after = _read(sent, "the new data set")
    identifiers = identifiers_of(before, kept)
    preamble = sent.file_meta[:_PREAMBLE]
    looks: list[tuple[Elements, str]] = [(elements, "") for elements in after]
    if preamble.strip(b"\0"):
        looks.insert(0, (_alone(preamble), "preamble"))
    if beside is not None and beside.said:
        looks.append((_alone(bytes(beside.said)), _BESIDE))
    if beside is not None and beside.noise:
        # a byte of a pixel beside a word is no letter
        looks.append((_alone(bytes(beside.noise) + b"\n" + beside.noise.translate(_ASCII)), _NOISE))
    # at all of them at once: mostly there is nothing
    if suspects(identifiers, *(elements for elements, _ in looks)) is None:
        return ()
    leaks: dict[Leak, None] = {}
    for elements, place in looks:
        if place == _NOISE:
            _look(identifiers.in_noise(), elements, before[0], leaks, _BESIDE)
        else:
            _look(identifiers, elements, before[0], leaks, place)
    return tuple(leaks)


def _alone(value: bytes) -> Elements:
    """Return bytes as if they were an element with the number 0."""
    return Elements(value=value, found=[(0, b"OB", 0, len(value), 0)], levels=[(0, 0, 0)])


def _look(
    identifiers: Identifiers,
    elements: Elements,
    received: Elements,
    leaks: dict[Leak, None],
    place: str = "",
) -> None:
    found = suspects(identifiers, elements)
    if found is None:
        return
    for path, tag in Places(found, elements, received).find():
        if len(leaks) >= _MOST:
            return
        leaks[Leak(path=place or path, what=what_of(tag))] = None


def _read(encoded: Encoded, what: str) -> tuple[Elements, ...]:
    """Return the elements of the data set, and those of the file meta information where there is one."""
    try:
        dataset = read_elements(encoded.dataset, implicit=encoded.implicit, little=encoded.little)
        if not encoded.file_meta:
            return (dataset,)
        if encoded.file_meta[_PREAMBLE:_META_START] != b"DICM":
            raise Malformed("no DICM")
        # always explicit VR little endian (PS3.10 section 7.1)
        return dataset, read_elements(encoded.file_meta[_META_START:], implicit=False, little=True)
    except Malformed:
        pass
    raise Permanent(f"leak check: {what} cannot be read")
