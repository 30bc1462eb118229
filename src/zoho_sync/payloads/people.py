"""Reads who there is: customers, vendors, and the organization's own users.

``GET /contacts/{contact_id}``, wrapper ``contact``; ``GET /users/{user_id}``, wrapper ``user``.
Customers and vendors are one kind of document with one id space; ``contact_type`` tells them apart.
Which of the two a document is, is decided where it is received and not by its model.
"""

from __future__ import annotations

from pydantic import Field

from zoho_sync.payloads.documents import CurrencyPayload, RecordPayload
from zoho_sync.payloads.fields import (
    Amount,
    EntityId,
    Flag,
    Integer,
    JsonList,
    JsonObject,
    Percent,
    Text,
    ZohoId,
)

__all__ = ["ContactPayload", "CustomerPayload", "UserPayload", "VendorPayload"]


class ContactPayload(CurrencyPayload):
    """A contact; amounts are in its currency, ``*_bcy`` in the organization's.

    ``payment_terms`` are days; a negative number is the code of a rule.
    """

    entity_type = "contact"
    id_fields = ("contact_id", "vendor_id")

    contact_id: EntityId
    contact_name: Text = None
    customer_name: Text = None
    vendor_name: Text = None
    company_name: Text = None
    contact_type: Text = None
    contact_number: Text = None
    contact_category: Text = None
    customer_sub_type: Text = None
    source: Text = None
    first_name: Text = None
    last_name: Text = None
    email: Text = None
    phone: Text = None
    mobile: Text = None
    designation: Text = None
    department: Text = None
    website: Text = None
    facebook: Text = None
    twitter: Text = None
    language_code: Text = None
    country_code: Text = None
    owner_id: ZohoId = None
    owner_name: Text = None
    primary_contact_id: ZohoId = None
    payment_terms: Integer = None
    payment_terms_id: ZohoId = None
    payment_terms_label: Text = None
    credit_limit: Amount = None
    customer_credit_limit: Amount = None
    credit_limit_exceeded_amount: Amount = None
    opening_balance_amount: Amount = None
    opening_balance_amount_bcy: Amount = None
    opening_balances: JsonList = Field(default_factory=list)
    outstanding_receivable_amount: Amount = None
    outstanding_receivable_amount_bcy: Amount = None
    outstanding_payable_amount: Amount = None
    outstanding_payable_amount_bcy: Amount = None
    unused_credits_receivable_amount: Amount = None
    unused_credits_receivable_amount_bcy: Amount = None
    unused_credits_payable_amount: Amount = None
    unused_credits_payable_amount_bcy: Amount = None
    unused_retainer_payments: Amount = None
    pricebook_id: ZohoId = None
    pricebook_name: Text = None
    account_id: ZohoId = None
    entity_address_id: ZohoId = None
    is_taxable: Flag = None
    tax_id: ZohoId = None
    tds_tax_id: ZohoId = None
    tax_name: Text = None
    tax_percentage: Percent = None
    tax_authority_id: ZohoId = None
    tax_authority_name: Text = None
    tax_exemption_id: ZohoId = None
    tax_exemption_code: Text = None
    tax_treatment: Text = None
    tax_reg_no: Text = None
    tax_regime: Text = None
    tax_info_list: JsonList = Field(default_factory=list)
    place_of_contact: Text = None
    gst_no: Text = None
    gst_treatment: Text = None
    pan_no: Text = None
    vat_reg_no: Text = None
    vat_treatment: Text = None
    legal_name: Text = None
    trader_name: Text = None
    is_tds_registered: Flag = None
    is_linked_with_zohocrm: Flag = None
    is_crm_customer: Flag = None
    zcrm_account_id: ZohoId = None
    zcrm_contact_id: ZohoId = None
    crm_owner_id: ZohoId = None
    has_transaction: Flag = None
    has_attachment: Flag = None
    ignore_auto_number_generation: Flag = None
    payment_reminder_enabled: Flag = None
    portal_status: Text = None
    sales_channel: Text = None
    billing_address: JsonObject = None
    shipping_address: JsonObject = None
    addresses: JsonList = Field(default_factory=list)
    contact_persons: JsonList = Field(default_factory=list)
    default_templates: JsonObject = None
    documents: JsonList = Field(default_factory=list)
    tags: JsonList = Field(default_factory=list)
    notes: Text = None


class CustomerPayload(ContactPayload):
    """A contact who buys."""

    entity_type = "customer"
    id_fields = ("contact_id", "customer_id")


class VendorPayload(ContactPayload):
    """A contact who sells."""

    entity_type = "vendor"
    id_fields = ("contact_id", "vendor_id")


class UserPayload(RecordPayload):
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
