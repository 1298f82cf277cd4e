"""What of the configuration is for nobody but who looks after the users: the section that says who they are."""

from __future__ import annotations

from karnak_core.config.models import Configuration
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.refusals import Refused

#: of the configuration: who signs in, by which identity provider, and as what
SECTION = "web_console"


def require_for_change(author: Identity | str, before: Configuration, after: Configuration) -> None:
    """Refuse a change of the console's own section to who may not change users.

    Whoever names the identity provider says who is an admin.

    Parameters
    ----------
    author
        Who asks; a text is the gateway itself, which nobody has asked: requests have an identity.

    Raises
    ------
    Refused
        403: the author lacks the scope.
    """
    if _of(before) == _of(after):
        return
    if not isinstance(author, str) and Scope.USERS not in author.scopes:
        words = f"plugins.{SECTION} would be another, which says who may sign in, and as what"
        raise Refused(403, f"this needs the scope {Scope.USERS}: {words}")


def _of(configuration: Configuration) -> tuple[object, bool]:
    plugins = configuration.plugins
    return configuration.services.get(SECTION), SECTION in plugins.disabled
