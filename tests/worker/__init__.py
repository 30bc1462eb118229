"""Tests of `zoho_sync.worker.loop`."""
