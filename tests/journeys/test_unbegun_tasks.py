"""Tasks that a worker has claimed and cannot begin: they were not begun, and whoever may make them once makes them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from perdure import ActivityFailedError, Context, Engine, Retry, Run, Settings, activity, workflow
from perdure.codecs import FileBlobs, Payloads
from perdure.errors import StoreUnavailableError
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskQuery
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

SERVES = Settings(queues=("gpu",), only_queues=True, shutdown_grace_seconds=0.1, lease_seconds=600)
ONE_AT_ONCE = structs.replace(SERVES, queue_slots=1)


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


@pytest.mark.parametrize("is_away", [False, True], ids=["given back", "the store was away"])
async def test_a_task_whose_details_cannot_be_read_for_now_was_not_begun(
    make_engine: MakeEngine, *, is_away: bool
) -> None:
    async with make_engine(name="owner") as owner, make_engine(SERVES, name="server") as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "read_history", _unavailable)
            [run] = await _claimed_before(owner, server, "unbegun")
            server.worker.queues.wake()
            await until(lambda: _are_claimed(owner, 1))
            if is_away:
                await _give_back_in_vain(server)
        server.worker.queues.lease_renewed()
        assert await run.result() == "made"


async def _claimed_before(owner: Engine, server: Engine, *run_ids: str) -> list[Run[str]]:
    """Start runs whose tasks were claimed once, and given back unbegun, before the server may claim them."""
    with pytest.MonkeyPatch.context() as held_back:

        async def nothing(**_: Any) -> list[ClaimedTask]:
            return []

        held_back.setattr(server.worker.store, "claim_tasks", nothing)
        runs = [await owner.start(far_unbegun, id=run_id) for run_id in run_ids]
        await until(lambda: _are_queued(owner, len(runs)))
        serves = ServedTasks(queues=frozenset({"gpu"}), activities=frozenset({"far_charge"}))
        store = owner.worker.store
        claimed = await store.claim_tasks(now=owner.worker.clock.now(), limit=len(runs), served=serves)
        await store.return_tasks([one.claim for one in claimed], begun=False)
    return runs


async def _give_back_in_vain(server: Engine) -> None:
    """Renew the lease while the store takes nothing back."""
    is_asked = asyncio.Event()

    def away(*_: Any, **__: Any) -> Any:
        is_asked.set()
        raise StoreUnavailableError("the store is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.worker.store, "return_tasks", away)
        server.worker.queues.lease_renewed()
        await is_asked.wait()


ERRORS = pytest.mark.parametrize(
    "error", [StoreUnavailableError("it is away"), OSError("a library's own")], ids=["of ours", "of a library"]
)


@ERRORS
async def test_tasks_whose_details_cannot_be_read_keep_nobody_waiting(
    make_engine: MakeEngine, error: Exception
) -> None:
    """They are first in their queue, and more than the worker has slots."""
    async with make_engine(name="owner") as owner, make_engine(ONE_AT_ONCE, name="server") as server:

        def away(*_: Any, **__: Any) -> Any:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "read_history", away)
            bad = await _claimed_before(owner, server, "one", "two", "three")
            good = await owner.start(far_unbegun, id="good")  # nobody had it before: nothing is read of it
            assert await asyncio.wait_for(good.result(), 10) == "made"
            assert await _are_claimed(owner, 3)
        server.worker.queues.lease_renewed()
        assert [await run.result() for run in bad] == ["made"] * 3


async def test_a_worker_that_can_begin_nothing_leaves_most_of_a_queue_to_others(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.unbegun_tasks._MOST_KEPT", 2)
    async with make_engine(name="owner") as owner, make_engine(ONE_AT_ONCE, name="server") as server:
        claim, counts = server.worker.store.claim_tasks, list[int]()

        async def claim_and_count(**asked: Any) -> list[ClaimedTask]:
            claimed = await claim(**asked)
            counts.append(len(claimed))
            return claimed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "read_history", _unavailable)
            patch.setattr(server.worker.store, "claim_tasks", claim_and_count)
            runs = await _claimed_before(owner, server, "one", "two", "three")
            server.worker.queues.wake()
            await until(lambda: _are_claimed(owner, 2))
            server.worker.queues.wake()
            async with make_engine(SERVES, name="other"):  # makes the third
                await until(lambda: _are_queued(owner, 2))
            assert sum(counts) == 2
        server.worker.queues.lease_renewed()
        assert [await run.result() for run in runs] == ["made"] * 3


class AwayBlobs(FileBlobs):
    """Those of a worker that cannot read them for now."""

    error: Exception | None = None

    async def get(self, name: str) -> bytes:
        if self.error is not None:
            raise self.error
        return await super().get(name)


@activity(queue="gpu", at_most_once=True, retry=Retry(attempts=1))
async def far_weigh(text: str) -> int:
    return len(text)


@workflow
async def far_weighs(_: Context, text: str) -> int | str:
    try:
        return await far_weigh(text)
    except ActivityFailedError as error:
        return error.failure_type


@ERRORS
@pytest.mark.parametrize("is_away", [False, True], ids=["given back", "the store was away"])
async def test_tasks_whose_values_cannot_be_fetched_keep_nobody_waiting_and_were_not_begun(
    make_engine: MakeEngine, tmp_path: Path, error: Exception, *, is_away: bool
) -> None:
    blobs = AwayBlobs(tmp_path / "blobs")
    owned = Payloads(blobs=FileBlobs(tmp_path / "blobs"), blobs_above=1_000)
    served = Payloads(blobs=blobs, blobs_above=1_000)
    async with (
        make_engine(name="owner", payloads=owned) as owner,
        make_engine(ONE_AT_ONCE, name="server", payloads=served) as server,
    ):
        blobs.error = error
        bad = [await owner.start(far_weighs, "x" * 5_000, id=run_id) for run_id in ("one", "two")]
        await until(lambda: _are_claimed(owner, 2))
        good = await owner.start(far_weighs, "y", id="good")
        assert await asyncio.wait_for(good.result(), 10) == 1
        if is_away:
            await _give_back_in_vain(server)
        blobs.error = None
        server.worker.queues.lease_renewed()
        assert [await run.result() for run in bad] == [5_000, 5_000]


async def test_a_task_that_a_worker_was_about_to_begin_as_it_was_closed_was_not_begun(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        server, is_asked = make_engine(SERVES, name="server"), asyncio.Event()
        await server.__aenter__()

        async def for_ever(*_: Any, **__: Any) -> Any:
            is_asked.set()
            await asyncio.Event().wait()

        with pytest.MonkeyPatch.context() as patch:
            [run] = await _claimed_before(owner, server, "closing")
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


async def _are_queued(engine: Engine, count: int) -> bool:
    return len(await engine.worker.store.list_tasks(TaskQuery())) == count


async def _are_claimed(engine: Engine, count: int) -> bool:
    return sum(task.owner is not None for task in await engine.worker.store.list_tasks(TaskQuery())) == count
