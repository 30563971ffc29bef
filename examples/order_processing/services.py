"""The outside world of a web shop, simulated: payments, a warehouse, a carrier, a mail service.

Everything they do is a row of a small SQLite file, which no other part of the example writes. So effects can be
counted there, whatever the workflow's own records say: `effects` holds one row for each thing that really happened,
`calls` one for each request that arrived.

Like good services of the real world they take an idempotency key: a request that comes again with the same key gets the
first answer and has no second effect. That, and not the engine, is what makes it safe to repeat a call whose answer was
lost. A worker that dies between request and answer leaves a call with `answered` = 0.
"""

import asyncio
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from examples.ledger import connect_to_world, reference_for
from examples.order_processing.order import Card, Order, PaymentMethod, Wallet
from perdure import NonRetryableError, current_attempt

__all__ = [
    "CarrierRefusedError",
    "OutOfStockError",
    "PaymentDeclinedError",
    "ServiceUnavailableError",
    "Services",
    "create_services",
    "services_from_environment",
]

SERVICES_FILE = "ORDER_SERVICES"
"""Environment variable: the file in which the simulated services live."""

SERVICES_PACE = "ORDER_PACE"
"""Environment variable: 1 for services as slow as real ones (half a second or so), 0.1 for ten times as fast."""


class ServiceUnavailableError(Exception):
    """A service gave no answer. Whether it did what was asked is not known: trying again is right."""


class PaymentDeclinedError(NonRetryableError):
    """The customer's money cannot be had. Asking again changes nothing."""


class OutOfStockError(NonRetryableError):
    """The warehouse does not hold what was ordered."""


class CarrierRefusedError(NonRetryableError):
    """The carrier does not take the goods."""


def create_services(path: Path, stock: dict[str, int]) -> None:
    """Make the services' file, with goods in the warehouse, unless it exists."""
    with closing(connect_to_world(path)) as connection, connection:
        connection.executescript(_TABLES)
        connection.executemany("INSERT OR IGNORE INTO stock (sku, quantity) VALUES (?, ?)", stock.items())


def services_from_environment() -> "Services":
    """Return the services that this process was told to use, as a deployment would tell it."""
    return Services(Path(os.environ[SERVICES_FILE]), pace=float(os.environ.get(SERVICES_PACE, "1")))


