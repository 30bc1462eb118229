"""Proves that the library's own tables take as many rows as there are."""
