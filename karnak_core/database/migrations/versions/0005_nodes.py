"""The nodes that the tools of the console know.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tool_node",
        sa.Column("id", ID, nullable=False),
        sa.Column("node_group", sa.String(length=64), nullable=False),
        sa.Column("node_type", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_node")),
        sa.UniqueConstraint(
            "node_group",
            "ae_title",
            "hostname",
            "port",
            name=op.f("uq_tool_node_node_group_ae_title_hostname_port"),
        ),
    )
    op.create_table(
        "tool_endpoint",
        sa.Column("id", ID, nullable=False),
        sa.Column("node_group", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("services", sa.String(length=128), nullable=False),
        sa.Column("url_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_endpoint")),
        sa.UniqueConstraint("url_hash", name=op.f("uq_tool_endpoint_url_hash")),
    )
