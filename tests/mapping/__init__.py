"""Tests of `zoho_sync.mapping.declaration`."""
