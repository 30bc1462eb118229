"""Runs ``zoho-sync`` as ``python -m zoho_sync.cli``."""

from __future__ import annotations

from zoho_sync.cli import main

if __name__ == "__main__":
    main()
