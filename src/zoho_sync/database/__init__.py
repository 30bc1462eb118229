"""Does what differs between databases and drivers: types, errors, locks, transactions, schema.

Below everything that speaks to a database. `zoho_sync.store` and `zoho_sync.apply` ask it; it knows
neither events nor mappings.
"""
