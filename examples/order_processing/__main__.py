"""Process a file of orders to the end. Started again, after a crash or for fun, it finishes what is unfinished.

Starting a run whose id exists returns the existing run, so the loop below may be interrupted anywhere: the second time
it finds the orders that were begun and begins the others.
"""

import argparse
import asyncio
import os
from pathlib import Path

import msgspec

from examples.order_processing.order import Order, Receipt
from examples.order_processing.services import SERVICES_FILE, SERVICES_PACE, create_services
from examples.order_processing.workflow import process_order
from perdure import Engine, Run, RunFailedError

DATA = Path(__file__).resolve().parents[1] / "data"
SECONDS_BETWEEN_ORDERS = 0.3


async def process_orders(orders: list[Order], *, database: str, pace: float, works: bool = True) -> dict[str, str]:
    """Start every order's run and wait for all of them; return in words how each one ended, by order.

    Without `works` it is left to others to go on with them: ``perdure worker examples.order_processing.workflow``.
    """
    async with Engine(database, works=works) as engine:
        runs: list[Run[Receipt]] = []
        for order in orders:
            runs.append(
                await engine.start(process_order, order, id=order.id, labels={"country": order.address.country})
            )
            await asyncio.sleep(SECONDS_BETWEEN_ORDERS * pace)
        ends = await asyncio.gather(*(end_of(run) for run in runs))
    return {run.id: end for run, end in zip(runs, ends, strict=True)}


async def end_of(run: Run[Receipt]) -> str:
    """Wait for a run and say how it ended."""
    try:
        receipt = await run.result()
    except RunFailedError as error:
        return f"not delivered: {error.failure_message}"
    return f"delivered: {receipt.payment_id}, {receipt.shipment_id}"


def main() -> None:
    """Read the command line, process the orders, print how each ended."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.order_processing", description="Process a file of orders."
    )
    parser.add_argument("orders", type=Path, nargs="?", default=DATA / "orders.json", help="a JSON file of orders")
    parser.add_argument("--db", default="sqlite:///orders.db", help="the database of the runs")
    parser.add_argument("--services", type=Path, default=Path("services.db"), help="the file of the simulated services")
    parser.add_argument(
        "--pace", type=float, default=1.0, help="1: services as slow as real ones; 0.1: ten times faster"
    )
    parser.add_argument("--no-work", action="store_true", help="start the orders, and leave the work to workers")
    given = parser.parse_args()
    os.environ[SERVICES_FILE] = str(given.services)
    os.environ[SERVICES_PACE] = str(given.pace)
    create_services(given.services, msgspec.json.decode((DATA / "stock.json").read_bytes(), type=dict[str, int]))
    orders = msgspec.json.decode(given.orders.read_bytes(), type=list[Order])
    ends = asyncio.run(process_orders(orders, database=given.db, pace=given.pace, works=not given.no_work))
    for order_id, end in ends.items():
        print(f"{order_id}: {end}")


if __name__ == "__main__":
    main()
