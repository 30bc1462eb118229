"""Reads and writes the library's own tables: jobs, ledger, journal, parked, dead letters, outbox.

Every module speaks for one table on one connection, inside a transaction that somebody else began.
`zoho_sync.queues`, `zoho_sync.apply` and `zoho_sync.worker` decide when; `zoho_sync.operate` shows
it to operators.
"""
