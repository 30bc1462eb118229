"""Tests of `zoho_sync.events.event`."""
