"""Roles that users have, and scopes that roles and API tokens allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import TypeVar

W = TypeVar("W", bound=StrEnum)


class Role(StrEnum):
    """What somebody is here. One user may have several."""

    #: sees and changes everything
    ADMIN = "admin"
    #: looks after a study's pseudonyms, and may ask who somebody is
    INVESTIGATOR = "investigator"
    #: looks after a study's pseudonyms
    USER = "user"


class Scope(StrEnum):
    """What a request of the API needs; the texts are shown where a token is made."""

    READ = "read"
    DELIVERIES = "deliveries"
    CONFIGURATION = "configuration"
    PSEUDONYMS = "pseudonyms"
    IDENTITIES = "identities"
    SECRETS = "secrets"
    TOOLS = "tools"
    USERS = "users"


MEANINGS: dict[Scope, str] = {
    Scope.READ: "look at the status, the configuration without its secrets, and the deliveries",
    Scope.DELIVERIES: "retry and discard deliveries",
    Scope.CONFIGURATION: "change the configuration, so also where patients' data go; not who may sign in",
    Scope.PSEUDONYMS: "look at, add, change and delete pseudonyms, with the patients they stand for",
    Scope.IDENTITIES: "ask which patient a pseudonym of any project stands for, and see original identities",
    Scope.SECRETS: "look at secrets of projects",
    Scope.TOOLS: "echo, probe, ask for worklists, try out profiles",
    Scope.USERS: "look at and change users, tokens and the audit trail, which is as much as everything",
}

ALLOWED: dict[Role, frozenset[Scope]] = {
    Role.ADMIN: frozenset(Scope),
    Role.INVESTIGATOR: frozenset({Scope.PSEUDONYMS, Scope.IDENTITIES}),
    Role.USER: frozenset({Scope.PSEUDONYMS}),
}


def scopes_of(roles: Iterable[Role]) -> frozenset[Scope]:
    """Return what these roles allow together."""
    return frozenset(scope for role in roles for scope in ALLOWED[role])


def chosen(kind: type[W], words: Collection[str]) -> frozenset[W]:
    """Return the roles or scopes that these words name; others count for nothing."""
    return frozenset(one for one in kind if one in words)


def roles_in(text: str) -> frozenset[Role]:
    """Return the roles of a stored text; words that are no roles count for nothing."""
    return chosen(Role, text.split())


def scopes_in(text: str) -> frozenset[Scope]:
    """Return the scopes of a stored text; words that are no scopes count for nothing."""
    return chosen(Scope, text.split())


def written(words: Iterable[Role] | Iterable[Scope]) -> str:
    """Return the text that stores roles or scopes."""
    return " ".join(sorted(str(word) for word in words))
