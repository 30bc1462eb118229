"""Proves that synchronous hosts have all that others have, from threads and processes."""
