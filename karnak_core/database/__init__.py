"""The database: tables, engines for SQLite and PostgreSQL, migrations, encrypted columns."""

from karnak_core.database.engine import Database, is_full, open_database

__all__ = ["Database", "is_full", "open_database"]
