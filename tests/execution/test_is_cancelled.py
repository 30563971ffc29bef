"""A function that looks whether it was given up, in a thread and in a process, however its call comes to its end."""

import asyncio

import pytest

from perdure import Context, Engine, Run, Settings, activity, heartbeat, is_cancelled, workflow
from perdure.authoring.activity import Activity
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting, Visit, Visitor, visiting

HASTY = Settings(shutdown_grace_seconds=0.0, process_stop_seconds=60.0)


def look(visit: Visit) -> None:
    """Look whenever the test says so, and say what there was to see."""
    heartbeat("looking")
    while visit.hear():
        if is_cancelled():
            visit.say("cancelled")
            return
        visit.say("not yet")


@activity
def look_in_thread(address: str) -> None:
    with visiting(address) as visit:
        look(visit)


@activity(executor="process")
def look_in_process(address: str) -> None:
    with visiting(address) as visit:
        look(visit)


LOOKING: dict[str, Activity[[str], None]] = {"thread": look_in_thread, "process": look_in_process}


@workflow
async def looking(_ctx: Context, address: str, kind: str) -> None:
    await LOOKING[kind](address)


async def see(visitor: Visitor) -> str:
    """Have it look until it sees something."""
    while True:
        visitor.tell("look")
        said = await visitor.line()
        if said != "not yet":
            return said


async def start(engine: Engine, meeting: Meeting, kind: str) -> tuple[Run[None], Visitor]:
    run = await engine.start(looking, meeting.address, kind)
    visitor = await meeting.visitor()
    visitor.tell("look")
    assert await visitor.line() == "not yet"
    return run, visitor


@pytest.mark.parametrize("kind", list(LOOKING))
@pytest.mark.parametrize("way", ["cancel", "terminate"])
async def test_it_sees_the_end_of_its_run(make_engine: MakeEngine, meeting: Meeting, kind: str, way: str) -> None:
    async with make_engine(HASTY) as engine:
        run, visitor = await start(engine, meeting, kind)
        await (run.cancel("enough") if way == "cancel" else run.terminate("enough"))
        assert await see(visitor) == "cancelled"


@pytest.mark.parametrize("kind", list(LOOKING))
async def test_it_sees_that_its_worker_is_closing(make_engine: MakeEngine, meeting: Meeting, kind: str) -> None:
    async with make_engine(HASTY) as engine:
        _, visitor = await start(engine, meeting, kind)
        seeing = asyncio.ensure_future(see(visitor))
    assert await seeing == "cancelled"


def test_outside_of_an_activity_nothing_is_cancelled() -> None:
    assert not is_cancelled()
