"""Sign in by an identity provider: what it says is believed only as far as it is signed, and meant for us, now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import oidc_provider
import pytest
from oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, run_provider
from pydantic import ValidationError
from web_support import PASSWORD, Client, ConsoleApp, check_accessibility

from karnak_core.config.secret import Secret
from karnak_core.testing import wait_until
from karnak_plugins.web_console.access import users
from karnak_plugins.web_console.access.oidc import IdentityProvider, roles_at
from karnak_plugins.web_console.access.oidc_config import OpenIdConnect
from karnak_plugins.web_console.access.oidc_person import LONGEST_SIGN_IN, SignInError
from karnak_plugins.web_console.access.roles import Role
from karnak_plugins.web_console.app import create_app
from karnak_plugins.web_console.config import WebConsole

KARNAK = "resource_access.karnak.roles"


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    """The provider, for all tests."""
    with run_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    """The provider as it was in the beginning."""
    fresh = Provider()
    kept = {"url": running.url, "key": running.key, "signing": running.key}
    for name, value in {**vars(fresh), **kept}.items():
        setattr(running, name, value)
    return running


def settings(provider: Provider, **more: Any) -> OpenIdConnect:
    secret = Secret.plain(CLIENT_SECRET)
    return OpenIdConnect(issuer=provider.url, client_id=CLIENT_ID, client_secret=secret, timeout=60.0, **more)


@pytest.fixture
def console_app(make_console_app: Callable[..., ConsoleApp], provider: Provider) -> ConsoleApp:
    """The application with the provider."""
    return make_console_app(config=WebConsole(oidc=settings(provider)))


def callback(client: Client, next: str = "") -> str:
    """Begin a sign-in and let the provider do its part; return the address that it sends the browser back to."""
    begun = client.get("/sign-in/oidc", params={"next": next} if next else {})
    assert begun.status_code == 303, begun.text
    back = httpx2.get(begun.headers["Location"], follow_redirects=False)
    parts = urlsplit(back.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}" == str(client.base_url).rstrip("/")
    assert parts.path == "/sign-in/oidc/callback"
    return f"{parts.path}?{parts.query}"


def sign_in(app: ConsoleApp, next: str = "") -> tuple[Client, Any]:
    client = app.client()
    return client, client.get(callback(client, next))


def known(app: ConsoleApp) -> list[users.User]:
    with app.console.database.read() as connection:
        return users.all_users(connection)


def is_signed_in(client: Client) -> bool:
    return bool(client.get("/account").status_code == 200)


# ---- it works ----------------------------------------------------------------------------------------------------


def test_somebody_signs_in_and_has_the_roles_of_the_token(console_app: ConsoleApp, provider: Provider) -> None:
    client, answer = sign_in(console_app, "/users?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/users?x=1")
    assert client.get("/users").status_code == 200
    with console_app.console.database.read() as connection:
        found = users.all_users(connection)
    assert [(user.name, user.display_name, user.roles, user.has_password) for user in found] == [
        ("anna.admin", "Anna Admin", {Role.ADMIN}, False)
    ]
    assert client.get("/password").status_code == 404
    # whom the provider knows, whatever is typed, does not sign in by a password
    assert console_app.client().post("/sign-in", data={"name": "anna.admin", "password": ""}).status_code == 401


def test_roles_are_those_of_the_last_sign_in(console_app: ConsoleApp, provider: Provider) -> None:
    sign_in(console_app)
    provider.roles = {"karnak": {"roles": ["user", "offline_access"]}}
    provider.name = "renamed"
    client, answer = sign_in(console_app)
    assert answer.status_code == 303
    assert client.get("/users").status_code == 403
    with console_app.console.database.read() as connection:
        found = users.all_users(connection)
    assert [(user.name, user.roles) for user in found] == [("anna.admin", {Role.USER})]


def test_whoever_has_no_role_any_more_loses_it_in_older_sessions_too(
    console_app: ConsoleApp, provider: Provider
) -> None:
    older, _ = sign_in(console_app)
    assert older.get("/users").status_code == 200
    provider.roles = {"karnak": {"roles": []}}
    _, answer = sign_in(console_app)
    assert answer.status_code == 403
    assert "gives you no role here any more" in answer.text
    assert older.get("/users").status_code in (303, 403)
    with console_app.console.database.read() as connection:
        assert [user.roles for user in users.all_users(connection)] == [frozenset()]


def test_sign_in_page_offers_both_ways(console_app: ConsoleApp) -> None:
    page = console_app.client().get("/sign-in", params={"next": "/users?a=b"}).text
    assert 'href="/sign-in/oidc?next=/users%3Fa%3Db"' in page
    assert "Sign in with your organisation" in page
    assert 'name="password"' in page
    assert is_signed_in(console_app.signed_in("local"))


def test_local_users_can_be_turned_off(make_console_app: Callable[..., ConsoleApp], provider: Provider) -> None:
    app = make_console_app(config=WebConsole(oidc=settings(provider), local_users=False))
    app.add_user("local")
    client = app.client()
    assert 'name="password"' not in client.get("/sign-in").text
    refused = client.post("/sign-in", data={"name": "local", "password": PASSWORD})
    assert refused.status_code == 403
    assert not is_signed_in(client)
    assert is_signed_in(sign_in(app)[0])


def test_without_a_provider_there_is_no_such_page(make_console_app: Callable[..., ConsoleApp]) -> None:
    client = make_console_app().client()
    assert client.get("/sign-in/oidc").status_code == 404
    assert client.get("/sign-in/oidc/callback").status_code == 404
    assert "/sign-in/oidc" not in client.get("/sign-in").text


def test_who_comes_from_a_provider_that_is_not_asked_any_more_is_out(
    console_app: ConsoleApp, provider: Provider
) -> None:
    client, _ = sign_in(console_app)
    user = next(one for one in known(console_app) if one.subject)
    token = {"name": "x", "scopes": ["pseudonyms"], "days": 1}
    made = client.post("/api/v1/tokens", json=token, headers={"X-CSRF-Token": client.csrf()})
    program = console_app.client({"Authorization": f"Bearer {made.json()['secret']}"})
    local = console_app.signed_in("local")
    assert is_signed_in(client)
    assert program.get("/api/v1/tokens").status_code == 200
    other = settings(provider).model_copy(update={"issuer": f"{provider.url}/other"})
    for config in (WebConsole(), WebConsole(oidc=other)):
        console = replace(console_app.console, config=config)
        later = ConsoleApp(console=console, app=create_app(console))
        for there, status in ((client, 303), (local, 200)):
            again = later.client()
            again.cookies.update(there.cookies)
            assert again.get("/account").status_code == status
        refused = later.client(dict(program.headers)).get("/api/v1/tokens")
        assert refused.status_code == 401
    assert is_signed_in(client), f"{user.name} is there again with the provider"


def test_session_ends_at_the_provider_too(console_app: ConsoleApp, provider: Provider) -> None:
    client, _ = sign_in(console_app)
    assert client.submit("/sign-out").status_code == 303
    wait_until(lambda: len(provider.signed_out) == 1, what="the provider is told")
    assert provider.signed_out[0].count(".") == 2
    assert not is_signed_in(client)


def test_sign_out_works_while_the_provider_is_away(console_app: ConsoleApp, provider: Provider) -> None:
    client, _ = sign_in(console_app)
    provider.description = {"end_session_endpoint": "http://127.0.0.1:1/logout"}
    console_app.app.state.identity_provider._provider = None
    assert client.submit("/sign-out").status_code == 303
    assert not is_signed_in(client)


def test_description_and_keys_are_fetched_once(console_app: ConsoleApp, provider: Provider) -> None:
    sign_in(console_app)
    sign_in(console_app)
    assert [provider.asked.count(what) for what in ("discovery", "keys", "token")] == [1, 1, 2]


def test_keys_are_fetched_again_for_one_that_is_new(provider: Provider, console_app: ConsoleApp) -> None:
    now = [time.time()]
    identity = IdentityProvider(settings(provider), console_app.console.vault, lambda: now[0])
    finish(identity)
    before, provider.key = provider.key, oidc_provider.elliptic_key()
    provider.signing, provider.algorithm = provider.key, "ES256"
    try:
        with pytest.raises(SignInError, match="cannot be believed"):
            finish(identity)  # asked again too soon
        now[0] += 31
        assert finish(identity).roles == {Role.ADMIN}
    finally:
        provider.key = before
        identity.close()


def finish(identity: IdentityProvider, change: Callable[[dict[str, str]], object] = lambda _parameters: None) -> Any:
    """Sign in without a browser."""
    address, kept = identity.begin("http://127.0.0.1:8081/sign-in/oidc/callback", "")
    back = httpx2.get(address, follow_redirects=False).headers["Location"]
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    change(parameters)
    return identity.finish(kept, parameters, "http://127.0.0.1:8081/sign-in/oidc/callback")[0]


@pytest.fixture
def identity(provider: Provider, console_app: ConsoleApp) -> Iterator[IdentityProvider]:
    """The client's side without a browser."""
    made = IdentityProvider(settings(provider), console_app.console.vault)
    yield made
    made.close()


