"""What a forked process does: an engine that works, serves customers, or settles what is left; until it is killed."""

import asyncio
import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from perdure.configuration import Settings
from perdure.engine import Engine
from perdure.ports.store import RunStore
from perdure.stores.opening import is_on_a_server, open_store
from perdure.torture.kills.apart import ApartStore
from perdure.torture.kills.clocks import set_machine_clock
from perdure.torture.kills.copies import copy_for_ever
from perdure.torture.kills.customers import Customer, settle, settle_soon
from perdure.torture.kills.early import EarlyStore
from perdure.torture.kills.ledger import EFFECTS_VARIABLE
from perdure.torture.kills.loose import LooseStore
from perdure.torture.kills.portfolio import QUEUE, kinds_on
from perdure.torture.processes import words
from perdure.torture.processes.words import Word

__all__ = ["Order", "is_standby", "live", "name_of"]


class Order(words.Order, frozen=True, kw_only=True):
    """What a process shall be. `url` names the database; `folder` holds the ledgers, and what is a file of it.

    `customers`: how many it serves, with runs of these `workloads`; 0: none. `copies`: it keeps a copy of the database,
    and does nothing else. `serves_queue`: it makes the activities of the queue, too, with `only_queue` these alone.
    `is_calm`: nobody is killed while it serves them, or settles. `lease_seconds`: how long its lease is (as usual).
    `clock_ahead_seconds`: by how much its machine's clock is ahead. `acknowledges_early`, `shares_locks`,
    `commits_apart`: the controls.
    """

    url: str
    seed: int
    workloads: tuple[str, ...]
    works: bool = True
    customers: int = 0
    settles: bool = False
    copies: bool = False
    serves_queue: bool = False
    only_queue: bool = False
    is_calm: bool = False
    lease_seconds: float = 0.0
    clock_ahead_seconds: int = 0
    acknowledges_early: bool = False
    shares_locks: bool = False
    commits_apart: bool = False


async def live(order: Order) -> None:
    """Do what `order` says. A settling process returns when all runs have ended, one with customers in the calm when
    these have seen to all of theirs; the others never."""
    folder = Path(order.folder)
    if order.copies:
        await copy_for_ever(folder, order.number)
    os.environ[EFFECTS_VARIABLE] = str(folder / "effects")
    if order.clock_ahead_seconds:
        set_machine_clock(order.clock_ahead_seconds)
    async with Engine(
        _store_of(order),
        works=order.works,
        name=name_of(order.number),
        settings=_settings_of(order),
    ) as engine:
        Word(number=order.number, word="ready", process=os.getpid()).say()
        await _serve(order, engine, folder / f"notes-{order.number}")
    Word(number=order.number, word="settled", process=os.getpid()).say()


def name_of(number: int) -> str:
    """Return the name of the session of a process."""
    return f"process-{number}"


async def _serve(order: Order, engine: Engine, notes: Path) -> None:
    if order.settles:
        await (settle_soon(engine, notes) if order.is_calm else settle(engine))
        if is_on_a_server(order.url) and not order.is_calm:
            await _outlive_the_dead(engine)
    elif order.customers:
        async with asyncio.TaskGroup() as group:
            for number in range(order.customers):
                name, seed = f"p{order.number}.{number}", order.seed * 1_000 + number
                kinds = kinds_on(order.url, order.workloads)
                customer = Customer(engine, notes, name=name, kinds=kinds, seed=seed, is_calm=order.is_calm)
                group.create_task(customer.live_through_the_calm() if order.is_calm else customer.live())
    else:
        await asyncio.Event().wait()


async def _outlive_the_dead(engine: Engine) -> None:
    """Stay until the sessions of the dead are found: on a server that may take longer than what they have left."""
    while "," in (await engine.worker.store.status()).facts["sessions"]:  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(_PAUSE_SECONDS)


def _settings_of(order: Order) -> Settings:
    settings = _CALM if order.is_calm else Settings()
    if order.lease_seconds:
        settings = replace(settings, lease_seconds=order.lease_seconds)
    if order.serves_queue:
        settings = replace(settings, queues=(QUEUE,), only_queues=order.only_queue)
    return replace(settings, standby=is_standby(order))


def is_standby(order: Order) -> bool:
    """Whether a process keeps warm copies of the runs of others: every other one of those that run workflows."""
    return order.works and not order.only_queue and order.number % 2 == 1


def _store_of(order: Order) -> str | RunStore:
    if order.acknowledges_early:
        return EarlyStore(open_store(order.url)).as_store()
    if order.shares_locks:
        return LooseStore(open_store(order.url)).as_store()
    if order.commits_apart:
        return ApartStore(open_store(order.url), order.url).as_store()
    return order.url


_PAUSE_SECONDS: Final = 0.1
_CALM: Final = Settings(safety_check_seconds=12, lease_seconds=600, lease_renewals=600, idle_seconds=600)
"""So that notices tell of what others have committed, or it is late; nothing but locks tells of who has died; and
whoever is killed has runs."""
