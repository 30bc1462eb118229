"""A mapping's names are found in the host's tables, or the nearest ones are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, literal, select
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

from zoho_sync import ChildMap, ConfigurationError, EntityMap, MappingError, Reference, custom_field
from zoho_sync.mapping.binding import bind, table_of


class Base(DeclarativeBase):
    """The host's models."""


class Good(Base):
    """A model whose attributes are not all named as their columns."""

    __tablename__ = "goods"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho: Mapped[str | None] = mapped_column("zoho_id", unique=True)
    title: Mapped[str | None] = mapped_column("name")
    vendor_id: Mapped[int | None]
    gone: Mapped[bool | None]
    shout: Mapped[int] = column_property(select(literal(1)).scalar_subquery())


PARTS = Table(
    "parts",
    MetaData(),
    Column("org", String, primary_key=True),
    Column("id", Integer, primary_key=True),
    Column("good_id", Integer),
    Column("note", String),
)


def findings(mapping: EntityMap) -> list[str]:
    """What is said about a mapping whose names are not all there."""
    with pytest.raises(MappingError) as raised:
        bind(mapping, "Goods", "product")
    return [str(finding) for finding in raised.value.findings]


def test_classes_and_tables() -> None:
    assert table_of(Good) is Good.__table__
    assert table_of(PARTS) is PARTS
    assert table_of("parts") is None
    assert table_of(Base) is None


def test_what_is_found() -> None:
    reference = Reference("vendor_id", to="vendor", source="vendor_id", missing="fail")
    parts = ChildMap(table=PARTS, source="parts", parent="good_id", columns={"note": "text"})
    mapping = EntityMap(
        table=Good,
        key="zoho",
        columns={"title": "name"},
        insert_only={"gone": False},
        references=[reference],
        children=[parts],
        deleted_column="gone",
    )
    bound = bind(mapping, "Goods", "product")
    table = Good.__table__
    assert (bound.table, bound.entity_type, bound.mapping) == (table, "product", mapping)
    assert bound.key is table.c.zoho_id
    assert bound.identity == (table.c.zoho_id,)
    assert bound.columns == {"title": (table.c.name, "name")}
    assert bound.insert_only == {table.c.gone: False}
    assert bound.deleted is table.c.gone
    assert bound.fingerprint == mapping.fingerprint
    (found,) = bound.references
    assert (found.column, found.to, found.missing) == (table.c.vendor_id, "vendor", "fail")
    (child,) = bound.children
    assert (child.name, child.source, child.parent) == ("parts[]", "parts", (PARTS.c.good_id,))
    assert child.primary_key == (PARTS.c.org, PARTS.c.id)
    assert child.identity == ()


def test_the_organization_is_part_of_the_identity() -> None:
    mapping = EntityMap(table=PARTS, key="note", organization_column="org", columns={})
    assert bind(mapping, "Parts", "part").identity == (PARTS.c.org, PARTS.c.note)


def test_a_column_goes_by_both_its_names() -> None:
    bound = bind(EntityMap(table=Good, key="zoho_id", columns={"name": "name"}), "Goods", "product")
    assert bound.columns["name"][0] is Good.__table__.c.name


def test_everything_that_is_missing_is_said_with_the_nearest_name() -> None:
    line = ChildMap(table=PARTS, source="parts", parent=("org", "god_id"), columns={"nte": "x"})
    mapping = EntityMap(
        table=Good,
        key="zoo",
        columns={"titel": "name", "shout": "name"},
        insert_only={"qqqqq": 1},
        references=[Reference("vendor", to="vendor", source="vendor_id")],
        children=[line],
        deleted_column="gon",
        organization_column="organization",
    )
    said = findings(mapping)
    assert len(said) == 9
    assert "Goods.key: table 'goods' has no column 'zoo'. Did you mean 'zoho'?" in said
    assert any("columns['titel']" in each and "'title'" in each for each in said)
    assert any("columns['shout']" in each for each in said)
    assert any("insert_only['qqqqq']" in each and "It has id, " in each for each in said)
    assert any("Goods.references" in each and "'vendor_id'" in each for each in said)
    assert any("Goods.deleted_column" in each and "'gone'" in each for each in said)
    assert any("Goods.organization_column" in each for each in said)
    assert any("Goods.children[0].parent" in each and "'good_id'" in each for each in said)
    assert any("Goods.children[0].columns['nte']" in each and "'note'" in each for each in said)


