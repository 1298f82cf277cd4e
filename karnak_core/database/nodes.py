"""Tables of the nodes that the tools of the console know. What the gateway sends to is no part of them."""

from __future__ import annotations

import sqlalchemy as sa

from karnak_core.database.tables import Id, metadata

__all__ = ["metadata", "tool_endpoint", "tool_node"]

tool_node = sa.Table(
    "tool_node",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # empty: in none
    sa.Column("node_group", sa.String(64), nullable=False),
    sa.Column("node_type", sa.String(32), nullable=False),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("ae_title", sa.String(16), nullable=False),
    # in lower case
    sa.Column("hostname", sa.String(255), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.UniqueConstraint("node_group", "ae_title", "hostname", "port"),
    # as in ``pseudonym``
    sqlite_autoincrement=True,
)

tool_endpoint = sa.Table(
    "tool_endpoint",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # empty: in none
    sa.Column("node_group", sa.String(64), nullable=False),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("url", sa.String(2048), nullable=False),
    # separated by commas, in the order of karnak_core.tools.nodes.Service; empty: not known which
    sa.Column("services", sa.String(128), nullable=False),
    # SHA-256 of the address, which is too long for an index of some databases
    sa.Column("url_hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("url_hash"),
    # as in ``pseudonym``
    sqlite_autoincrement=True,
)
