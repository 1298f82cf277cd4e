"""The first tables.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of this version."""
    # Written out by later revisions as they change; nothing was released before this one.
    from karnak_core.database.tables import metadata

    metadata.create_all(op.get_bind())
