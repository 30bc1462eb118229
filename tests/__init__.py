"""The tests of zoho_sync."""
