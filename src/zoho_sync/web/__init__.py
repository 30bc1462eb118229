"""What the library offers over HTTP; `zoho_sync.web.asgi` is the endpoint that Zoho calls."""

from __future__ import annotations
