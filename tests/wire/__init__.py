"""Over the wire: real processes, real ports, and plain SQL."""
