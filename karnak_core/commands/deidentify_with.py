"""What ``karnak deidentify`` de-identifies with: a profile, a project's name and secret, a way to ask web services."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from karnak_core.commands.common import WRONG, Place, fail
from karnak_core.config import store
from karnak_core.config.models import Configuration
from karnak_core.config.profiles import text_of
from karnak_core.deidentify import Fetch, Profile, basic_profile, secret_from_text
from karnak_core.deliver.contexts import Contexts
from karnak_core.lookups import Lookups
from karnak_core.model import Authenticator
from karnak_core.plugins import load
from karnak_core.projects import ProjectSecrets

#: names of the built-in profile
BASIC: Final = ("basic", basic_profile().name)
#: codename of elements that ask a web service
_ASKS: Final = "action.replace.api"
_RANDOM = (
    "no secret was given: a random one is used and forgotten, so that new UIDs, Patient IDs and dates fit together "
    "in this run, and will be other ones in the next"
)


@dataclass(frozen=True, kw_only=True)
class With:
    """What is used."""

    #: None: the built-in profile
    profile_text: str | None
    profile: Profile
    project_name: str
    secret: bytes = field(repr=False)
    disabled_plugins: frozenset[str] = frozenset()
    #: of the gateway that the project is in
    contexts: Contexts | None = None
    configuration: Configuration | None = None

    @contextmanager
    def fetching(self) -> Iterator[Fetch | None]:
        """Give what sends requests of the profile; None: it has none."""
        if _ASKS not in self.profile.codenames:
            yield None
            return
        lookups = Lookups(self._authenticators())
        try:
            yield lookups.fetch
        finally:
            lookups.close()
            if self.contexts is not None:
                self.contexts.close_all_but(None)

    def _authenticators(self) -> Mapping[str, Authenticator]:
        if self.contexts is None or self.configuration is None:
            return {}
        return self.contexts.of(self.configuration, "", "").authenticators


def found_with(
    place: Place, profile: str | None, project: str | None, secret: str | None, secret_file: Path | None
) -> With:
    """Return what the options ask for; end with exit status 2 and every problem where something is wrong with it."""
    given = _given_secret(secret, secret_file)
    chosen = None if project is None else _of_gateway(place, project, profile, given)
    if chosen is not None:
        return chosen
    text, found = _profile(profile, frozenset())
    if given is None:
        click.echo(_RANDOM, err=True)
    return With(
        profile_text=text,
        profile=found,
        project_name=project or "",
        secret=given or secrets.token_bytes(16),
    )


def _given_secret(secret: str | None, secret_file: Path | None) -> bytes | None:
    source = click.get_current_context().get_parameter_source("secret")
    if secret_file is not None and source is ParameterSource.COMMANDLINE:
        fail("--secret and --secret-file are both given; one is enough", WRONG)
    option = "--secret" if source is ParameterSource.COMMANDLINE else "KARNAK_SECRET"
    if secret_file is not None:
        option = str(secret_file)
        try:
            secret = secret_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{secret_file}: {getattr(error, 'strerror', None) or 'is not text'}", WRONG)
    if secret is None:
        return None
    try:
        return secret_from_text(secret)
    except ValueError as error:
        fail(f"{option}: {error}", WRONG)


def _profile(name: str | None, disabled: frozenset[str]) -> tuple[str | None, Profile]:
    """Return text and profile; no text: the built-in one."""
    if name is None or name in BASIC:
        return None, basic_profile()
    try:
        text = text_of(name)
    except ValueError as error:
        fail(error, WRONG)
    found = Profile.from_yaml(text, load(disabled).profile_elements)
    problems = found.check(to_apply=True)
    if problems:
        fail("\n".join(f"{name}, line {problem}" for problem in problems), WRONG)
    return text, found


def _of_gateway(place: Place, name: str, profile: str | None, secret: bytes | None) -> With | None:
    """Return what a gateway has for a project; None: there is no gateway, and the name is only a name."""
    context = click.get_current_context()
    asked = any(
        context.get_parameter_source(option) is not ParameterSource.DEFAULT
        for option in ("data_directory", "database_url")
    )
    if not asked and not (place.data_directory / "karnak.db").exists():
        return None
    with closing(place.open_existing()) as database:
        disabled = frozenset(store.disabled_plugins(database))
        plugins = place.plugins(disabled)
        _, configuration = store.current_or_default(database, plugins)
        configured = next((one for one in configuration.projects if one.name == name), None)
        if configured is None:
            if not asked:
                return None
            known = ", ".join(repr(one.name) for one in configuration.projects) or "none"
            fail(f"the gateway in {place.data_directory} has no project {name!r}; known: {known}", WRONG)
        contexts = Contexts(plugins, place.open_vault(), place.data_directory)
        said = []
        if profile is None:
            texts = [entry.text for entry in configuration.profiles if entry.name == configured.profile]
            text = texts[0] if texts else None
            found = basic_profile() if text is None else Profile.from_yaml(text, plugins.profile_elements)
            said.append(f"profile {configured.profile!r}")
        else:
            text, found = _profile(profile, disabled)
        if secret is None:
            secret = ProjectSecrets(database, place.open_vault()).secret(configured, contexts.reveal)
            said.append("secret")
    if said:
        click.echo(f"{' and '.join(said)} of project {name!r} of the gateway in {place.data_directory}", err=True)
    return With(
        profile_text=text,
        profile=found,
        project_name=name,
        secret=secret,
        disabled_plugins=disabled,
        contexts=contexts,
        configuration=configuration,
    )
