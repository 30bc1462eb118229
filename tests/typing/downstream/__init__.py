"""A small application that uses `zoho_sync`; mypy reads it and nothing runs it."""
