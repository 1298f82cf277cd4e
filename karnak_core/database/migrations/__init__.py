"""Alembic's scripts; see ``versions``."""
