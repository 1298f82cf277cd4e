"""The pseudonyms of a project are listed in the order in which they were stored, without sorting all of them.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_pseudonym_order", "pseudonym", ["project", "id"], unique=False)
