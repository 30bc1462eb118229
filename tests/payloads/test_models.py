"""What is particular to one entity: thin payments, older templates, brackets, single lines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from zoho_sync.exceptions import PayloadError
from zoho_sync.payloads import (
    BillPayload,
    CreditNotePayload,
    CustomerPayload,
    InvoicePayload,
    Line,
    Payload,
    PaymentPayload,
    PriceListPayload,
    ProductPayload,
    SalesOrderPayload,
    StockAdjustmentPayload,
    UserPayload,
    parse,
)


def carried(line: Line) -> dict[str, Any]:
    """The fields that a line has, and their values."""
    return line.model_dump(exclude_unset=True)


def test_an_invoice() -> None:
    invoice = parse(
        InvoicePayload,
        {
            "invoice_id": 982000000567114,
            "date": "2026-09-04T00:00:00.000Z",
            "due_date": "",
            "payment_terms": -3,
            "discount": "10.00%",
            "total": Decimal("99999999999999.99"),
            "exchange_rate": "",
            "documents": "",
            "is_backorder": "",
            "last_modified_time": "2026-09-04T14:22:03+0100",
            "contact": {"customer_balance": 0},
            "line_items": [
                {"line_item_id": "8", "item_id": "", "quantity": "2.5", "tax_percentage": "7.5%"}
            ],
        },
    )
    assert invoice.entity_id == "982000000567114"
    assert (invoice.date, invoice.due_date) == (date(2026, 9, 4), None)
    assert (invoice.payment_terms, invoice.discount) == (-3, "10.00%")
    assert invoice.total == Decimal("99999999999999.99")
    assert (invoice.exchange_rate, invoice.documents) == (None, [])
    assert invoice.last_modified_time == datetime(2026, 9, 4, 13, 22, 3, tzinfo=UTC)
    (line,) = invoice.line_items
    assert (line.line_id, line.item_id, line.quantity) == ("8", None, Decimal("2.5"))
    assert line.tax_percentage == Decimal("7.5")


def test_a_sales_order_has_four_more_states() -> None:
    states = {
        "status": "invoiced",
        "order_status": "closed",
        "invoiced_status": "invoiced",
        "paid_status": "",
        "shipped_status": "fulfilled",
    }
    order = parse(SalesOrderPayload, {"salesorder_id": "1", **states, "shipment_days": ""})
    assert order.model_dump(include=set(states)) == {**states, "paid_status": None}


def test_a_bill() -> None:
    bill = parse(
        BillPayload,
        {"bill_id": "1", "purchaseorder_ids": [""], "line_items": [{"account_id": 460}]},
    )
    assert bill.purchaseorder_ids == [""]
    assert bill.line_items[0].account_id == "460"


def test_a_product() -> None:
    product = parse(
        ProductPayload,
        {"item_id": "1", "sku": "", "tax_percentage": "70%", "stock_on_hand": Decimal("-4.5")},
    )
    assert (product.sku, product.tax_percentage) == (None, Decimal(70))
    assert product.stock_on_hand == Decimal("-4.5")


def test_a_user_has_a_role_in_free_text() -> None:
    user = parse(
        UserPayload, {"user_id": "1", "user_role": "sales - own only.", "custom_fields": ""}
    )
    assert (user.user_role, user.custom_fields) == ("sales - own only.", [])


def test_a_contact_keeps_its_addresses_as_they_came() -> None:
    address = {"state": "Gujarat ", "zip": 94588}
    contact = parse(CustomerPayload, {"contact_id": "1", "billing_address": address})
    assert contact.billing_address == address


def test_a_payment_over_several_invoices() -> None:
    rows = [
        {"invoice_payment_id": "11", "invoice_id": "1", "amount_applied": Decimal("70.10")},
        {"invoice_id": 2, "amount_applied": 20},
    ]
    document = {"payment_id": "5", "amount": 100, "unused_amount": "9.90", "invoices": rows}
    payment = parse(PaymentPayload, document)
    assert [line.line_id for line in payment.invoices] == ["11", ""]
    applied = sum(line.amount_applied or 0 for line in payment.invoices)
    assert applied + (payment.unused_amount or 0) == payment.amount


@pytest.mark.parametrize(
    ("amounts", "applied"),
    [
        ({"amount": 2500}, {"amount_applied": Decimal(2500)}),
        (
            {"amount": "99999999999999999999999999999999.99", "unused_amount": "0.000000000001"},
            {"amount_applied": Decimal("99999999999999999999999999999999.989999999999")},
        ),
        ({"amount": 10, "unused_amount": ""}, {"amount_applied": Decimal(10)}),
        ({"amount": ""}, {}),
        ({}, {}),
    ],
)
def test_a_thin_payment_is_one_allocation(
    amounts: dict[str, object], applied: dict[str, object]
) -> None:
    document = {"payment_id": "5", "invoice_id": 27061, "invoice_number": "INV-42", **amounts}
    payment = parse(PaymentPayload, document)
    assert "invoices" in payment.model_fields_set
    (line,) = payment.invoices
    assert line.line_id == "27061"
    expected = {"invoice_payment_id": "27061", "invoice_id": "27061", "invoice_number": "INV-42"}
    assert carried(line) == expected | applied


def test_a_payment_without_an_invoice_says_nothing_of_allocations() -> None:
    payment = parse(PaymentPayload, {"payment_id": "5", "invoice_id": ""})
    assert "invoices" not in payment.model_fields_set
    cleared = parse(PaymentPayload, {"payment_id": "5", "invoice_id": "1", "invoices": ""})
    assert cleared.invoices == []
    assert "invoices" in cleared.model_fields_set


def test_a_thin_payment_with_a_bad_amount_is_refused_by_name() -> None:
    with pytest.raises(PayloadError) as caught:
        parse(PaymentPayload, {"payment_id": "5", "invoice_id": "1", "amount": "1,0"})
    assert caught.value.path == "payment.amount"


def test_a_credit_note_pays_invoices() -> None:
    live = {"creditnote_invoice_id": "7", "invoice_id": "1", "amount_applied": "4.50"}
    note = parse(CreditNotePayload, {"creditnote_id": "1", "invoices_credited": [live]})
    (allocation,) = note.invoices_credited
    assert (allocation.line_id, allocation.amount_applied) == ("7", Decimal("4.50"))


def test_the_documented_spelling_of_a_credit_notes_invoices() -> None:
    rows = [{"invoice_id": "1", "amount": 450}]
    note = parse(CreditNotePayload, {"creditnote_id": "1", "invoices": rows})
    assert "invoices_credited" in note.model_fields_set
    (allocation,) = note.invoices_credited
    assert (allocation.amount_applied, allocation.amount) == (Decimal(450), Decimal(450))


def test_a_credit_note_line_of_an_older_document() -> None:
    line = {"type": 1, "code": "basic", "serial_numbers": ""}
    note = parse(CreditNotePayload, {"creditnote_id": "1", "line_items": [line]})
    assert carried(note.line_items[0]) == {"type": "1", "code": "basic", "serial_numbers": None}


def test_a_stock_adjustment() -> None:
    document = {
        "inventory_adjustment_id": "1",
        "line_items": [{"item_id": "4", "quantity_adjusted": -2}, {"value_adjusted": "1.5"}],
    }
    first, second = parse(StockAdjustmentPayload, document).line_items
    assert (first.quantity_adjusted, first.line_id) == (Decimal(-2), "")
    assert "quantity_adjusted" not in second.model_fields_set


@pytest.mark.parametrize("field", ["item_id", "quantity_adjusted", "value_adjusted"])
def test_one_line_is_not_taken_for_a_stock_adjustment(field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse(StockAdjustmentPayload, {"inventory_adjustment_id": "1", field: ""})
    assert str(caught.value) == (
        "stock_adjustment: one line of a stock adjustment; "
        "the whole document with line_items is needed"
    )


def test_a_stock_adjustment_without_lines_is_sparse() -> None:
    found = parse(StockAdjustmentPayload, {"inventory_adjustment_id": "1", "reason": "Count"})
    assert "line_items" not in found.model_fields_set


VOLUME = [
    {"pricebook_item_id": "11", "item_id": "1", "pricebook_rate": Decimal("64.41")},
    {
        "item_id": 2,
        "price_brackets": [
            {"start_quantity": 1, "end_quantity": 9, "pricebook_rate": 10},
            {"start_quantity": 10, "end_quantity": "", "rate": "9.5", "pricebook_discount": "5%"},
        ],
    },
    {"price_brackets": [{"start_quantity": 1}]},
]


def test_brackets_are_one_list_with_keys() -> None:
    prices = parse(PriceListPayload, {"pricebook_id": "1", "pricebook_items": VOLUME})
    assert "price_brackets" in prices.model_fields_set
    assert [carried(bracket) for bracket in prices.price_brackets] == [
        {
            "bracket_id": "2#0",
            "item_id": "2",
            "start_quantity": Decimal(1),
            "end_quantity": Decimal(9),
            "pricebook_rate": Decimal(10),
        },
        {
            "bracket_id": "2#1",
            "item_id": "2",
            "start_quantity": Decimal(10),
            "end_quantity": None,
            "pricebook_rate": Decimal("9.5"),
            "pricebook_discount": "5%",
            "rate": "9.5",
        },
        {"bracket_id": "#2#0", "item_id": None, "start_quantity": Decimal(1)},
    ]
    assert [line.line_id for line in prices.pricebook_items] == ["11", "", ""]


def test_brackets_are_absent_where_the_items_are() -> None:
    prices = parse(PriceListPayload, {"pricebook_id": "1", "price_brackets": [{"rate": 1}]})
    assert not {"price_brackets", "pricebook_items"} & prices.model_fields_set
    emptied = parse(PriceListPayload, {"pricebook_id": "1", "pricebook_items": ""})
    assert {"price_brackets", "pricebook_items"} <= emptied.model_fields_set


def test_an_older_template_of_price_lists() -> None:
    document = {"pricelist_id": 5, "items": [{"item_id": "1", "rate": "608"}, {"item_id": "2"}]}
    prices = parse(PriceListPayload, document)
    assert prices.entity_id == "5"
    assert [line.pricebook_rate for line in prices.pricebook_items] == [Decimal(608), None]


@pytest.mark.parametrize(
    ("model", "document", "path"),
    [
        (PriceListPayload, {"items": {}}, "price_list.pricebook_items"),
        (PriceListPayload, {"items": [1]}, "price_list.pricebook_items[0]"),
        (
            PriceListPayload,
            {"pricebook_items": [{"price_brackets": 1}]},
            "price_list.pricebook_items[0].price_brackets",
        ),
        (
            PriceListPayload,
            {"pricebook_items": [{"price_brackets": [{"start_quantity": "x"}]}]},
            "price_list.pricebook_items[0].price_brackets[0].start_quantity",
        ),
        (PaymentPayload, {"invoice_id": []}, "payment.invoice_id"),
        (CreditNotePayload, {"invoices": 1}, "credit_note.invoices_credited"),
    ],
)
def test_wrong_shapes_are_named(
    model: type[Payload], document: dict[str, object], path: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        parse(model, {model.id_fields[0]: "1", **document})
    assert caught.value.path == path
