"""Writes `docs/reference` and `docs/pictures` from the source: `python -m docs.generate`."""
