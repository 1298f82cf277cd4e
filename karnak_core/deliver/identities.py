"""Make what de-identifies for a destination out of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from karnak_core.config.deidentification import Project as ConfiguredProject
from karnak_core.config.models import Configuration, Destination
from karnak_core.config.profiles import named
from karnak_core.deidentify import Project
from karnak_core.deliver.identity import DeIdentification, Identity, TagMorphing
from karnak_core.lookups import Lookups
from karnak_core.model import OpenContext, StoredPseudonym
from karnak_core.plugins import Plugins
from karnak_core.projects import ProjectSecrets


@dataclass(frozen=True, kw_only=True)
class Identities:
    """What the de-identifying steps of this process share."""

    plugins: Plugins
    secrets: ProjectSecrets
    stored_pseudonyms: Callable[[str, str], Sequence[StoredPseudonym]]

    def of(self, configuration: Configuration, destination: Destination, context: OpenContext) -> Identity | None:
        """Return what a destination does to data sets; None: nothing.

        Parameters
        ----------
        context
            What the destination's part is opened with.
        """
        if destination.de_identification is not None:
            chosen = destination.de_identification
            configured = _project(configuration, chosen.project)
            lookups = Lookups(context.authenticators)
            kind = self.plugins.pseudonym_sources[chosen.pseudonym.type]
            source = kind.open(
                chosen.pseudonym.options,
                replace(
                    context,
                    default_issuer_of_patient_id=chosen.default_issuer_of_patient_id,
                    stored_pseudonyms=self.stored_pseudonyms,
                ),
            )
            return DeIdentification(
                profile=named(configuration.profiles, configured.profile),
                project=_Current(configured, self.secrets, context),
                source=source,
                fetch=lookups.fetch,
                give_back=lookups.close,
                leak_check=chosen.leak_check,
            )
        if destination.tag_morphing is not None:
            configured = _project(configuration, destination.tag_morphing.project)
            lookups = Lookups(context.authenticators)
            return TagMorphing(
                profile=named(configuration.profiles, configured.profile),
                project=_Current(configured, self.secrets, context),
                fetch=lookups.fetch,
                give_back=lookups.close,
            )
        return None


def _project(configuration: Configuration, name: str) -> ConfiguredProject:
    return next(project for project in configuration.projects if project.name == name)


class _Current:
    """The project with the secret that is active now."""

    def __init__(self, configured: ConfiguredProject, secrets: ProjectSecrets, context: OpenContext) -> None:
        self._configured = configured
        self._secrets = secrets
        self._reveal = context.reveal
        self._made = Project(name=configured.name, secret=bytes(16))

    def __call__(self) -> Project:
        secret = self._secrets.secret(self._configured, self._reveal)
        made = self._made
        if made.secret != secret:
            # two threads may both make it; both are right
            self._made = made = Project(name=self._configured.name, secret=secret)
        return made
