"""``python -m examples.erp_host`` serves the ERP on a port of this machine.

The port is ``ERP_PORT``, 8000 by default. What it needs:
``pip install "zoho-sync[sqlite,serve]" fastapi``.
"""

from __future__ import annotations

import os

import uvicorn

if __name__ == "__main__":
    uvicorn.run("examples.erp_host.app:app", port=int(os.environ.get("ERP_PORT", "8000")))
