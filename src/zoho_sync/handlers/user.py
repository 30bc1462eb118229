"""The handler of users of the organization."""

from __future__ import annotations

from zoho_sync.handlers._mirror_map import mirror_map
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.payloads import UserPayload

__all__ = ["UserHandler"]


class UserHandler(BaseEntityHandler[UserPayload]):
    """Applies users; set ``mapping`` in a subclass to use your own table."""

    mapping = mirror_map("users")
