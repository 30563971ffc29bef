"""A loaded worker gives runs to one that is idle, on every store, with the renewals of their leases."""

import asyncio

from perdure import Context, Settings, activity, current_attempt, workflow
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds, until

_begun: set[str] = set()
_gates: dict[str, asyncio.Event] = {}


@activity
async def gated_work() -> str:
    _begun.add(current_attempt().run_id)
    await _gates["all"].wait()
    return current_attempt().run_id


@workflow
async def gated_run(_: Context) -> str:
    return await gated_work()


async def have_all_begun() -> bool:
    return len(_begun) == 4


async def test_what_waits_for_slots_of_one_worker_begins_at_another(make_engine: MakeEngine) -> None:
    _begun.clear()
    _gates["all"] = asyncio.Event()
    one_slot, many = Settings(loop_slots=1, lease_seconds=1.5), Settings(loop_slots=9, lease_seconds=1.5)
    async with make_engine(one_slot, name="loaded") as loaded, make_engine(many, name="idle") as idle:
        runs = [await loaded.start(gated_run, id=f"run-{number}") for number in range(4)]
        await until(have_all_begun)
        assert (len(loaded.worker.active), len(idle.worker.active)) == (1, 3)
        _gates["all"].set()
        assert [await run.result() for run in runs] == [run.id for run in runs]
        assert [(await kinds(run)).count("activity_completed") for run in runs] == [1, 1, 1, 1]
