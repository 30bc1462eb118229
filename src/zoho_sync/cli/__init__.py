"""Offers the library to a shell: worker, status, dead letters, trials, tables, and a demonstration.

Beside the way of an event: ``zoho-sync`` opens a `ZohoSync` of `zoho_sync.app`, and calls what that
offers to hosts and operators.
"""

from __future__ import annotations

import sys

from zoho_sync.exceptions import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command, and exit with its code.

    Exit codes: 0 done, 1 failed or unhealthy, 2 usage, 3 input refused, 4 database or queue
    unreachable.
    """
    try:
        from zoho_sync.cli.commands import zoho_sync  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.stderr.write(f"{MissingExtra('cli', 'the command zoho-sync')}\n")
        raise SystemExit(2) from None
    zoho_sync(prog_name="zoho-sync")
