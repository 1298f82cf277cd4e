"""What a token is for is all that it can be used for: no road leads from one scope to another."""

from __future__ import annotations

from typing import Any

import pytest
from web_support import Client, ConsoleApp

ANY = {"If-Match": "*"}
OIDC = {"issuer": "https://login.evil.example", "client_id": "karnak"}
CONSOLE = {"web_console": {"oidc": OIDC}}


# ---- the console's own section: who names the identity provider says who is an admin ------------------------------


def settings(client: Client, plugins: dict[str, Any]) -> Any:
    """Change the settings by the API."""
    return client.put("/api/v1/settings", json={"plugins": plugins}, headers=ANY)


def whole(client: Client, plugins: dict[str, Any]) -> Any:
    """Apply a whole configuration by the API."""
    document = client.get("/api/v1/configuration").json()
    return client.put("/api/v1/configuration", json={**document, "plugins": plugins}, headers=ANY)


@pytest.mark.parametrize("road", [settings, whole])
@pytest.mark.parametrize("plugins", [CONSOLE, {"disabled": ["web_console"]}, {"web_console": {"echo_api": False}}])
def test_who_may_change_the_configuration_cannot_say_who_signs_in(
    console_app: ConsoleApp, road: Any, plugins: dict[str, Any]
) -> None:
    client = console_app.with_token("read", "configuration")
    before = console_app.console.version
    answer = road(client, plugins)
    assert answer.status_code == 403
    assert (
        "this needs the scope users: plugins.web_console would be another, which says who may sign in"
        in answer.json()["detail"]
    )
    assert console_app.console.version == before
    assert road(console_app.with_token("read", "configuration", "users"), plugins).status_code == 200


def test_a_rollback_does_not_bring_back_another_identity_provider(console_app: ConsoleApp) -> None:
    admin = console_app.with_token("read", "configuration", "users")
    assert settings(admin, CONSOLE).status_code == 200
    assert settings(admin, {}).status_code == 200
    path = "/api/v1/configuration/rollback/1"
    assert console_app.with_token("configuration").post(path, headers=ANY).status_code == 403
    assert "web_console" not in console_app.console.configuration.services
    assert admin.post(path, headers=ANY).status_code == 200


def test_the_rest_is_changed_beside_the_section_of_the_console(console_app: ConsoleApp) -> None:
    secret = {**OIDC, "client_secret": "planted"}
    admin = console_app.with_token("read", "configuration", "users")
    assert settings(admin, {"web_console": {"oidc": secret}}).status_code == 200
    client = console_app.with_token("read", "configuration")
    document = client.get("/api/v1/settings").json()
    assert document["plugins"]["web_console"]["oidc"]["client_secret"] == {"stored": "***"}
    answer = client.put("/api/v1/settings", json={**document, "listener": {"port": 11113}}, headers=ANY)
    assert answer.status_code == 200
    assert console_app.console.configuration.listener.port == 11113


def test_an_admin_who_is_signed_in_changes_the_section_of_the_console(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    client.headers["X-CSRF-Token"] = client.csrf()
    assert settings(client, CONSOLE).status_code == 200
