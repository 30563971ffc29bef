"""The stores agree: random programs have the same outcomes and leave the same rows in all of them."""

import os

import pytest

from perdure.torture.programs.differential import difference, shrunk
from perdure.torture.programs.harnesses import MemoryHarness
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World

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
    for seed in range(100):
        harness = MemoryHarness()
        world = World(harness)
        await world.open()
        for step in program(seed):
            _, answer, _, lines, tasks = await world.do(step)
            heard += [f"lock {entry.is_held}" for entry in lines]
            heard += [f"task {one.owner is None}" for one in tasks]
            if step.verb == "commit":
                heard += [outcome[0] for outcome in answer]
            elif step.verb == "remove":
                heard += [f"remove {bool(answer[2])}", *(f"bring back {outcome[0]}" for outcome in answer[3])]
            elif step.verb in ("take_tasks", "tell_tasks"):
                heard += [f"told {outcome[0]}" for outcome in answer[step.verb == "take_tasks"]]
                heard += [f"task kept {answer[2] is not None}"] if step.verb == "take_tasks" else []
            elif step.verb == "bring_back":
                heard += [f"bring back {outcome[0]}" for outcome in answer]
            else:
                heard.append(f"{step.verb} {bool(answer[0] if step.verb == 'agenda' else answer)}")
        await harness.close()
    assert heard.count("applied") > sum(not one.startswith(("lock", "task")) for one in heard) / 4
    rare_ones = ("Stale", "Exists", "missing", "closed", "claim True", "renew False", "free True", "query True")
    of_tasks = ("task True", "task False", "told applied", "told Stale", "told closed", "task kept True")
    of_wholes = ("remove True", "remove False", "bring back applied", "bring back Exists")
    for rare in (*rare_ones, *of_wholes, "agenda True", "agenda False", "lock True", "lock False", *of_tasks):
        assert heard.count(rare) >= 5, rare
