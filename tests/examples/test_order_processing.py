import sqlite3
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import pytest

from examples.order_processing.__main__ import DATA, process_orders
from examples.order_processing.order import BankTransfer, Order, Receipt, problems_of
from examples.order_processing.services import SERVICES_FILE, SERVICES_PACE, create_services
from examples.order_processing.workflow import process_order
from perdure import Engine
from perdure.kernel import events as e
from tests.examples.orders import COMPLETED, REFUNDED, REJECTED
from tests.examples.programs import kill_when, run_program, start_program

ORDERS = msgspec.json.decode((DATA / "orders.json").read_bytes(), type=list[Order])
STOCK = msgspec.json.decode((DATA / "stock.json").read_bytes(), type=dict[str, int])
PACE = "0.02"


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "services.db"
    monkeypatch.setenv(SERVICES_FILE, str(path))
    monkeypatch.setenv(SERVICES_PACE, PACE)
    create_services(path, STOCK)
    return path


def effects_of(services: Path) -> dict[str, list[str]]:
    """Return the orders of each kind of effect, once for each time it happened."""
    found: dict[str, list[str]] = {}
    with closing(sqlite3.connect(services, timeout=30)) as connection:
        for effect, order_id in connection.execute("SELECT effect, order_id FROM effects ORDER BY order_id"):
            found.setdefault(effect, []).append(order_id)
    return found


def stock_of(services: Path) -> dict[str, int]:
    with closing(sqlite3.connect(services, timeout=30)) as connection:
        return dict(connection.execute("SELECT sku, quantity FROM stock"))


def assert_every_effect_happened_once(services: Path) -> None:
    effects = effects_of(services)
    undelivered = REFUNDED | REJECTED
    told = (COMPLETED | undelivered) - {"order-2019"}  # its customer's mailbox is never reached
    assert effects["charge"] == sorted(COMPLETED | REFUNDED)
    assert effects["refund"] == sorted(REFUNDED)
    assert effects["reserve"] == sorted(COMPLETED | {"order-2015"})
    assert effects["put_back"] == ["order-2015"]
    assert effects["ship"] == sorted(COMPLETED)
    assert effects["message"] == sorted(told)
    sold = dict.fromkeys(STOCK, 0)
    for order in ORDERS:
        for item in order.items if order.id in COMPLETED else ():
            sold[item.sku] += item.quantity
    assert stock_of(services) == {sku: quantity - sold[sku] for sku, quantity in STOCK.items()}


async def test_every_order_ends_as_its_data_says(services: Path, tmp_path: Path) -> None:
    ends = await process_orders(ORDERS, database=f"sqlite:///{tmp_path / 'orders.db'}", pace=float(PACE))
    assert {order for order, end in ends.items() if end.startswith("delivered")} == COMPLETED
    refused = {order: end for order, end in ends.items() if not end.startswith("delivered")}
    assert "2696.00 MXN, not 2596.00 MXN" in refused["order-2013"]
    assert "check digits" in refused["order-2016"]
    assert "insufficient funds" in refused["order-2006"]
    assert "fewer than 6 of CARGO-X" in refused["order-2009"]
    assert "lithium batteries" in refused["order-2015"]
    assert_every_effect_happened_once(services)


async def test_processing_the_same_orders_again_does_nothing_twice(services: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'orders.db'}"
    first = await process_orders(ORDERS, database=database, pace=0.0)
    second = await process_orders(ORDERS, database=database, pace=0.0)
    assert first == second
    assert_every_effect_happened_once(services)


async def events_of(order_id: str, services: Path, *, kind: type[e.Event]) -> list[e.Event]:
    (order,) = (order for order in ORDERS if order.id == order_id)
    async with Engine("memory:") as engine:
        run = await engine.start(process_order, order, id=order.id)
        return [recorded.event async for recorded in run.watch() if type(recorded.event) is kind]


