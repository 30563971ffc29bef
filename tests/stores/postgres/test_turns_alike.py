"""Random claims of tasks that tenants share: all three stores choose and charge alike."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.kernel.options import ActivityOptions
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task
from perdure.ports.tasks import ClaimedTask, TaskCost
from perdure.testing.store_conformance import StoreHarness
from perdure.testing.store_conformance.harness import Held, later
from perdure.testing.store_conformance.tasks import change, outcome, served, task
from perdure.torture.programs.harnesses import MemoryHarness, SqliteHarness
from perdure.torture.programs.postgres_harness import PostgresHarness

STEPS = 60
SEEDS = range(10)
Seen = list[list[tuple[str, int, float]]]
"""What each claim got: tenant, operation, charge."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_whoever_decides_whose_turn_it_is_decides_the_same(
    harness: PostgresHarness, tmp_path: Path, seed: int
) -> None:
    expected = await claims_of(MemoryHarness(), seed)
    assert sum(map(len, expected)) > STEPS / 4
    assert await claims_of(SqliteHarness(tmp_path / "turns.db"), seed) == expected
    assert await claims_of(harness, seed) == expected


async def claims_of(harness: StoreHarness, seed: int) -> Seen:
    """Queue, claim, end and give back by chance; return what was claimed."""
    chance, seen, at = random.Random(seed), Seen(), 0.0
    sessions = [await harness.session(name) for name in ("one", "two")]
    run = await sessions[0].hold()
    held: list[tuple[int, ClaimedTask]] = []
    costs: list[TaskCost] = []
    tenants = "abcdefgh"[: chance.randint(2, 8)]
    operations = iter(range(1, 1_000))
    for _ in range(STEPS):
        at += chance.choice((0.0, 0.01, 0.3, 1.1, 5.0))
        match chance.choices(("queue", "claim", "end", "give back"), (8, 7, 3, 2))[0]:
            case "queue":
                await change(sessions[0], run, queued=list(tasks_of(chance, run, operations, tenants, at=at)))
            case "claim":
                who, limit = chance.randint(0, 1), chance.choice((1, 1, 2, 3, 6))
                activities = chance.choice((("render",), ("mix",), ("render", "mix")))
                claimed = await sessions[who].store.claim_tasks(
                    now=later(at), limit=limit, served=served(activities=activities), costs=costs
                )
                seen.append([(one.task.origin.tenant, one.claim.operation, one.charged) for one in claimed])
                held += [(who, one) for one in claimed]
                costs = []
            case "end" if held:
                who, one = held.pop(chance.randrange(len(held)))
                await sessions[who].commit(outcome(one.claim))
                costs.append(cost_of(one, chance.choice((0.1, 1.0, 4.0)) - one.charged))
            case "give back" if held:
                who, one = held.pop(chance.randrange(len(held)))
                await sessions[who].store.return_tasks([one.claim], begun=False)
                await sessions[who].store.correct_costs([cost_of(one, -one.charged)], now=later(at))
            case _:
                pass
    await harness.close()
    return seen


def tasks_of(chance: random.Random, run: Held, operations: Iterator[int], tenants: str, *, at: float) -> Iterator[Task]:
    """Make a few tasks."""
    for _ in range(chance.randint(1, 5)):
        microseconds = chance.choice((500_000, 1_000_000, 3_000_000, 20_000_000))
        yield task(
            run,
            next(operations),
            tenant=chance.choice(tenants),
            activity=chance.choice(("render", "render", "mix")),
            priority=Priority(chance.choice((2, 2, 2, 1))),
            queued_at=later(at),
            options=ActivityOptions(expected_duration_microseconds=microseconds),
        )


def cost_of(one: ClaimedTask, seconds: float) -> TaskCost:
    """Correct what was charged for a task by so many seconds."""
    return TaskCost(queue=one.task.queue, priority=one.task.priority, share=one.share, seconds=seconds)
