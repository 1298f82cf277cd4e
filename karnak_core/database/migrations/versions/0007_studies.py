"""What people are told is found by its study, however many studies of a destination are open.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the indexes."""
    op.drop_index("ix_notification_study_instance_uid", "notification")
    op.create_index(
        "ix_notification_study",
        "notification",
        ["study_instance_uid", "forward_node", "destination", "part"],
        unique=False,
    )
    op.create_index(
        "ix_study_watch_study",
        "study_watch",
        ["study_instance_uid", "forward_node", "destination"],
        unique=False,
    )
