"""The database: tables, engines for SQLite and PostgreSQL, migrations, encrypted columns."""

from karnak_core.database.engine import Database, open_database

__all__ = ["Database", "open_database"]
