"""Tests of `zoho_sync.operate`."""
