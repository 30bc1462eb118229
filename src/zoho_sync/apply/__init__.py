"""Applies events onto the host's rows, inside a transaction that is open.

Comes after `zoho_sync.worker` has claimed a batch, or the host has called a handler itself, and
before the outcome is settled. From top to bottom: a batch, one event, the decision, the row and its
lines; beside them references, adoption and unique values.
"""
