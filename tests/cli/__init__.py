"""Proves what the command ``zoho-sync`` prints, changes and answers with its exit code."""
