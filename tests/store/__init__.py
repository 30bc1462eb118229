"""Tests of `zoho_sync.store`."""
