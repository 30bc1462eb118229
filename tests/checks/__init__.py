"""Proves that a mapping that does not fit is told what is wrong, before anything is applied."""