# ---- what is not believed ----------------------------------------------------------------------------------------


def changed(**claims: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        found.update(claims)
        for name in [name for name, value in found.items() if value is None]:
            del found[name]

    return change


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"aud": "somebody-else"}, "for somebody else"),
        ({"aud": None}, "for somebody else"),
        ({"aud": [CLIENT_ID, "other"]}, "for somebody else"),
        ({"azp": "other"}, "for somebody else"),
        ({"iss": "http://127.0.0.1:1"}, "cannot be believed"),
        ({"iss": None}, "cannot be believed"),
        ({"exp": 1_000_000_000}, "cannot be believed"),
        ({"exp": None}, "cannot be believed"),
        ({"exp": "tomorrow"}, "cannot be believed"),
        ({"nbf": 9_000_000_000}, "cannot be believed"),
        ({"iat": 9_000_000_000}, "cannot be believed"),
        ({"sub": None}, "does not say who"),
        ({"sub": 7}, "does not say who|cannot be believed"),
    ],
)
def test_id_token_that_is_not_as_it_has_to_be_signs_nobody_in(
    identity: IdentityProvider, provider: Provider, claims: dict[str, Any], words: str
) -> None:
    provider.change_id = changed(**claims)
    with pytest.raises(SignInError, match=words):
        finish(identity)


