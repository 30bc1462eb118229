"""Tests of `zoho_sync.blocking.sync`."""
