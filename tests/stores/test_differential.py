"""The stores agree: random programs have the same outcomes and leave the same rows in all of them."""

import difflib
import os
import pprint
import tempfile
from pathlib import Path

import pytest

from tests.stores.harnesses import MemoryHarness, SqliteHarness
from tests.stores.programs import Observation, Step, World, program

PROGRAMS = int(os.environ.get("PERDURE_DIFFERENTIAL_PROGRAMS", "40"))


@pytest.mark.parametrize("part", range(4))
async def test_random_programs_have_the_same_outcomes_and_rows_in_memory_and_in_sqlite(part: int) -> None:
    for seed in range(part, PROGRAMS, 4):
        steps = program(seed)
        if await difference(steps) is not None:
            steps = await shrunk(steps)
            pytest.fail(
                f"seed {seed}, left after shrinking: {[step.verb for step in steps]}: {await difference(steps)}"
            )


async def test_a_program_does_what_it_is_meant_to_do() -> None:
    """Guard against programs that only ever hear refusals: then the test above would compare nothing."""
    heard: list[str] = []
    for seed in range(60):
        harness = MemoryHarness()
        world = World(harness)
        await world.open()
        for step in program(seed):
            _, answer, _, lines = await world.do(step)
            heard += [f"lock {entry.is_held}" for entry in lines]
            if step.verb == "commit":
                heard += [outcome[0] for outcome in answer]
            else:
                heard.append(f"{step.verb} {bool(answer[0] if step.verb == 'agenda' else answer)}")
        await harness.close()
    assert heard.count("applied") > len(heard) / 4
    rare_ones = ("Stale", "Exists", "missing", "closed", "claim True", "renew False", "free True", "query True")
    for rare in (*rare_ones, "agenda True", "agenda False", "lock True", "lock False"):
        assert heard.count(rare) >= 5, rare


async def difference(steps: list[Step]) -> str | None:
    """Return how the stores differ in what they answer to a program, or None."""
    with tempfile.TemporaryDirectory() as folder:
        memory, sqlite = MemoryHarness(), SqliteHarness(Path(folder) / "perdure.db")
        try:
            return await _difference(World(memory), World(sqlite), steps)
        finally:
            await memory.close()
            await sqlite.close()


async def _difference(one: World, other: World, steps: list[Step]) -> str | None:
    await one.open()
    await other.open()
    for step in steps:
        expected, actual = await one.do(step), await other.do(step)
        if expected != actual:
            return _contrast(expected, actual)
    for expected, actual in zip(await one.everything(), await other.everything(), strict=True):
        if expected != actual:
            return _contrast(expected, actual)
    return None


def _contrast(expected: Observation, actual: Observation) -> str:
    lines = difflib.ndiff(pprint.pformat(expected).splitlines(), pprint.pformat(actual).splitlines())
    return "\n".join(["- memory, + SQLite", *(line for line in lines if not line.startswith("?"))])


async def shrunk(steps: list[Step]) -> list[Step]:
    """Leave out, one after the other, the steps that the difference does not need."""
    for place in reversed(range(len(steps))):
        shorter = steps[:place] + steps[place + 1 :]
        if await difference(shorter) is not None:
            steps = shorter
    return steps
