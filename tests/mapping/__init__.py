"""Proves that declarations are read exactly, and bound to the names that tables have."""
