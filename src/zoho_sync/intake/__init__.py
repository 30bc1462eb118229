"""Turns a delivery into an event: verifies it, reads it, recognises it, stores it.

The first stage of a delivery, behind `zoho_sync.web` or a call of `ZohoSync.receive`. What it has
understood goes into a queue of `zoho_sync.queues`; what it has not is kept as a dead letter.
"""
