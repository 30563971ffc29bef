"""A round: processes work on one database, are killed and begin again; what they noted is a history to check."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from perdure.torture.checking.databases import Database, opened
from perdure.torture.checking.process import Order
from perdure.torture.processes.household import Household
from perdure.torture.processes.nursery import nursery_of

__all__ = ["Round", "run_round"]


class Round(msgspec.Struct, kw_only=True):
    """What happened in a round: how many processes there were, how many were killed, what went wrong with them.

    `is_settled`: what was open came to its end.
    """

    processes: int = 0
    kills: int = 0
    is_settled: bool = True
    mishaps: list[str] = []


async def run_round(
    folder: Path,
    *,
    seed: int,
    calls: int,
    on_postgres: bool = False,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> Round:
    """Have about so many calls made in an empty folder; return when the notebooks are complete.

    `on_postgres`: on a server of the round's own, in the place of a file.
    """
    chance = random.Random(seed)
    async with (
        opened(folder, on_postgres=on_postgres) as database,
        Household(nursery_of("check")) as household,
    ):
        place = _Place(folder, database)
        kills = await _work(place, household, chance, calls, on_progress)
        last = household.fork(_ordering(place, chance, _Role(works=True, clients=1, settles=True)))
        is_settled = await household.outlive(last, seconds=_SETTLING_SECONDS + calls * _SETTLING_SECONDS_EACH)
    return Round(processes=len(household), kills=kills, is_settled=is_settled, mishaps=household.mishaps)


class _Place(NamedTuple):
    folder: Path
    database: Database


class _Role(msgspec.Struct, frozen=True, kw_only=True):
    works: bool
    clients: int
    settles: bool = False


_ROLES: Final = (_Role(works=True, clients=10), _Role(works=True, clients=10), _Role(works=False, clients=10))


async def _work(
    place: _Place, household: Household, chance: random.Random, calls: int, on_progress: Callable[[int], None]
) -> int:
    """Have processes work until enough calls are made; return how many were killed."""
    kills = 0
    living = [household.fork(_ordering(place, chance, role)) for role in _ROLES]
    for process in living:
        await household.hear(process.ready, "open its engine")
    while household.done < calls and not household.mishaps:
        await _pass(household, calls, chance.uniform(*_LIFE_SECONDS))
        if chance.random() < _BLOCKING_SHARE:
            await place.database.disturb(chance)
        which = chance.randrange(len(living))
        kills += await household.kill(living[which])
        living[which] = household.fork(_ordering(place, chance, _ROLES[which]))
        on_progress(household.done)
    for process in living:
        kills += await household.kill(process)
    return kills


async def _pass(household: Household, calls: int, seconds: float) -> None:
    """Let time pass, or less of it if enough calls are made before."""
    try:
        async with asyncio.timeout(seconds):
            await household.has_done(calls)
    except TimeoutError:
        return


def _ordering(place: _Place, chance: random.Random, role: _Role) -> Callable[[int], Order]:
    seed = chance.randrange(2**16)
    return lambda number: Order(
        number=number,
        folder=str(place.folder),
        url=place.database.url,
        seed=seed,
        works=role.works,
        clients=role.clients,
        settles=role.settles,
    )


_LIFE_SECONDS: Final = (0.3, 1.5)
_BLOCKING_SHARE: Final = 0.15
_SETTLING_SECONDS: Final = 30.0
_SETTLING_SECONDS_EACH: Final = 0.004
