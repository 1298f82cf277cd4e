"""The manual of plugins, the hook specifications and the tests know of the same hooks."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path
from types import ModuleType

import pluggy
import pytest

from karnak_core import errors, hookspecs

ROOT = Path(__file__).parents[1]
MANUAL = (ROOT / "docs" / "plugins.md").read_text("utf-8")

HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("karnak_")}
#: hook -> its section of the manual, heading included
SECTIONS = {
    match[1]: match[0] for match in re.finditer(r"^#### (karnak_\w+)\(.*?(?=^##|\Z)", MANUAL, re.MULTILINE | re.DOTALL)
}
BLOCKS = [
    block for block in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL) if "hookimpl" in block
]

every_hook = pytest.mark.parametrize("hook", HOOKS)


def arguments(hook: str) -> list[str]:
    """Return the names of a hook's arguments."""
    return list(inspect.signature(HOOKS[hook]).parameters)


@every_hook
def test_hook_is_in_the_manual_with_its_exact_arguments(hook: str) -> None:
    assert SECTIONS[hook].splitlines()[0] == f"#### {hook}({', '.join(arguments(hook))})"


@every_hook
def test_manual_describes_every_argument_of_the_hook(hook: str) -> None:
    assert re.findall(r"^- `(\w+)`:", SECTIONS[hook], re.MULTILINE) == arguments(hook)


def test_manual_has_no_hook_that_does_not_exist() -> None:
    assert SECTIONS.keys() == HOOKS.keys()
    # nor in passing; karnak_core and the module of the example are no hooks
    mentioned = set(re.findall(r"\bkarnak_(?:register|check|refuse|exclude|delivery|startup|shutdown)\w*", MANUAL))
    assert mentioned - HOOKS.keys() - {"karnak_register_"} == set()


@every_hook
def test_docstring_of_the_hook_has_every_argument_what_it_returns_and_since_when(hook: str) -> None:
    text = inspect.getdoc(HOOKS[hook]) or ""
    assert re.findall(r"^:param (\w+):", text, re.MULTILINE) == arguments(hook)
    assert re.search(r"^\.\. versionadded:: \d+\.\d+$", text, re.MULTILINE)
    if inspect.signature(HOOKS[hook]).return_annotation != "None":
        assert ":return:" in text


@every_hook
def test_docstring_of_the_hook_says_what_an_exception_does(hook: str) -> None:
    assert re.search(r"\b[Ee]xceptions?\b", inspect.getdoc(HOOKS[hook]) or "")


@every_hook
def test_arguments_of_the_hook_are_plain(hook: str) -> None:
    parameters = inspect.signature(HOOKS[hook]).parameters.values()
    assert all(one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in parameters)
    assert all(one.annotation != "bool" for one in parameters)


@every_hook
def test_first_result_hook_says_so(hook: str) -> None:
    first = (HOOKS[hook].karnak_spec or {}).get("firstresult", False)
    text = " ".join((inspect.getdoc(HOOKS[hook]) or "").split())
    assert ("Stops at the first answer that is not None." in text) is bool(first)


@functools.cache
def names_of_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@every_hook
def test_hook_has_a_test(hook: str) -> None:
    assert [name for name in names_of_tests() if hook in name], f"write a test whose name has {hook} in it"


@pytest.mark.parametrize("source", BLOCKS, ids=range(len(BLOCKS)))
def test_example_of_the_manual_is_a_plugin(source: str) -> None:
    module = ModuleType("example_of_the_manual")
    exec(compile(source, "docs/plugins.md", "exec", dont_inherit=True), vars(module))
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    assert manager.get_hookcallers(module)


def test_manual_names_only_parts_of_the_core_that_exist() -> None:
    for name in set(re.findall(r"\bkarnak_core(?:\.[a-z_]+)+", MANUAL)):
        path = ROOT.joinpath(*name.split("."))
        attribute = path.name
        module = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
        there = path.is_dir() or path.with_suffix(".py").is_file() or re.search(rf"\b{attribute}\b", module.read_text())
        assert there, name


def test_every_error_that_a_part_may_raise_is_in_the_manual() -> None:

    kinds = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.DeliveryError)
    ]
    assert [name for name in kinds if name != "DeliveryError" and f"| `{name}(" not in MANUAL] == []


def test_links_of_the_manual_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", MANUAL):
        assert (ROOT / "docs" / target).exists(), target
