"""Proves what events do to the host's rows, lines and references, and what they never do."""
