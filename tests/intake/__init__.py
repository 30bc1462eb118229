"""Tests of `zoho_sync.intake`."""
