"""Proves the order of events, which of them wins, and when a failed one is tried again."""
