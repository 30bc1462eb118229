"""Proves that the library's tables go through the host's own Alembic."""
