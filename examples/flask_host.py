"""A Flask application with a database of its own, which it reaches by synchronous SQLAlchemy.

Zoho's deliveries arrive below a path, a worker applies them in a thread, and a route of the
application's own stores an order and queues an event in one transaction.

Run it with ``python examples/flask_host.py``; it needs ``pip install "zoho-sync[sqlite]" flask``.
It posts to itself, and the database is a file in a temporary folder.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask, request
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from zoho_sync import SignedRequest, SyncEvent, ZohoSync, mirror
from zoho_sync.blocking import BlockingSync
from zoho_sync.web import SIGNATURE_HEADER, sign

SECRET = "abcdef123456"  # made up; a real one comes from the environment
ITEM = b"""{"item": {"item_id": "982000000030049", "name": "Desk lamp", "rate": 74.95,
    "last_modified_time": "2026-03-02T09:14:07-0800"}}"""


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """An order, as the application knows it."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)


def create_app(sync: BlockingSync, engine: Engine) -> Flask:
    """Return the application."""
    app = Flask(__name__)
    wrapped = sync.wsgi(app.wsgi_app, path="/webhooks/zoho")
    app.wsgi_app = wrapped  # type: ignore[method-assign, assignment]  # Flask's own way

    @app.post("/orders")
    def order() -> tuple[dict[str, str], int]:
        number = str(request.get_json()["number"])
        document = create_in_zoho(number)
        event = SyncEvent("sales_order", document["salesorder_id"], document)
        try:
            with Session(engine) as session, session.begin():
                session.execute(sync.enqueue_statement([event]))
                session.add(Order(number=number))
        except IntegrityError:
            return {"error": f"there is an order {number}"}, 409
        return {"number": number}, 201

    return app


def create_in_zoho(number: str) -> dict[str, Any]:
    """Stand for a call of Zoho's API; its answer is the document of what was made."""
    return {
        "salesorder_id": "982000000567190",
        "salesorder_number": number,
        "total": "149.90",
        "line_items": [{"line_item_id": "982000000567191", "name": "Desk lamp", "quantity": 2}],
    }


def visit(app: Flask, sync: BlockingSync) -> None:
    """Post to the application what Zoho and its users would."""
    client = app.test_client()
    unsigned = client.post("/webhooks/zoho/item", data=ITEM)
    print(f"a delivery, unsigned: HTTP {unsigned.status_code}")
    headers = {SIGNATURE_HEADER: sign(SECRET, ITEM)}
    signed = client.post("/webhooks/zoho/item", data=ITEM, headers=headers)
    print(f"a delivery, signed: HTTP {signed.status_code}, {signed.get_json()['status']}")
    for attempt in ("an order", "the same order again"):
        answer = client.post("/orders", json={"number": "SO-00017"})
        print(f"{attempt}: HTTP {answer.status_code}")
    while sync.status().queue.total:
        time.sleep(0.05)
    for outcome, number in sync.status().settled.items():
        print(f"{outcome} by the worker: {number}")


def main(database: Path) -> None:
    """Serve for a moment, and read back what is in the tables."""

    def make_sync() -> ZohoSync:
        sessions = async_sessionmaker(
            create_async_engine(f"sqlite+aiosqlite:///{database}"), expire_on_commit=False
        )
        return ZohoSync(sessions, verifier=SignedRequest(SECRET))

    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    with BlockingSync(make_sync) as sync:
        sync.create_tables()
        sync.start_worker()
        visit(create_app(sync, engine), sync)

    with Session(engine) as session:
        orders = session.scalars(select(Order.number)).all()
        item = session.execute(select(mirror.products)).one()
        sales_order = session.execute(select(mirror.sales_orders)).one()
    print(f"orders: {', '.join(orders)}")
    print(f"from Zoho: {item.name} at {item.rate:.2f}")
    print(f"from Zoho: {sales_order.salesorder_number} of {sales_order.total:.2f}")
    engine.dispose()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(Path(folder) / "shop.db")
