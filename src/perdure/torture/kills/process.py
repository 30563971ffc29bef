"""What a forked process does: an engine that works, serves customers, or settles what is left; until it is killed."""

import asyncio
import os
from pathlib import Path

from perdure.engine import Engine
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.kills.copies import copy_for_ever
from perdure.torture.kills.customers import Customer, settle
from perdure.torture.kills.early import EarlyStore
from perdure.torture.kills.ledger import EFFECTS_VARIABLE
from perdure.torture.kills.loose import LooseStore
from perdure.torture.processes import words
from perdure.torture.processes.words import Word

__all__ = ["Order", "live"]


class Order(words.Order, frozen=True, kw_only=True):
    """What a process shall be. `folder` holds the database and the ledgers.

    `customers`: how many it serves; 0: none. `copies`: it keeps a copy of the database, and does nothing else.
    `acknowledges_early`, `shares_locks`: the controls.
    """

    seed: int
    works: bool = True
    customers: int = 0
    settles: bool = False
    copies: bool = False
    acknowledges_early: bool = False
    shares_locks: bool = False


async def live(order: Order) -> None:
    """Do what `order` says. A settling process returns when all runs have ended; the others never."""
    folder = Path(order.folder)
    if order.copies:
        await copy_for_ever(folder, order.number)
    os.environ[EFFECTS_VARIABLE] = str(folder / "effects")
    async with Engine(
        _store_of(order, folder / "torture.db"), works=order.works, name=f"process-{order.number}"
    ) as engine:
        Word(number=order.number, word="ready", process=os.getpid()).say()
        if order.settles:
            await settle(engine)
        elif order.customers:
            notes = folder / f"notes-{order.number}"
            async with asyncio.TaskGroup() as group:
                for number in range(order.customers):
                    customer = Customer(
                        engine, notes, name=f"p{order.number}.{number}", seed=order.seed * 1_000 + number
                    )
                    group.create_task(customer.live())
        else:
            await asyncio.Event().wait()
    Word(number=order.number, word="settled", process=os.getpid()).say()


def _store_of(order: Order, path: Path) -> str | SqliteStore:
    if order.acknowledges_early:
        return EarlyStore(path)
    return LooseStore(path) if order.shares_locks else f"sqlite:///{path}"
