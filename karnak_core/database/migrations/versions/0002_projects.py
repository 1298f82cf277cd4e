"""Projects' secrets, pseudonyms, and what a delivery sent or waits for.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and add the columns."""
    op.create_table(
        "project_secret",
        sa.Column("id", ID, nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("active_since", sa.BigInteger(), nullable=True),
        sa.Column("active_by", sa.String(length=128), nullable=True),
        sa.Column("active_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_secret")),
    )
    op.create_index(op.f("ix_project_secret_project"), "project_secret", ["project"])
    active = sa.text("active_since IS NOT NULL")
    op.create_index(
        "uq_project_secret_active",
        "project_secret",
        ["project"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_table(
        "pseudonym",
        sa.Column("id", ID, nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=64), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("first_name", sa.String(length=64), server_default="", nullable=False),
        sa.Column("last_name", sa.String(length=64), server_default="", nullable=False),
        sa.Column("patient_key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pseudonym")),
        sa.UniqueConstraint("project", "patient_id", "issuer", name=op.f("uq_pseudonym_project_patient_id_issuer")),
    )
    op.create_index(op.f("ix_pseudonym_project_pseudonym"), "pseudonym", ["project", "pseudonym"])
    op.create_index(op.f("ix_pseudonym_patient_key"), "pseudonym", ["patient_key"])
    op.create_index(op.f("ix_pseudonym_pseudonym"), "pseudonym", ["pseudonym"])
    expiring = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "ix_pseudonym_expires_at", "pseudonym", ["expires_at"], sqlite_where=expiring, postgresql_where=expiring
    )
    op.add_column("delivery", sa.Column("sent_facts", sa.JSON(), nullable=True))
    op.add_column("delivery", sa.Column("waits_for", sa.String(length=64), nullable=True))
    waiting = sa.text("waits_for IS NOT NULL")
    op.create_index("ix_delivery_waits_for", "delivery", ["waits_for"], sqlite_where=waiting, postgresql_where=waiting)
