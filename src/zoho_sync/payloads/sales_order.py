"""Sales orders: ``GET /salesorders/{salesorder_id}``, wrapper ``salesorder``."""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.documents import DocumentLine, SalesPayload
from zoho_sync.payloads.fields import (
    Amount,
    Day,
    EntityId,
    Flag,
    Integer,
    ListOf,
    Moment,
    Text,
    ZohoId,
)

__all__ = ["SalesOrderLine", "SalesOrderPayload"]


class SalesOrderLine(DocumentLine):
    """One of a sales order's ``line_items[]``; quantities are in the line's unit."""

    item_total_inclusive_of_tax: Amount = None
    quantity_invoiced: Amount = None
    quantity_packed: Amount = None
    quantity_shipped: Amount = None
    quantity_cancelled: Amount = None
    is_invoiced: Flag = None
    is_taxable: Flag = None
    stock_on_hand: Amount = None
    hsn_or_sac: Text = None
    sat_item_key_code: Text = None
    unitkey_code: Text = None
    tds_tax_id: ZohoId = None
    product_exemption_id: ZohoId = None
    product_exemption_code: Text = None
    avatax_use_code_id: ZohoId = None
    avatax_use_code_desc: Text = None
    avatax_tax_code_id: ZohoId = None
    avatax_tax_code_desc: Text = None
    image_id: ZohoId = None
    image_name: Text = None
    image_type: Text = None


class SalesOrderPayload(SalesPayload):
    """A sales order; rows of the API's list lack ``line_items``.

    Beside ``status`` it has four states of its own: ``order_status``, ``invoiced_status``,
    ``paid_status`` and ``shipped_status``. ``shipment_date`` is the day that was planned.
    """

    entity_type = "sales_order"
    id_fields = ("salesorder_id",)

    salesorder_id: EntityId
    salesorder_number: Text = None
    order_status: Text = None
    invoiced_status: Text = None
    paid_status: Text = None
    shipped_status: Text = None
    shipment_date: Day = None
    shipment_days: Integer = None
    delivery_date: Day = None
    delivery_method: Text = None
    delivery_method_id: ZohoId = None
    due_by_days: Text = None
    due_in_days: Integer = None
    quantity: Amount = None
    quantity_invoiced: Amount = None
    quantity_packed: Amount = None
    quantity_shipped: Amount = None
    total_invoiced_amount: Amount = None
    billing_address_id: ZohoId = None
    shipping_address_id: ZohoId = None
    pricebook_id: ZohoId = None
    pickup_location_id: ZohoId = None
    tax_id: ZohoId = None
    tax_authority_id: ZohoId = None
    tax_authority_name: Text = None
    tax_exemption_id: ZohoId = None
    tax_exemption_code: Text = None
    avatax_exempt_no: Text = None
    avatax_use_code: Text = None
    crm_owner_id: ZohoId = None
    crm_custom_reference_id: ZohoId = None
    order_fulfillment_type: Text = None
    source: Text = None
    is_backorder: Flag = None
    is_drop_shipment: Flag = None
    is_manually_fulfilled: Flag = None
    is_update_customer: Flag = None
    is_viewed_in_mail: Flag = None
    mail_first_viewed_time: Moment = None
    mail_last_viewed_time: Moment = None
    notes_default: Text = None
    terms_default: Text = None
    line_items: ListOf[SalesOrderLine] = Field(default_factory=list)
