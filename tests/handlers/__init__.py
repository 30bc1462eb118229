"""Tests of `zoho_sync.handlers`."""
