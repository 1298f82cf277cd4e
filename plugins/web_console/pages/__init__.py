"""The pages for people. An area is a module here with a ``router``, and a line in ``AREAS``."""

from __future__ import annotations

from dataclasses import dataclass

from karnak_plugins.web_console.access.roles import Role

ADMIN = frozenset({Role.ADMIN})
#: who may ask which patient somebody is
WHO_ASKS = frozenset({Role.ADMIN, Role.INVESTIGATOR})


@dataclass(frozen=True, kw_only=True)
class Area:
    """A part of the console, in the navigation."""

    label: str
    #: of its first page; its other pages begin with it
    path: str
    #: who sees it; its pages are refused to everybody else
    roles: frozenset[Role]
    #: the module in this package with the routes, ``router``
    module: str
    #: the page of the manual that explains it, and the heading on it
    manual: str
    #: the heading that it stands under in the navigation
    group: str = ""


#: in the order of the navigation
AREAS: tuple[Area, ...] = (
    Area(label="Overview", path="/overview", roles=ADMIN, module="overview", manual="web-console#the-start-page"),
    Area(label="Monitoring", path="/monitoring", roles=ADMIN, module="monitoring", manual="web-console#monitoring"),
    Area(label="Gateway", path="/gateway", roles=ADMIN, module="gateway", manual="web-console#the-gateway"),
    Area(
        label="Projects",
        path="/projects",
        roles=ADMIN,
        module="projects",
        manual="web-console#profiles-and-projects",
        group="De-identification",
    ),
    Area(
        label="Profiles",
        path="/profiles",
        roles=ADMIN,
        module="profiles",
        manual="web-console#profiles-and-projects",
        group="De-identification",
    ),
    Area(
        label="External pseudonyms",
        path="/pseudonyms",
        roles=frozenset(Role),
        module="pseudonyms",
        manual="web-console#external-pseudonyms",
        group="De-identification",
    ),
    Area(
        label="Pseudonym mapping",
        path="/mapping",
        roles=WHO_ASKS,
        module="mapping",
        manual="web-console#external-pseudonyms",
        group="De-identification",
    ),
    Area(
        label="DICOM tools", path="/tools", roles=ADMIN, module="tools", manual="web-console#dicom-tools", group="Tools"
    ),
    Area(
        label="Node lists", path="/nodes", roles=ADMIN, module="nodes", manual="web-console#dicom-tools", group="Tools"
    ),
    Area(
        label="Authenticators",
        path="/authenticators",
        roles=ADMIN,
        module="authenticators",
        manual="web-console#authenticators-settings-history",
        group="Configuration",
    ),
    Area(
        label="Settings",
        path="/settings",
        roles=ADMIN,
        module="settings",
        manual="web-console#authenticators-settings-history",
        group="Configuration",
    ),
    Area(
        label="History",
        path="/history",
        roles=ADMIN,
        module="history",
        manual="web-console#authenticators-settings-history",
        group="Configuration",
    ),
    Area(
        label="Users and tokens",
        path="/users",
        roles=ADMIN,
        module="users",
        manual="web-console#who-sees-what",
        group="Administration",
    ),
    Area(
        label="Audit trail",
        path="/audit",
        roles=ADMIN,
        module="audit",
        manual="web-console#who-sees-what",
        group="Administration",
    ),
    Area(
        label="Help", path="/help", roles=frozenset(Role), module="help", manual="web-console", group="Administration"
    ),
)

#: modules with routes for everybody who is signed in, and for signing in
OTHERS: tuple[str, ...] = ("sign_in", "oidc", "account")


def areas_for(roles: frozenset[Role]) -> list[Area]:
    """Return what somebody with these roles sees."""
    return [area for area in AREAS if area.roles & roles]


def manual_of(path: str) -> str:
    """Return the place in the manual that explains a page of the console."""
    for area in AREAS:
        if path == area.path or path.startswith(f"{area.path}/"):
            return area.manual
    return "web-console#who-sees-what"


def home(roles: frozenset[Role]) -> str:
    """Return the path of the first page of somebody with these roles."""
    return next((area.path for area in areas_for(roles)), "/account")
