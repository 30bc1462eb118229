"""Proves that dead letters are listed, replayed, resolved and purged as they should be."""
