"""Tasks that a worker has claimed and cannot begin: they were not begun, and whoever may make them once makes them."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from perdure import ActivityFailedError, Context, Engine, Retry, Run, Settings, activity, workflow
from perdure.errors import StoreUnavailableError
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskQuery
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

SERVES = Settings(queues=("gpu",), only_queues=True, shutdown_grace_seconds=0.1)


@activity(queue="gpu", at_most_once=True, retry=Retry(attempts=1))
async def far_charge() -> None:
    pass


@workflow
async def far_unbegun(_: Context) -> str:
    try:
        await far_charge()
    except ActivityFailedError as error:
        return error.failure_type
    return "made"


def _unavailable(*_: Any, **__: Any) -> Any:
    raise StoreUnavailableError("the store is away")


@pytest.mark.parametrize("failing", [("read_history",), ("read_history", "return_tasks")], ids=" and ".join)
async def test_a_task_whose_details_cannot_be_read_for_now_was_not_begun(
    make_engine: MakeEngine, failing: tuple[str, ...]
) -> None:
    async with make_engine(name="owner") as owner, make_engine(SERVES, name="server") as server:
        queues, store = server.worker.queues, server.worker.store
        with pytest.MonkeyPatch.context() as patch:
            run = await _claimed_before(owner, server, run_id="unbegun")
            claims = asyncio.Queue[None]()
            claim = store.claim_tasks

            async def claim_and_tell(**asked: Any) -> Any:
                claims.put_nowait(None)
                return await claim(**asked)

            patch.setattr(store, "claim_tasks", claim_and_tell)
            for name in failing:
                patch.setattr(store, name, _unavailable)
            queues.wake()
            for _ in range(2):  # the first has failed by the time of the second
                await claims.get()
        queues.hear(None)  # as with each renewal of the lease
        queues.wake()
        assert await run.result() == "made"


async def _claimed_before(owner: Engine, server: Engine, *, run_id: str) -> Run[str]:
    """Start a run whose task was claimed once, and given back unbegun, before the server may claim it."""
    with pytest.MonkeyPatch.context() as held_back:

        async def nothing(**_: Any) -> list[ClaimedTask]:
            return []

        held_back.setattr(server.worker.store, "claim_tasks", nothing)
        run = await owner.start(far_unbegun, id=run_id)
        await until(lambda: _is_queued(owner))
        serves = ServedTasks(queues=frozenset({"gpu"}), activities=frozenset({"far_charge"}))
        store = owner.worker.store
        [claimed] = await store.claim_tasks(now=owner.worker.clock.now(), limit=1, served=serves)
        await store.return_tasks([claimed.claim], begun=False)
    return run


async def test_a_task_that_a_worker_was_about_to_begin_as_it_was_closed_was_not_begun(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        server, is_asked = make_engine(SERVES, name="server"), asyncio.Event()
        await server.__aenter__()

        async def for_ever(*_: Any, **__: Any) -> Any:
            is_asked.set()
            await asyncio.Event().wait()

        with pytest.MonkeyPatch.context() as patch:
            run = await _claimed_before(owner, server, run_id="closing")
            patch.setattr(server.worker.store, "read_history", for_ever)
            server.worker.queues.wake()
            await is_asked.wait()
            await server.__aexit__(None, None, None)
        await _is_made_by_another(make_engine, run)


async def test_a_claim_that_is_under_way_as_a_worker_is_closed_gives_back_what_it_gets(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        server = make_engine(structs.replace(SERVES, shutdown_grace_seconds=10.0), name="server")
        await server.__aenter__()
        is_claimed, answer = asyncio.Event(), asyncio.Event()
        queues, claim = server.worker.queues, server.worker.store.claim_tasks
        stop = queues.stop

        async def claim_slowly(**asked: Any) -> Any:
            claimed = await claim(**asked)
            if claimed:
                is_claimed.set()
                await answer.wait()
            return claimed

        def stop_and_answer() -> None:
            stop()
            asyncio.get_running_loop().call_later(0.02, answer.set)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "claim_tasks", claim_slowly)
            patch.setattr(queues, "stop", stop_and_answer)
            run = await owner.start(far_unbegun, id="answered late")
            await is_claimed.wait()
            await server.__aexit__(None, None, None)
        await _is_made_by_another(make_engine, run)


async def _is_made_by_another(make_engine: MakeEngine, run: Run[str]) -> None:
    async with make_engine(SERVES, name="other"):
        assert await run.result() == "made"


async def _is_queued(engine: Engine) -> bool:
    return len(await engine.worker.store.list_tasks(TaskQuery())) == 1