def test_id_token_for_several_is_good_where_we_are_the_party(identity: IdentityProvider, provider: Provider) -> None:
    provider.change_id = changed(aud=["other", CLIENT_ID], azp=CLIENT_ID)
    assert finish(identity).roles == {Role.ADMIN}


@pytest.mark.parametrize(
    ("claims", "words"),
    [({"sub": "somebody else"}, "somebody else's"), ({"exp": 1_000_000_000}, "access token cannot be believed")],
)
def test_access_token_that_is_not_as_it_has_to_be_gives_no_roles(
    identity: IdentityProvider, provider: Provider, claims: dict[str, Any], words: str
) -> None:
    provider.change_access = changed(**claims)
    with pytest.raises(SignInError, match=words):
        finish(identity)


def test_token_that_is_not_signed_by_the_provider_signs_nobody_in(
    identity: IdentityProvider, provider: Provider
) -> None:
    for signing, algorithm, header in (
        (oidc_provider.other_key(), "RS256", {}),
        (oidc_provider.other_key(), "RS256", {"kid": "first"}),
        (provider.key, "none", {}),
        (provider.key, "HS256", {}),
    ):
        provider.signing, provider.algorithm, provider.header = signing, algorithm, header
        with pytest.raises(SignInError, match=r"cannot be (believed|read)"):
            finish(identity)


def test_state_ties_a_sign_in_to_its_browser(console_app: ConsoleApp, identity: IdentityProvider) -> None:
    with pytest.raises(SignInError, match="not begun in this browser"):
        finish(identity, lambda parameters: parameters.update(state="other"))
    with pytest.raises(SignInError, match="not begun in this browser"):
        finish(identity, lambda parameters: parameters.pop("state"))
    victim, attacker = console_app.client(), console_app.client()
    answer = victim.get(callback(attacker))
    assert answer.status_code == 403
    assert not is_signed_in(victim)
    callback(victim)
    assert victim.get(callback(attacker)).status_code == 403


