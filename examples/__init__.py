"""Programs that use zoho_sync; each runs as it stands, from the repository's folder."""
