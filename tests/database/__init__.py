"""Proves that the databases behave alike where they differ: types, errors, transactions."""