def test_code_is_good_for_one_sign_in(console_app: ConsoleApp) -> None:
    client = console_app.client()
    address = callback(client)
    kept = client.cookies["karnak_oidc"]
    assert client.get(address).status_code == 303
    assert "karnak_oidc" not in client.cookies
    again = console_app.client()
    again.cookies.set("karnak_oidc", kept)
    answer = again.get(address)
    assert (answer.status_code, "invalid_grant" in answer.text) == (403, True)


def test_sign_in_takes_ten_minutes_at_most(console_app: ConsoleApp, provider: Provider) -> None:
    now = [time.time()]
    identity = IdentityProvider(settings(provider), console_app.console.vault, lambda: now[0])

    def wait(_parameters: dict[str, str]) -> None:
        now[0] += LONGEST_SIGN_IN + 1

    with pytest.raises(SignInError, match="too long"):
        finish(identity, wait)
    identity.close()


def test_what_the_provider_refuses_is_said_without_its_words(identity: IdentityProvider, provider: Provider) -> None:
    with pytest.raises(SignInError, match="refuses: access_denied"):
        finish(identity, lambda parameters: parameters.update(error="access_denied"))
    with pytest.raises(SignInError, match=r"refuses: an error$"):
        finish(identity, lambda parameters: parameters.update(error="<script>alert(1)</script>"))
    with pytest.raises(SignInError, match="not from the identity provider"):
        finish(identity, lambda parameters: parameters.update(iss="https://other"))
    with pytest.raises(SignInError, match="no code"):
        finish(identity, lambda parameters: parameters.pop("code"))
    provider.refuses = "invalid_client"
    with pytest.raises(SignInError, match="invalid_client"):
        finish(identity)


def test_provider_that_is_somebody_else_or_not_safe_is_refused(provider: Provider, console_app: ConsoleApp) -> None:
    for description, words in (
        ({"issuer": "https://other.example"}, "calls itself otherwise"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "no address of https"),
        ({"authorization_endpoint": None}, "no address of https"),
    ):
        provider.description = description
        identity = IdentityProvider(settings(provider), console_app.console.vault)
        with pytest.raises(SignInError, match=words):
            identity.begin("http://127.0.0.1/", "")
        identity.close()


def test_provider_that_is_away_is_told(make_console_app: Callable[..., ConsoleApp]) -> None:
    away = OpenIdConnect(issuer="http://127.0.0.1:1", client_id=CLIENT_ID)
    answer = make_console_app(config=WebConsole(oidc=away)).client().get("/sign-in/oidc")
    assert answer.status_code == 502
    assert "cannot be reached" in answer.text


# ---- who it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"resource_access": {"karnak": {"roles": ["admin", "investigator", "offline_access"]}}}, "admin investigator"),
        ({}, ""),
        ({"resource_access": {}}, ""),
        (
            {
                "realm_access": {"roles": ["admin"]},
                "resource_access": {"karnak": {"roles": ["user"]}, "other": {"roles": ["investigator"]}},
            },
            "user",
        ),
        ({"resource_access": {"karnak": {"roles": ["admin", 42, True]}}}, "admin"),
        ({"resource_access": "admin"}, ""),
        ({"resource_access": {"karnak": "admin"}}, ""),
        ({"resource_access": {"karnak": {"roles": "admin"}}}, ""),
        ({"resource_access": {"karnak": {"roles": {"admin": True}}}}, ""),
        ({"resource_access": ["karnak"]}, ""),
        ({"resource_access": {"karnak": {"roles": ["ADMIN", "ROLE_admin"]}}}, ""),
    ],
)
def test_roles_are_those_of_the_claim(claims: dict[str, Any], roles: str) -> None:
    assert roles_at(claims, KARNAK) == {Role(role) for role in roles.split()}


def test_claim_with_dots_in_its_name_is_found() -> None:
    assert roles_at({"https://karnak.example/roles": ["user"]}, "https://karnak.example/roles") == {Role.USER}


def test_roles_may_stand_in_the_id_token(provider: Provider, console_app: ConsoleApp) -> None:
    provider.change_id = changed(groups=["investigator"])
    provider.access_token = "opaque"
    config = settings(provider, roles_from_id_token=True, roles_claim="groups")
    identity = IdentityProvider(config, console_app.console.vault)
    assert finish(identity).roles == {Role.INVESTIGATOR}
    identity.close()
    other = IdentityProvider(settings(provider), console_app.console.vault)
    with pytest.raises(SignInError, match="roles_from_id_token"):
        finish(other)
    other.close()


