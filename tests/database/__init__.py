"""Tests of `zoho_sync.database`."""
