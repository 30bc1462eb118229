"""Measures the library beside job queues for Python, on the same events and a durable server."""
