"""OpenID Connect: what is asked of an identity provider, and what of its answers is believed (OpenID Connect Core 1.0).

The authorization code flow (section 3.1) with PKCE (RFC 7636), ``state`` and ``nonce``. Tokens are believed where they
are signed by a key of the issuer, asymmetrically, and are for this client, now, and for this very sign-in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from karnak_core.config.tls import ClientTLS
from karnak_core.database.secrets import Vault
from karnak_core.errors import DeliveryError, KarnakError
from karnak_core.lookups.web import Reply, Web
from karnak_core.tls import client_context
from karnak_plugins.web_console.access.oidc_config import OpenIdConnect, is_safe
from karnak_plugins.web_console.access.oidc_person import LONGEST_SIGN_IN, Person, SignInError
from karnak_plugins.web_console.access.roles import Role, chosen

#: signed with the issuer's private key; never "none", nor HS…, whose key everybody has who may check it
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
)
#: seconds that the issuer's description and keys are kept; and before they are fetched for an unknown key again
KEPT, AGAIN = 3600.0, 30.0
#: seconds that clocks may differ
LEEWAY = 60
JSON: Final = {"Accept": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What the issuer says of itself (OpenID Connect Discovery 1.0 section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    #: empty: it has none
    end_session_endpoint: str
    #: how the client may prove who it is: client_secret_basic, client_secret_post
    authentication: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A sign-in that was begun in one browser, which keeps it, encrypted."""

    state: str
    nonce: str
    verifier: str
    #: the page to go on to
    after: str
    #: seconds since 1970-01-01 UTC
    at: int


