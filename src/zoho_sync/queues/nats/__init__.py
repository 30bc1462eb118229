"""Keeps the first attempts of events in NATS JetStream.

One of the engines of `zoho_sync.queues`: `zoho_sync.intake` stores events in it, `zoho_sync.worker`
claims them. Its client comes with the extra ``nats``, and is imported when it is needed.
"""
