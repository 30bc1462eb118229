"""Proves what handlers give back, raise and leave behind when the host calls them itself."""