@pytest.mark.parametrize("table", ["goods", Base, None, object()])
def test_what_is_no_table(table: Any) -> None:
    line = ChildMap(table=table, source="parts", parent="id", columns={})
    said = findings(EntityMap(table=table, columns={"a": "b"}, children=[line]))
    assert [each.partition(":")[0] for each in said] == ["Goods.table", "Goods.children[0].table"]
    assert all("neither an ORM class nor a Table" in each for each in said)


CHILD = ChildMap(table=PARTS, source="parts", parent="good_id", columns={"note": "text"})
REFERENCE = Reference("vendor_id", to="vendor", source="vendor_id")


def child_with(**changes: Any) -> ChildMap:
    """Return the lines' mapping with an argument of another kind."""
    return replace(CHILD, **changes)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"columns": ["title"]},
            'Goods.columns: it is of type list, not a mapping. Give columns={"column": …}.',
        ),
        (
            {"insert_only": None},
            'Goods.insert_only: it is nothing, not a mapping. Give insert_only={"column": …}.',
        ),
        (
            {"children": CHILD},
            (
                "Goods.children: it is of type ChildMap, not a list of ChildMap. Give "
                "children=[ChildMap(…)]."
            ),
        ),
        (
            {"children": None},
            "Goods.children: it is nothing, not a list of ChildMap. Give children=[ChildMap(…)].",
        ),
        (
            {"references": REFERENCE},
            (
                "Goods.references: it is of type Reference, not a list of Reference. Give "
                "references=[Reference(…)]."
            ),
        ),
        (
            {"references": [REFERENCE, "vendor"]},
            (
                "Goods.references[1]: it is of type str, not a Reference. Give "
                "references=[Reference(…)]."
            ),
        ),
        (
            {"children": [CHILD, REFERENCE]},
            (
                "Goods.children[1]: it is of type Reference, not a ChildMap. Give "
                "children=[ChildMap(…)]."
            ),
        ),
        (
            {"children": [child_with(references="vendor")]},
            (
                "Goods.children[0].references: it is of type str, not a list of Reference. Give "
                "references=[Reference(…)]."
            ),
        ),
        (
            {"when": "draft"},
            (
                "Goods.when: it is of type str, not a callable. Give lambda payload: "
                "payload.is_active."
            ),
        ),
        (
            {"key": Good.zoho},
            "Goods.key: it is of type InstrumentedAttribute, not a name. Give the name as text.",
        ),
        (
            {"columns": {5: "name"}},
            "Goods.columns: it is of type int, not a name. Give the name as text.",
        ),
        (
            {"children": [child_with(parent=["good_id", None])]},
            "Goods.children[0].parent[1]: it is nothing, not a name. Give the name as text.",
        ),
        (
            {"children": [child_with(parent=PARTS.c.good_id)]},
            (
                "Goods.children[0].parent: it is of type Column, not a name. Give the name as "
                "text, or several in a tuple."
            ),
        ),
    ],
)
def test_arguments_of_another_kind_are_findings(wrong: dict[str, Any], said: str) -> None:
    whole: dict[str, Any] = {"table": Good, "columns": {"title": "name"}} | wrong
    assert findings(EntityMap(**whole)) == [said]


@pytest.mark.parametrize("name", ["", " ", None, 5])
def test_a_custom_field_has_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"custom_field\(\) is given no name; give the fi"):
        custom_field(name)


def test_every_argument_of_another_kind_is_said_at_once() -> None:
    wrong: dict[str, Any] = {"columns": 1, "children": 2, "references": 3, "when": 4}
    assert len(findings(EntityMap(table=Good, **wrong))) == 4


def test_what_is_no_mapping() -> None:
    given: Any = {"table": Good}
    assert findings(given) == [
        "Goods.mapping: it is of type dict, not an EntityMap. Give mapping = EntityMap(table=…, …)."
    ]
