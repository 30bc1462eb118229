"""Tests of `zoho_sync.migrations`."""
