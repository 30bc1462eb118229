"""Writes the pages of `docs/reference` from the library's source: `python -m docs.generate`."""
