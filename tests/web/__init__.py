"""Proves what the endpoint answers, by itself and as real processes on a real port."""
