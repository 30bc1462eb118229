"""Tests of `zoho_sync.payloads`."""