class IdentityProvider:
    """The identity provider of the configuration. For any number of threads.

    Parameters
    ----------
    clock
        Seconds since 1970-01-01 UTC.
    """

    def __init__(self, config: OpenIdConnect, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._vault = vault
        self._clock = clock
        self._web = Web(timeout=config.timeout, tls=client_context(config.tls or ClientTLS()))
        self._lock = threading.Lock()
        self._provider: tuple[float, Provider] | None = None
        self._keys: tuple[float, KeySet] | None = None

    # ---- the way there -------------------------------------------------------------------------------------------

    def begin(self, redirect_uri: str, after: str) -> tuple[str, str]:
        """Return the address that the browser goes to, and what it keeps meanwhile.

        Raises
        ------
        SignInError
            The identity provider does not answer.
        """
        provider = self.provider()
        begun = Begun(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            after=after,
            at=int(self._clock()),
        )
        challenge = _base64url(hashlib.sha256(begun.verifier.encode()).digest())
        parameters = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._config.scopes,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in provider.authorization_endpoint else "?"
        address = f"{provider.authorization_endpoint}{separator}{urlencode(parameters)}"
        return address, self._vault.encrypt(json.dumps(vars(begun)))

    # ---- the way back --------------------------------------------------------------------------------------------

    def finish(self, kept: str | None, parameters: Mapping[str, str], redirect_uri: str) -> tuple[Person, str]:
        """Return who came back, and the page to go on to.

        Parameters
        ----------
        kept
            What the browser kept.
        parameters
            What the identity provider made the browser bring.

        Raises
        ------
        SignInError
            Anything of it is not as it has to be.
        """
        begun = self._begun(kept)
        if not hmac.compare_digest(parameters.get("state", "").encode(), begun.state.encode()):
            raise SignInError("this sign-in was not begun in this browser; try again")
        if error := parameters.get("error"):
            raise SignInError(f"the identity provider refuses: {_word(error)}")
        if parameters.get("iss") not in (None, self._config.issuer):
            # RFC 9207: the answer is another issuer's
            raise SignInError("the answer is not from the identity provider that was asked")
        code = parameters.get("code", "")
        if not code:
            raise SignInError("the identity provider gave no code")
        tokens = self._tokens(code, begun.verifier, redirect_uri)
        return self._person(tokens, begun.nonce), begun.after

    def _begun(self, kept: str | None) -> Begun:
        try:
            begun = Begun(**json.loads(self._vault.decrypt(kept or "")))
        except (KarnakError, ValueError, TypeError) as error:
            raise SignInError("this sign-in was not begun in this browser; try again") from error
        if not 0 <= self._clock() - begun.at <= LONGEST_SIGN_IN:
            raise SignInError("this sign-in took too long; try again")
        return begun

    def _tokens(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        provider, config = self.provider(), self._config
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secret = config.client_secret.reveal(self._vault) if config.client_secret else None
        if secret is not None and "client_secret_basic" in provider.authentication:
            # RFC 6749 section 2.3.1: encoded as in a form, then as RFC 7617 says
            pair = f"{quote(config.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = config.client_id
            if secret is not None:
                form["client_secret"] = secret
        reply = self._ask("POST", provider.token_endpoint, headers, urlencode(form).encode())
        answer = _object(reply)
        if reply.status != 200 or not isinstance(answer.get("id_token"), str):
            error = answer.get("error")
            why = f": {_word(error)}" if isinstance(error, str) else ""
            raise SignInError(f"the identity provider gives no token (HTTP {reply.status}){why}")
        return answer

    def _person(self, tokens: Mapping[str, Any], nonce: str) -> Person:
        id_token = tokens["id_token"]
        claims = self._claims(id_token, "ID token")
        self._check_id_token(claims, nonce)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise SignInError("the ID token does not say who it is of")
        name = claims.get(self._config.name_claim)
        shown = claims.get("name")
        return Person(
            subject=f"{self._config.issuer} {subject}"[:512],
            name=name if isinstance(name, str) else "",
            display_name=shown if isinstance(shown, str) else "",
            roles=self._roles(claims, tokens, subject),
            id_token=id_token,
        )

    def _roles(self, claims: Mapping[str, Any], tokens: Mapping[str, Any], subject: str) -> frozenset[Role]:
        if not self._config.roles_from_id_token:
            token = tokens.get("access_token")
            if not isinstance(token, str) or token.count(".") != 2:
                raise SignInError("the access token cannot be read; see plugins.web_console.oidc.roles_from_id_token")
            claims = self._claims(token, "access token")
            if claims.get("sub", subject) != subject:
                raise SignInError("the access token is somebody else's than the ID token")
        return roles_at(claims, self._config.roles_claim)

    def _check_id_token(self, claims: Mapping[str, Any], nonce: str) -> None:
        """Check what OpenID Connect Core 1.0 section 3.1.3.7 asks for, besides issuer, signature and time."""
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        if self._config.client_id not in audiences:
            raise SignInError("the ID token is for somebody else (aud)")
        party = claims.get("azp")
        if (len(audiences) > 1 or party is not None) and party != self._config.client_id:
            raise SignInError("the ID token is for somebody else (azp)")
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise SignInError("the ID token is of another sign-in (nonce)")

    def _claims(self, token: str, what: str) -> Mapping[str, Any]:
        try:
            decoded = self._decoded(token)
            registry = jwt.JWTClaimsRegistry(
                now=int(self._clock()),
                leeway=LEEWAY,
                iss={"essential": True, "value": self._config.issuer},
                exp={"essential": True},
            )
            registry.validate(decoded.claims)
        except JoseError as error:
            raise SignInError(f"the {what} cannot be believed: {_word(error.error)}") from error
        except (ValueError, TypeError) as error:
            raise SignInError(f"the {what} cannot be read") from error
        return decoded.claims

    def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            # signed with a key that was made since the keys were fetched?
            fetched = self._keys[0] if self._keys else 0.0
            if self._clock() - fetched < AGAIN:
                raise
            keys = self._key_set(renew=True)
            try:
                return jwt.decode(token, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                raise error from None

    # ---- the end -------------------------------------------------------------------------------------------------

    def sign_out(self, id_token: str) -> None:
        """Tell the identity provider that the session is over (OpenID Connect RP-Initiated Logout 1.0 section 2).

        Raises
        ------
        SignInError
            It does not take it.
        """
        address = self.provider().end_session_endpoint
        if not address:
            return
        separator = "&" if "?" in address else "?"
        query = urlencode({"id_token_hint": id_token, "client_id": self._config.client_id})
        reply = self._ask("GET", f"{address}{separator}{query}", {}, None)
        if reply.status >= 400:
            raise SignInError(f"the identity provider answers the sign-out with HTTP {reply.status}")

    # ---- what it says of itself ----------------------------------------------------------------------------------

    def provider(self) -> Provider:
        """Return what the issuer says of itself; raises SignInError."""
        with self._lock:
            if self._provider is None or self._clock() - self._provider[0] > KEPT:
                self._provider = (self._clock(), self._discovered())
            return self._provider[1]

    def _discovered(self) -> Provider:
        address = self._config.issuer.rstrip("/") + "/.well-known/openid-configuration"
        reply = self._ask("GET", address, JSON, None)
        found = _object(reply)
        if reply.status != 200 or not found:
            raise SignInError(f"the identity provider does not describe itself (HTTP {reply.status})")
        if found.get("issuer") != self._config.issuer:
            raise SignInError("the identity provider calls itself otherwise than plugins.web_console.oidc.issuer")
        methods = found.get("token_endpoint_auth_methods_supported")
        return Provider(
            authorization_endpoint=_endpoint(found, "authorization_endpoint"),
            token_endpoint=_endpoint(found, "token_endpoint"),
            jwks_uri=_endpoint(found, "jwks_uri"),
            end_session_endpoint=_endpoint(found, "end_session_endpoint") if "end_session_endpoint" in found else "",
            authentication=tuple(map(str, methods)) if isinstance(methods, list) else ("client_secret_basic",),
        )

    def _key_set(self, *, renew: bool = False) -> KeySet:
        address = self.provider().jwks_uri
        with self._lock:
            if renew or self._keys is None or self._clock() - self._keys[0] > KEPT:
                reply = self._ask("GET", address, JSON, None)
                found = _object(reply)
                keys = [key for key in found.get("keys") or [] if _signs(key)]
                if reply.status != 200 or not keys:
                    raise SignInError("the identity provider shows no keys")
                try:
                    self._keys = (self._clock(), KeySet.import_key_set({"keys": keys}))
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    raise SignInError("the identity provider's keys cannot be read") from error
            return self._keys[1]

    def _ask(self, method: str, address: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        try:
            return self._web.ask(method, address, headers, body, "the identity provider")
        except DeliveryError as error:
            raise SignInError(error.reason) from error

    def close(self) -> None:
        """Close the connections."""
        self._web.close()


def roles_at(claims: Mapping[str, Any], path: str) -> frozenset[Role]:
    """Return the roles that stand at a path of names separated by dots; what is not as it should be counts for nothing.

    A claim whose own name has dots in it, as some providers make them, is found by its whole name.
    """
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    names = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
    return chosen(Role, names)


def _signs(key: object) -> bool:
    asymmetric = isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")
    return asymmetric and isinstance(key, dict) and key.get("use", "sig") == "sig"


def _endpoint(found: Mapping[str, Any], name: str) -> str:
    address = found.get(name)
    if not isinstance(address, str) or not is_safe(address):
        raise SignInError(f"the identity provider's {name} is no address of https")
    return address


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _word(text: str) -> str:
    """Return an error's name; what is none, such as a sentence, is not repeated."""
    return text if len(text) <= 64 and text.replace("_", "").isalnum() and text.isascii() else "an error"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
