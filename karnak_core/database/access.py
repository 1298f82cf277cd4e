"""Tables of who may use the console and the API, and of what they did. Times as in ``tables``."""

from __future__ import annotations

import sqlalchemy as sa

from karnak_core.database.tables import Id, metadata

#: of all tables, these among them
__all__ = ["api_token", "audit", "console_session", "console_user", "metadata"]

console_user = sa.Table(
    "console_user",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # what is typed to sign in; in lower case
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("display_name", sa.String(128), nullable=False, server_default=""),
    # argon2; null: does not sign in with a password
    sa.Column("password", sa.String(255), nullable=True),
    # signs in by an identity provider: its issuer and subject; null: does not
    sa.Column("subject", sa.String(512), nullable=True),
    # separated by blanks: admin, investigator, user
    sa.Column("roles", sa.String(64), nullable=False),
    # the password is to be changed before anything else
    sa.Column("must_change", sa.Boolean, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("signed_in_at", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("name"),
    sa.UniqueConstraint("subject"),
    # as in ``pseudonym``
    sqlite_autoincrement=True,
)

console_session = sa.Table(
    "console_session",
    metadata,
    # SHA-256 of what is in the cookie
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("user_id", Id, sa.ForeignKey("console_user.id", ondelete="CASCADE"), nullable=False),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    # of an identity provider's session: what its end is asked for with, encrypted; null: there is none
    sa.Column("id_token", sa.Text, nullable=True),
    sa.Index(None, "user_id"),
    sa.Index(None, "created_at"),
)

api_token = sa.Table(
    "api_token",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("user_id", Id, sa.ForeignKey("console_user.id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    # SHA-256 of the token
    sa.Column("hash", sa.String(64), nullable=False),
    # its first characters, to know it by
    sa.Column("start", sa.String(16), nullable=False),
    # separated by blanks
    sa.Column("scopes", sa.String(255), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    # to the minute; null: never
    sa.Column("used_at", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("hash"),
    sa.Index(None, "user_id"),
    # as in ``pseudonym``
    sqlite_autoincrement=True,
)

#: who changed what, and who looked at what is kept from most; never the values
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    # a user's name, with the token's where one was used
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    # a verb, e.g. "change", "look at", "retry"
    sa.Column("action", sa.String(64), nullable=False),
    # what it was done to, by its name in the configuration or its number
    sa.Column("object", sa.String(255), nullable=False),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),
    sa.Index(None, "at"),
)
