"""Users: ``GET /users/{user_id}``, wrapper ``user``."""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.base import Payload
from zoho_sync.payloads.fields import (
    Amount,
    EntityId,
    Flag,
    Integer,
    JsonList,
    Moment,
    Text,
    ZohoId,
)

__all__ = ["UserPayload"]


class UserPayload(Payload):
    """A user of the organization; documents have no time of their last change.

    ``user_role`` is free text. Detail has ``email_ids``, rows of the list have ``email``.
    ``cost_rate`` is an amount for an hour.
    """

    entity_type = "user"
    id_fields = ("user_id",)

    user_id: EntityId
    name: Text = None
    email: Text = None
    email_ids: JsonList = Field(default_factory=list)
    mobile: Text = None
    status: Text = None
    user_role: Text = None
    role_id: ZohoId = None
    user_type: Text = None
    cost_rate: Amount = None
    photo_url: Text = None
    invitation_type: Text = None
    source: Text = None
    is_current_user: Flag = None
    is_customer_segmented: Flag = None
    is_employee: Flag = None
    is_super_admin: Flag = None
    is_vendor_segmented: Flag = None
    allocated_warehouse_count: Integer = None
    total_warehouse_count: Integer = None
    created_time: Moment = None
    last_modified_time: Moment = None
    updated_time: Moment = None
