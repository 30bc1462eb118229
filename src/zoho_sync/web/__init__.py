"""Serves the front door over ASGI and WSGI, and says how deliveries are verified.

Comes before `zoho_sync.intake`: it reads a request, hands it on, and says what became of it.
`ZohoSync.asgi` and `ZohoSync.wsgi` make the applications.
"""

from __future__ import annotations

from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.signed_string import sign
from zoho_sync.intake.verdict import WHOLE_REQUEST, Part, PreviewingVerifier, Verdict, Verifier
from zoho_sync.web.asgi import ASGIApp
from zoho_sync.web.wsgi import WSGIApp

__all__ = [
    "SIGNATURE_HEADER",
    "WHOLE_REQUEST",
    "ASGIApp",
    "Part",
    "PreviewingVerifier",
    "Verdict",
    "Verifier",
    "WSGIApp",
    "sign",
]