class Services:
    """What the activities talk to. A call takes time on the way there and on the way back."""

    def __init__(self, path: Path, *, pace: float) -> None:
        """Use the services that live in `path`. `pace`: see `SERVICES_PACE`."""
        self._path = path
        self._pace = pace

    async def charge(self, order: Order) -> str:
        """Take the order's total from the customer; return the payment's id. Raises PaymentDeclinedError."""
        if refusal := _refusal(order.payment):
            await self._travel(order.id, "payments")
            raise PaymentDeclinedError(f"the payment was declined: {refusal}")
        return await self._request("payments", "charge", order.id, f"{order.total} {order.currency}", order=order)

    async def refund(self, order_id: str, payment_id: str) -> str:
        """Give a payment back; return the refund's id."""
        return await self._request("payments", "refund", order_id, payment_id)

    async def reserve(self, order: Order) -> str:
        """Take all goods of an order from the shelf, or none; return the reservation's id. Raises OutOfStockError."""
        wanted = {item.sku: item.quantity for item in order.items}
        return await self._request("warehouse", "reserve", order.id, json.dumps(wanted), order=order)

    async def put_back(self, order_id: str, reservation_id: str) -> str:
        """Put reserved goods back on the shelf."""
        return await self._request("warehouse", "put_back", order_id, reservation_id)

    async def ship(self, order: Order) -> str:
        """Hand the goods to the carrier; return the shipment's id. Raises CarrierRefusedError."""
        if order.address.country == "ZA" and any(item.sku.startswith("EBAT") for item in order.items):
            await self._travel(order.id, "carrier")
            raise CarrierRefusedError("the carrier takes no lithium batteries by air")
        return await self._request("carrier", "ship", order.id, order.address.city, order=order)

    async def write_to(self, order: Order, text: str) -> str:
        """Send a message to the customer; return its id."""
        return await self._request("messages", "message", order.id, text, order=order)

    async def _request(
        self, service: str, effect: str, order_id: str, detail: str, *, order: Order | None = None
    ) -> str:
        """Make one request, with the troubles that the order foresees; return the id of what was done."""
        attempt = current_attempt()
        troubles = () if order is None else order.troubles
        trouble = next((trouble for trouble in troubles if trouble.service == service), None)
        requests_lost = 0 if trouble is None else trouble.requests_lost
        replies_lost = 0 if trouble is None else trouble.replies_lost
        await self._travel(order_id, service)
        if attempt.attempt <= requests_lost:
            raise ServiceUnavailableError(f"{service}: connection refused")
        key = attempt.idempotency_key
        number, reference = await asyncio.to_thread(self._perform, service, effect, order_id, key, detail)
        await self._travel(order_id, service)
        if attempt.attempt <= requests_lost + replies_lost:
            raise ServiceUnavailableError(f"{service}: connection reset while waiting for the reply")
        await asyncio.to_thread(self._note_answer, number)
        return reference

    async def _travel(self, order_id: str, service: str) -> None:
        """Take a while, the same for the same order and service each time."""
        spread = zlib.crc32(f"{order_id} {service}".encode()) % 1000 / 1000
        await asyncio.sleep((0.2 + 0.3 * spread) * self._pace)

    def _perform(self, service: str, effect: str, order_id: str, key: str, detail: str) -> tuple[int, str]:
        """Do what is asked, unless this key was seen before; return the call's number and the id of what was done."""
        with self._transaction() as connection:
            number = connection.execute(
                "INSERT INTO calls (service, order_id, key) VALUES (?, ?, ?)", (service, order_id, key)
            ).lastrowid
            done = connection.execute("SELECT id FROM effects WHERE key = ?", (key,)).fetchone()
            if done is None:
                _move_goods(connection, effect, order_id, detail)
                done = (reference_for(effect, key),)
                connection.execute(
                    "INSERT INTO effects (key, id, service, effect, order_id, detail) VALUES (?, ?, ?, ?, ?, ?)",
                    (key, *done, service, effect, order_id, detail),
                )
        return int(number or 0), str(done[0])

    def _note_answer(self, number: int) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE calls SET answered = 1 WHERE number = ?", (number,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(connect_to_world(self._path)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection


_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, service TEXT, order_id TEXT, key TEXT, answered INTEGER DEFAULT 0
);
CREATE TABLE IF NOT EXISTS effects (
    key TEXT PRIMARY KEY, id TEXT, service TEXT, effect TEXT, order_id TEXT, detail TEXT
);
CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, quantity INTEGER CHECK (quantity >= 0));
"""


def _refusal(payment: PaymentMethod) -> str:
    """Return why the payment service refuses, or an empty string. As with real ones, some test accounts are refused."""
    match payment:
        case Card(token="tok_declined_insufficient_funds"):
            return "insufficient funds"
        case Wallet(account=account) if account.startswith("blocked."):
            return "the wallet is blocked"
        case _:
            return ""


def _move_goods(connection: sqlite3.Connection, effect: str, order_id: str, detail: str) -> None:
    match effect:
        case "reserve":
            _take_from_shelf(connection, json.loads(detail))
        case "put_back":
            reserved = connection.execute(
                "SELECT detail FROM effects WHERE id = ? AND order_id = ?", (detail, order_id)
            )
            for sku, quantity in json.loads(reserved.fetchone()[0]).items():
                connection.execute("UPDATE stock SET quantity = quantity + ? WHERE sku = ?", (quantity, sku))
        case _:
            pass


def _take_from_shelf(connection: sqlite3.Connection, wanted: dict[str, int]) -> None:
    for sku, quantity in wanted.items():
        taken = connection.execute(
            "UPDATE stock SET quantity = quantity - ? WHERE sku = ? AND quantity >= ?", (quantity, sku, quantity)
        )
        if taken.rowcount == 0:
            raise OutOfStockError(f"the warehouse holds fewer than {quantity} of {sku}")
