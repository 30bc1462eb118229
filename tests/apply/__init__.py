"""Tests of `zoho_sync.apply`."""
