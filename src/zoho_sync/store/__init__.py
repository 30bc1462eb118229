"""Reads and writes the library's own tables: jobs, ledger, journal, parked, dead letters, outbox.

Every class speaks for the rows of one table on one connection, inside a transaction that somebody
else began. No stage of its own: `zoho_sync.intake` and `zoho_sync.queues` store events through it,
`zoho_sync.apply` and `zoho_sync.worker` write what became of them, `zoho_sync.operate` reads it.
"""
