"""The command ``zoho-sync``."""
