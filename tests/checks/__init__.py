"""Tests of `zoho_sync.checks`."""
