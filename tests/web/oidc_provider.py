"""A small OpenID Connect provider on a socket of its own: signs in whoever comes, and says what it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Request, Response
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse

from karnak_core.testing import wait_until

CLIENT_ID, CLIENT_SECRET = "karnak-console", "not / so: secret"

Claims = dict[str, Any]


class Provider:
    """What the provider says, which tests change; and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.key: Any = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        #: signs tokens; another one than what is shown is one that nobody knows
        self.signing: Any = self.key
        self.algorithm = "RS256"
        self.subject, self.name = "4711", "Anna.Admin"
        self.roles: Any = {"karnak": {"roles": ["admin"]}}
        #: change claims of the ID token, of the access token, and the description
        self.change_id: Callable[[Claims], None] = lambda _claims: None
        self.change_access: Callable[[Claims], None] = lambda _claims: None
        self.description: Claims = {}
        #: what is answered instead of tokens
        self.refuses: str = ""
        self.access_token: str | None = None
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.signed_out: list[str] = []
        self.header: Claims = {}

    def tokens(self, nonce: str) -> Claims:
        """Return tokens of who signs in."""
        now = int(time.time())
        common = {"iss": self.url, "sub": self.subject, "iat": now, "exp": now + 300}
        claims = {**common, "aud": CLIENT_ID, "nonce": nonce, "preferred_username": self.name, "name": "Anna Admin"}
        self.change_id(claims)
        access = {**common, "aud": "account", "azp": CLIENT_ID, "resource_access": self.roles}
        self.change_access(access)
        opaque = self.access_token
        return {"id_token": self.signed(claims), "access_token": opaque or self.signed(access), "token_type": "Bearer"}

    def signed(self, claims: Claims) -> str:
        """Return a token."""
        if self.algorithm in ("none", "HS256"):
            return self._forged(claims)
        header = {"alg": self.algorithm, "kid": self.signing.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, self.signing)

    def _forged(self, claims: Claims) -> str:
        """Return a token without a signature, or with our public key as the secret of one: everybody can make it."""
        header = {"alg": self.algorithm, "kid": self.key.kid}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        if self.algorithm == "none":
            return f"{signed}."
        secret = self.key.as_pem(private=False)
        return f"{signed}.{_base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def application(provider: Provider) -> FastAPI:
    """Return the provider's application."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False})

    @app.get("/.well-known/openid-configuration")
    def describe() -> dict[str, Any]:
        provider.asked.append("discovery")
        return {
            "issuer": provider.url,
            "authorization_endpoint": f"{provider.url}/authorize",
            "token_endpoint": f"{provider.url}/token",
            "jwks_uri": f"{provider.url}/keys",
            "end_session_endpoint": f"{provider.url}/logout",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            **provider.description,
        }

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        provider.asked.append("keys")
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 303)

    @app.post("/token")
    def token(
        request: Request,
        code: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        grant_type: Annotated[str, Form()],
    ) -> Response:
        provider.asked.append("token")
        asked = provider.codes.pop(code, None)
        if provider.refuses or asked is None:
            return JSONResponse({"error": provider.refuses or "invalid_grant"}, 400)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
        pair = base64.b64encode(b"karnak-console:not%20%2F%20so%3A%20secret").decode()
        assert grant_type == "authorization_code"
        assert redirect_uri == asked["redirect_uri"]
        if challenge != asked["code_challenge"] or request.headers.get("Authorization") != f"Basic {pair}":
            return JSONResponse({"error": "invalid_client"}, 401)
        return JSONResponse(provider.tokens(asked["nonce"]))

    @app.get("/logout")
    def logout(id_token_hint: str) -> dict[str, str]:
        provider.signed_out.append(id_token_hint)
        return {}

    return app


@contextmanager
def run_provider() -> Iterator[Provider]:
    """Run a provider on a free port of the loopback."""
    provider = Provider()
    config = uvicorn.Config(application(provider), port=0, log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, what="the provider listens")
        port = server.servers[0].sockets[0].getsockname()[1]
        provider.url = f"http://127.0.0.1:{port}"
        yield provider
    finally:
        server.should_exit = True
        thread.join(60)


def other_key() -> Any:
    """Return a key that the provider does not show."""
    return RSAKey.generate_key(2048, {"kid": "other", "use": "sig"})


def elliptic_key() -> Any:
    """Return a key of another kind."""
    return ECKey.generate_key("P-256", {"kid": "elliptic", "use": "sig"})
