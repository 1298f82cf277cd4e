"""Imports go one way: every module uses what lies below it, and nothing else.

The rules are the table ``LAYERS``; the imports are read from the source, so that nothing has to be importable.
Imports under ``if TYPE_CHECKING`` do not exist at run time: a layer may know the types of those above it by them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: From the bottom to the top. A line may import what stands on the lines above it; of its own line, only itself,
#: unless BESIDE says more. A package that does not exist yet is simply not there.
LAYERS: Sequence[Sequence[str]] = (
    ("errors", "model", "expressions", "logs", "data", "elements", "summary"),
    ("hookspecs", "database", "dimse", "deidentify", "leaks", "outcomes", "part10", "pixels", "headers", "tls"),
    ("plugins", "kinds", "config", "http_headers", "lookups", "original", "pseudonyms", "projects"),
    ("spool",),
    ("builtin", "rewrite"),
    ("receive", "deliver", "monitor"),  # the three stages never meet but in the spool
    ("child", "tools", "tryout"),
    ("services",),
    ("gateway",),
    ("cli", "commands", "testing"),
)  # fmt: skip

#: Neighbours on one line that may import one another: who -> whom.
BESIDE = {
    "logs": {"errors"},
    "summary": {"model"},
    "dimse": {"tls"},
    "pixels": {"deidentify", "part10"},
    "plugins": {"kinds"},
    "config": {"plugins", "kinds", "projects"},
    "http_headers": {"config"},
    "lookups": {"config"},
    "pseudonyms": {"config", "kinds", "lookups"},
    "cli": {"commands"},
    "commands": {"testing"},
}

#: The two doors of the package: ``from karnak_core import hookimpl``, and ``python -m karnak_core``.
DOORS = {"__init__": {"hookspecs"}, "__main__": {"cli"}}

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def may_import(part: str, other: str) -> bool:
    """Say whether a part of karnak_core may import another one."""
    if part in DOORS:
        return other in DOORS[part]
    return other in (part, "__init__") or LEVEL[other] < LEVEL[part] or other in BESIDE.get(part, ())


def sources(package: str) -> list[Path]:
    """Return every module of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that a module imports at run time, inside functions too."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    if package[0] == "plugins":
        package[0] = "karnak_plugins"
    for node in _at_run_time(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            # the name may be a module of the package, or something in it
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            found: Sequence[ast.AST] = child.orelse
        else:
            found = [child]
        for one in found:
            yield one
            yield from _at_run_time(one)


def part_of(name: str) -> str:
    """Return which part of karnak_core a full name belongs to; ``__init__`` for what the package itself offers."""
    names = name.split(".")
    return names[1] if len(names) > 1 and names[1] in LEVEL else "__init__"


def violations(paths: Iterable[Path], allowed: Callable[[Path, str], bool]) -> list[str]:
    """Return every import that is not allowed, with its place."""
    return [
        f"{path.relative_to(ROOT)}:{line}: imports {name}"
        for path in paths
        for line, name in imports(path)
        if not allowed(path, name)
    ]


def test_every_part_of_the_core_has_its_layer() -> None:
    core = ROOT / "karnak_core"
    there = {path.stem for path in core.glob("*.py")} | {path.parent.name for path in core.glob("*/__init__.py")}
    assert there - LEVEL.keys() - DOORS.keys() == set()


@pytest.mark.parametrize("part", [*LEVEL, *DOORS])
def test_core_imports_only_what_lies_below(part: str) -> None:
    own = [path for path in sources("karnak_core") if path.relative_to(ROOT).with_suffix("").parts[1] == part]

    def allowed(_path: Path, name: str) -> bool:
        return name.split(".")[0] != "karnak_core" or may_import(part, part_of(name))

    assert violations(own, allowed) == []


def test_core_never_imports_a_plugin() -> None:
    def allowed(_path: Path, name: str) -> bool:
        return name.split(".")[0] not in ("karnak_plugins", "plugins")

    assert violations(sources("karnak_core"), allowed) == []


def test_plugin_never_imports_another_plugin() -> None:
    def allowed(path: Path, name: str) -> bool:
        own = path.relative_to(ROOT / "plugins").parts[0]
        names = name.split(".")
        return names[0] != "plugins" and (names[0] != "karnak_plugins" or names[1:2] == [own])

    assert violations(sources("plugins"), allowed) == []


# ---- the reader of imports itself --------------------------------------------------------------------------------


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "plugins" / "one").mkdir(parents=True)
    module = tmp_path / "plugins" / "one" / "part.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "from . import near\n"
        "from .near import thing\n"
        "from ..two import thing\n"
        "import karnak_core.spool.files as files\n"
        "if TYPE_CHECKING:\n"
        "    import only_for_types\n"
        "else:\n"
        "    import at_run_time\n"
        "def f():\n"
        "    from karnak_core import gateway\n"
    )
    assert [name for _, name in imports(module)] == [
        "typing.TYPE_CHECKING",
        "karnak_plugins.one.near",
        "karnak_plugins.one.near.thing",
        "karnak_plugins.two.thing",
        "karnak_core.spool.files",
        "at_run_time",
        "karnak_core.gateway",
    ]