def test_somebody_without_a_role_is_not_let_in(console_app: ConsoleApp, provider: Provider) -> None:
    provider.roles = {"karnak": {"roles": ["offline_access"]}}
    client, answer = sign_in(console_app)
    assert (answer.status_code, is_signed_in(client)) == (403, False)
    assert "gives you no role" in answer.text
    with console_app.console.database.read() as connection:
        assert users.all_users(connection) == []


def test_somebody_who_is_disabled_here_is_not_let_in(console_app: ConsoleApp, provider: Provider) -> None:
    console_app.add_user("somebody")
    sign_in(console_app)
    with console_app.console.database.read() as connection:
        anna = next(user for user in users.all_users(connection) if user.name == "anna.admin")
    users.change(console_app.console.database, anna.id, disabled=True)
    client, answer = sign_in(console_app)
    assert (answer.status_code, is_signed_in(client)) == (403, False)


def test_name_of_somebody_else_opens_nothing(console_app: ConsoleApp, provider: Provider) -> None:
    local = console_app.add_user("anna.admin", "user")
    sign_in(console_app)
    provider.subject, provider.name = "4712", "<b>Anna</b>"
    sign_in(console_app)
    with console_app.console.database.read() as connection:
        found = {user.name: user for user in users.all_users(connection)}
    assert found["anna.admin"].id == local.id
    assert found["anna.admin"].roles == {Role.USER}
    assert len(found) == 3
    assert all(users.NAME.fullmatch(name) for name in found)


def test_sign_ins_are_recorded_and_no_token_is_readable(console_app: ConsoleApp, provider: Provider) -> None:
    sign_in(console_app)
    provider.roles = {}
    sign_in(console_app)
    audit = console_app.with_token("users", name="auditor").get("/api/v1/audit").json()["items"]
    said = {(entry["who"], entry["action"]) for entry in audit}
    assert said == {("anna.admin", "sign in"), ("an unknown user", "fail to sign in")}
    database = (console_app.console.data_directory / "karnak.db").read_bytes()
    assert b"eyJ" not in database


# ---- its keys of the configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    ["", "login.example.org", "http://login.example.org", "https://", "https://a/?b", "https://u:p@host/", "file:///x"],
)
def test_issuer_is_an_address_of_https(issuer: str) -> None:
    with pytest.raises(ValidationError, match="issuer"):
        OpenIdConnect(issuer=issuer, client_id="x")


def test_scopes_ask_for_openid() -> None:
    assert OpenIdConnect(issuer="https://host", client_id="x", scopes="profile").scopes == "openid profile"


def test_nobody_is_locked_out_by_a_configuration() -> None:
    with pytest.raises(ValidationError, match="needs oidc"):
        WebConsole(local_users=False)


def test_client_secret_is_sealed_and_never_shown(console_app: ConsoleApp) -> None:
    oidc = {"issuer": "https://login.example.org", "client_id": "x", "client_secret": CLIENT_SECRET}
    whole = {"forward_nodes": [], "plugins": {"web_console": {"oidc": oidc}}}
    console_app.console.change(lambda _document: whole, expected_version=None, author="test", comment="")
    section: Any = console_app.console.configuration.services["web_console"]
    assert section.oidc.client_secret.reveal(console_app.console.vault) == CLIENT_SECRET
    assert CLIENT_SECRET not in repr(section)
    assert CLIENT_SECRET not in console_app.with_token("read", "configuration").get("/api/v1/configuration").text


# ---- in a browser ------------------------------------------------------------------------------------------------


def test_somebody_signs_in_and_out_in_a_browser(
    make_running_console: Callable[..., Any], page: Any, provider: Provider
) -> None:
    oidc = {"issuer": provider.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "label": "Sign in at work"}
    console = make_running_console({"plugins": {"web_console": {"port": 0, "oidc": oidc}}})
    page.goto(f"{console.url}/audit")
    check_accessibility(page)
    page.get_by_role("button", name="Sign in at work").click()
    page.get_by_role("heading", name="Audit trail").wait_for()
    page.get_by_role("link", name="Anna Admin").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    wait_until(lambda: len(provider.signed_out) == 1, what="the provider is told")
