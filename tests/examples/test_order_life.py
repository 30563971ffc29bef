"""Orders in virtual time: services that stay away, and a death of the process at every step, with the real services."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from examples.order_processing.__main__ import DATA
from examples.order_processing.activities import hand_to_carrier, write_to_customer
from examples.order_processing.order import Order, Receipt
from examples.order_processing.services import (
    SERVICES_FILE,
    CarrierRefusedError,
    ServiceUnavailableError,
    create_services,
)
from examples.order_processing.workflow import process_order
from perdure import RunFailedError
from perdure.testing import EPOCH, TestEnvironment, assert_history

ORDERS = {order.id: order for order in msgspec.json.decode((DATA / "orders.json").read_bytes(), type=list[Order])}
STOCK = msgspec.json.decode((DATA / "stock.json").read_bytes(), type=dict[str, int])
GOOD, TROUBLED, SOLD_OUT = ORDERS["order-2001"], ORDERS["order-2002"], ORDERS["order-2009"]


class Shop:
    """A world outside for each time it is opened, as empty as the example's is in the beginning."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._environment = environment
        self._opened = 0

    def open(self) -> None:
        """Let the services of the activities be new ones, with full shelves."""
        self._opened += 1
        create_services(self._file, STOCK)
        self._environment.setenv(SERVICES_FILE, str(self._file))

    def effects(self) -> list[str]:
        """Return what has really happened in it, each as often as it did, in its order."""
        with closing(sqlite3.connect(self._file)) as connection:
            return [effect for (effect,) in connection.execute("SELECT effect FROM effects ORDER BY rowid")]

    def sold(self) -> int:
        """Return how many pieces are on no shelf any more."""
        with closing(sqlite3.connect(self._file)) as connection:
            (left,) = connection.execute("SELECT sum(quantity) FROM stock").fetchone()
        return sum(STOCK.values()) - int(left)

    @property
    def _file(self) -> Path:
        return self._folder / f"services-{self._opened}.db"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(tmp_path, monkeypatch)
    shop.open()
    return shop


async def test_a_carrier_that_stays_away_is_asked_for_some_seconds_then_the_order_is_undone(
    shop: Shop, perdure_env: TestEnvironment
) -> None:
    perdure_env.fail_next(hand_to_carrier, ServiceUnavailableError("no route"), times=None)
    run = await perdure_env.start(process_order, GOOD)
    with pytest.raises(RunFailedError, match="no route"):
        await run.result()
    first, *_, last = (called.at for called in perdure_env.calls(hand_to_carrier))
    assert timedelta(seconds=2) < last - first < timedelta(seconds=6)
    assert shop.effects() == ["charge", "reserve", "put_back", "refund", "message"]
    assert_history(
        await perdure_env.history(run),
        [..., "stage ship failed: *no route", ..., "compensation of 2 begun", ..., "run failed: *no route"],
        only=["stage", "compensation", "run"],
    )


async def test_an_order_is_delivered_also_when_its_customer_cannot_be_told(
    shop: Shop, perdure_env: TestEnvironment
) -> None:
    perdure_env.fail_next(write_to_customer, ServiceUnavailableError("no route"), times=2)
    receipt = await (await perdure_env.start(process_order, GOOD)).result()
    assert receipt.message_id is None
    assert shop.effects() == ["charge", "reserve", "ship"]
    assert EPOCH < perdure_env.now() < EPOCH + timedelta(minutes=1)


@pytest.mark.perdure_crash_everywhere
@pytest.mark.parametrize("order", [GOOD, TROUBLED], ids=["good", "troubled"])
async def test_an_order_is_paid_and_shipped_once_wherever_the_process_dies(
    shop: Shop, perdure_env: TestEnvironment, order: Order
) -> None:
    shop.open()
    receipt = await (await perdure_env.start(process_order, order)).result()
    assert isinstance(receipt, Receipt)
    assert shop.effects() == ["charge", "reserve", "ship", "message"]
    assert shop.sold() == sum(item.quantity for item in order.items)


@pytest.mark.perdure_crash_everywhere
async def test_an_order_that_is_refused_leaves_nothing_behind_wherever_the_process_dies(
    shop: Shop, perdure_env: TestEnvironment
) -> None:
    shop.open()
    perdure_env.fail_next(hand_to_carrier, CarrierRefusedError("too heavy"))
    run = await perdure_env.start(process_order, GOOD)
    with pytest.raises(RunFailedError, match="too heavy"):
        await run.result()
    assert shop.effects() == ["charge", "reserve", "put_back", "refund", "message"]
    assert shop.sold() == 0
