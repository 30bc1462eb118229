"""Faults that a release survives: kills, stalls, lost answers, errors at every statement."""
