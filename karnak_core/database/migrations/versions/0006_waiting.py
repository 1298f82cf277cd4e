"""What waits after deliveries: under which configuration it was noted; found by its state, and by its study.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("follow_up", sa.Column("version", sa.BigInteger(), server_default="0", nullable=False))
    op.drop_index("ix_notification_open", "notification")
    op.create_index(
        "ix_notification_open",
        "notification",
        ["state", "not_before"],
        unique=False,
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    )
    op.create_index(op.f("ix_notification_study_instance_uid"), "notification", ["study_instance_uid"], unique=False)