@pytest.mark.parametrize("order_id", ["order-2004", "order-2011", "order-2013", "order-2016"])
async def test_an_invalid_order_is_refused_at_the_first_attempt(order_id: str, services: Path) -> None:
    (failed,) = await events_of(order_id, services, kind=e.ActivityFailed)
    assert isinstance(failed, e.ActivityFailed)
    assert (failed.failure.type, failed.attempt, failed.failure.retryable) == ("InvalidOrderError", 1, False)
    assert "charge" not in effects_of(services)


async def test_a_service_that_comes_back_is_tried_again(services: Path) -> None:
    failures = await events_of("order-2007", services, kind=e.ActivityAttemptFailed)
    assert len(failures) == 2
    assert effects_of(services)["ship"] == ["order-2007"]


async def test_a_charge_whose_answer_was_lost_is_asked_for_again_and_made_once(services: Path) -> None:
    (failure,) = await events_of("order-2010", services, kind=e.ActivityAttemptFailed)
    assert isinstance(failure, e.ActivityAttemptFailed)
    assert "connection reset" in failure.failure.message
    assert effects_of(services)["charge"] == ["order-2010"]


async def test_what_was_done_is_undone_newest_first(services: Path) -> None:
    scheduled = await events_of("order-2015", services, kind=e.ActivityScheduled)
    undone = [event.activity for event in scheduled if isinstance(event, e.ActivityScheduled) and event.compensates]
    assert undone == ["put_goods_back", "refund_payment"]


async def test_a_receipt_names_the_ids_of_what_was_done(services: Path) -> None:
    async with Engine("memory:") as engine:
        run = await engine.start(process_order, ORDERS[0], id=ORDERS[0].id)
        receipt = await run.result()
    assert isinstance(receipt, Receipt)
    assert receipt.order_id == ORDERS[0].id
    with closing(sqlite3.connect(services)) as connection:
        ids = {identity for (identity,) in connection.execute("SELECT id FROM effects")}
    assert {receipt.payment_id, receipt.reservation_id, receipt.shipment_id, receipt.message_id} == ids


def test_orders_survive_three_kills_of_their_program(tmp_path: Path) -> None:
    services = tmp_path / "services.db"
    program = "examples.order_processing"
    arguments = ("--db", f"sqlite:///{tmp_path / 'orders.db'}", "--services", str(services), "--pace", "0.1")
    for effects_before_kill in (3, 14, 31):
        process = start_program(program, *arguments, directory=tmp_path)
        kill_when(process, partial(has_effects, services, effects_before_kill))
    run_program(program, *arguments, directory=tmp_path)
    assert_every_effect_happened_once(services)


def has_effects(services: Path, count: int) -> bool:
    return sum(map(len, effects_or_none(services).values())) >= count


def effects_or_none(services: Path) -> dict[str, list[str]]:
    try:
        return effects_of(services)
    except sqlite3.OperationalError:
        return {}


def order_like(**changes: object) -> Order:
    return msgspec.structs.replace(ORDERS[0], **changes)


def test_a_good_order_has_no_problems() -> None:
    assert problems_of(ORDERS[0]) == []


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (order_like(items=()), "no items"),
        (order_like(total=Decimal("1.00")), "not 1.00 EUR"),
        (order_like(items=(msgspec.structs.replace(ORDERS[0].items[0], quantity=0),)), "cannot be ordered"),
        (order_like(email="nobody"), "no e-mail address"),
        (order_like(address=msgspec.structs.replace(ORDERS[0].address, postal_code="4109")), "no postal code of DE"),
        (order_like(address=msgspec.structs.replace(ORDERS[0].address, country="XX")), "do not deliver to XX"),
        (order_like(payment=BankTransfer(iban="DE89 3704 0044 0532 0130 01")), "check digits"),
        (order_like(payment=BankTransfer(iban="nonsense")), "check digits"),
    ],
)
def test_each_rule_names_its_problem(order: Order, problem: str) -> None:
    assert any(problem in found for found in problems_of(order)), problems_of(order)


def test_an_account_with_the_right_check_digits_is_taken() -> None:
    assert problems_of(order_like(payment=BankTransfer(iban="DE89 3704 0044 0532 0130 00"))) == []


def test_several_problems_are_told_together() -> None:
    assert len(problems_of(order_like(items=(), email="nobody"))) == 2
