"""Run by alembic: uses the connection that ``engine.migrate`` hands over."""

from alembic import context

# the tables that are in modules of their own, too
from karnak_core.database import access, nodes  # noqa: F401
from karnak_core.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
