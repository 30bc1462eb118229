"""Tests of `zoho_sync.app.sync`."""
