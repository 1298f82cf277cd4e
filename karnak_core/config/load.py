"""A file becomes a configuration, or every problem of it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from karnak_core.config import yaml_text
from karnak_core.config.models import Configuration
from karnak_core.config.profiles import names_in
from karnak_core.config.reading import Reading
from karnak_core.config.rest import sound_rest
from karnak_core.config.usable import check_kinds
from karnak_core.config.words import problems
from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_core.plugins import Plugins


def read_file(path: Path, plugins: Callable[[Collection[str]], Plugins]) -> tuple[Configuration, Plugins]:
    """Read a configuration file; return what it says, and the plugins that were loaded for it.

    Parameters
    ----------
    plugins
        Loads the plugins without those that the file disables.

    Raises
    ------
    ConfigurationError
        With every problem found.
    PluginError
        A plugin cannot be used, or a name under ``plugins.disabled`` is not installed.
    """
    return read_text(_text(path), plugins, path.parent)


def read_text(text: str, plugins: Callable[[Collection[str]], Plugins], folder: Path) -> tuple[Configuration, Plugins]:
    """Read the text of a configuration file that lies, or would lie, in ``folder``; raises as ``read_file`` does."""
    document = yaml_text.parse(text)
    loaded = plugins(disabled_in(document))
    return load(document, loaded, folder), loaded


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(yaml_text.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([ConfigProblem(place=str(path), message=str(error.strerror))]) from error
    if len(content) > yaml_text.MAX_BYTES:
        raise ConfigurationError([yaml_text.TOO_LARGE])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        words = f"is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}"
        raise ConfigurationError([ConfigProblem(place=str(path), message=words)]) from error


def disabled_in(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the plugins that a document disables, before it is known to be right."""
    section = document.get("plugins")
    names = section.get("disabled") if isinstance(section, Mapping) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list | tuple) else ()


def load(
    document: Mapping[str, Any],
    plugins: Plugins,
    folder: Path | None = None,
    *,
    ask_plugins: bool = True,
    seen: frozenset[str] | None = None,
) -> Configuration:
    """Make a configuration of a document.

    Parameters
    ----------
    folder
        Where relative paths start; None for a document from the database, in which all are absolute.
    ask_plugins
        False: do not call ``karnak_check_config``, as for what has been checked when it was applied.
    seen
        Without a folder: look at the files of TLS that are named, but for these paths; None: look at none. What
        :func:`texts_of` finds in the document that was changed are those that were looked at.

    Raises
    ------
    ConfigurationError
        With every problem found.
    PluginError
        The model of a plugin's kind cannot be used.
    """
    check_kinds(plugins)
    context = Reading(
        plugins=plugins,
        folder=folder,
        seen=seen,
        authenticators=_names(document.get("authenticators")),
        projects=_names_of(document.get("projects")),
        profiles=names_in(document.get("profiles"), plugins.profile_elements, folder),
    )
    try:
        configuration = Configuration.model_validate(document, context=context)
    except ValidationError as error:
        found = problems(error, Configuration, document, context)
        if ask_plugins:
            found += _asked_about_rest(document, error, context)
        # not chained: pydantic's text shows values, and secrets may be among them
        raise ConfigurationError(list(dict.fromkeys(found))) from None
    if ask_plugins:
        found = list(_asked(configuration, plugins))
        if found:
            raise ConfigurationError(found)
    return configuration


def texts_of(document: object) -> frozenset[str]:
    """Return every text in a document, the paths of files among them."""
    if isinstance(document, str):
        return frozenset({document})
    inside = document.values() if isinstance(document, Mapping) else document if isinstance(document, list) else ()
    return frozenset[str]().union(*map(texts_of, inside))


def _names(section: object) -> frozenset[str]:
    return frozenset(str(name) for name in section) if isinstance(section, Mapping) else frozenset()


def _names_of(section: object) -> frozenset[str]:
    entries = section if isinstance(section, list | tuple) else ()
    return frozenset(str(entry["name"]) for entry in entries if isinstance(entry, Mapping) and "name" in entry)


def _asked_about_rest(document: Any, error: ValidationError, context: Reading) -> list[ConfigProblem]:
    """Ask the plugins about what is left without what is wrong already, so that everything is told at once."""
    configuration, rest = sound_rest(document, error, context)
    if configuration is None or rest is None:
        return []
    return [told for one in _asked(configuration, context.plugins) if (told := rest.told(one)) is not None]


def _asked(configuration: Configuration, plugins: Plugins) -> Iterator[ConfigProblem]:
    """Ask every plugin alone, so that the one that fails can be named."""
    everyone = [(name, plugin) for name, plugin in plugins.manager.list_name_plugin() if plugin is not None]
    for name, plugin in sorted(everyone, key=lambda pair: pair[0]):
        others = [other for _, other in everyone if other is not plugin]
        ask = plugins.manager.subset_hook_caller("karnak_check_config", remove_plugins=others)
        try:
            for answer in ask(config=configuration):
                yield from answer
        except Exception as error:
            yield ConfigProblem(place="", message=f"plugin {name!r} cannot check it: {type(error).__name__}: {error}")
