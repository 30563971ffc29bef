"""Task queues: activities are made by whoever serves their queue, on every store, whoever owns the run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    ActivityFailedError,
    ActivityTimeoutError,
    Context,
    Engine,
    Retry,
    RunFailedError,
    Settings,
    Stream,
    activity,
    current_attempt,
    defer,
    fixed,
    heartbeat,
    publish,
    workflow,
)
from perdure.authoring.activity_context import running_attempt
from perdure.errors import RunNotFoundError, StoreUnavailableError
from perdure.execution.attempts import RunningCall
from perdure.kernel import events as e
from perdure.kernel.messages import CompleteActivityMessage
from perdure.ports.tasks import ClaimedTask, TaskQuery
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds, until

AT_ONCE = Retry(attempts=3, backoff=fixed(timedelta(0)))
SERVES = Settings(queues=("gpu",), only_queues=True, shutdown_grace_seconds=0.1)
frames = Stream("frames", int)
_gates: dict[str, asyncio.Event] = {}
_begun: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _new_gates() -> None:
    _gates.clear()
    _begun.clear()


def _begin() -> asyncio.Event:
    run_id = current_attempt().run_id
    _begun[run_id] = _begun.get(run_id, 0) + 1
    return _gates.setdefault(run_id, asyncio.Event())


def _engine_of_attempt() -> object:
    running = running_attempt.get()
    assert isinstance(running, RunningCall)
    return running.attempts


_makers: dict[str, object] = {}


@activity(queue="gpu")
async def far_render(scene: str) -> str:
    _makers[current_attempt().run_id] = _engine_of_attempt()
    attempt = current_attempt()
    return f"{scene} by {attempt.workflow} of {attempt.run_id}, attempt {attempt.attempt}"


@workflow
async def far_film(_: Context, scene: str) -> str:
    return await far_render(scene)


@activity(queue="gpu", retry=AT_ONCE)
async def far_gated(number: int) -> int:
    gate = _begin()
    await gate.wait()
    return number + 1


@workflow
async def far_waits_for_gate(_: Context) -> int:
    return await far_gated(1)


@asynccontextmanager
async def owner_and_server(
    make_engine: MakeEngine, settings: Settings = SERVES
) -> AsyncIterator[tuple[Engine, Engine]]:
    async with make_engine(name="owner") as owner, make_engine(settings, name="server") as server:
        yield owner, server


async def has_begun(run_id: str, times: int = 1) -> None:
    async def is_so() -> bool:
        return _begun.get(run_id, 0) >= times

    await until(is_so)


async def tasks_of(engine: Engine) -> list[Any]:
    return await engine.worker.store.list_tasks(TaskQuery())


async def test_an_activity_is_made_by_who_serves_its_queue(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server):
        run = await owner.start(far_film, "dawn", id="film-1")
        assert await run.result() == "dawn by far_film of film-1, attempt 1"
        assert _makers["film-1"] is server.worker.attempts
        assert await kinds(run) == [
            "run_created", "run_started", "activity_scheduled", "activity_deferred", "activity_completed",
            "run_completed",
        ]  # fmt: skip
        assert await tasks_of(owner) == []


async def test_a_worker_that_serves_the_queue_makes_activities_of_its_own_runs_itself(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(queues=("gpu",))) as engine:
        run = await engine.start(far_film, "dusk", id="film-2")
        assert await run.result() == "dusk by far_film of film-2, attempt 1"
        assert "activity_deferred" not in await kinds(run)


async def test_a_task_waits_until_somebody_serves_its_queue(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        run = await owner.start(far_film, "noon", id="film-3")

        async def is_queued() -> bool:
            return len(await tasks_of(owner)) == 1

        await until(is_queued)
        (task,) = await tasks_of(owner)
        assert (task.queue, task.activity, task.owner) == ("gpu", "far_render", None)
        async with make_engine(SERVES, name="server"):
            assert await run.result() == "noon by far_film of film-3, attempt 1"


async def test_a_client_sees_what_waits_and_what_is_under_way(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        runs = [await owner.start(far_waits_for_gate, id=f"seen-{number}") for number in range(2)]

        async def are_queued() -> bool:
            return len(await owner.tasks(queue="gpu")) == 2

        await until(are_queued)
        assert await owner.tasks(queue="cpu") == []
        assert [task.run.id for task in await owner.tasks(run_id="seen-1")] == ["seen-1"]
        first = (await owner.tasks(limit=1))[0]
        assert first.owner is None
        assert [task.run.id for task in await owner.tasks(after=first.place)] == ["seen-1"]
        with pytest.raises(RunNotFoundError):
            await owner.tasks(run_id="nobody")
        async with make_engine(SERVES, name="server") as server:
            await has_begun("seen-1")
            assert {task.owner for task in await owner.tasks()} == {server.worker.worker_id}
            for gate in _gates.values():
                gate.set()
            assert [await run.result() for run in runs] == [2, 2]
    assert first.attempt == 1


async def test_a_failed_attempt_is_made_again_as_its_retries_say(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, _):
        run = await owner.start(far_stubborn, id="stubborn")
        assert await run.result() == 3
        events = [recorded.event async for recorded in run.history()]
        failed = [event for event in events if isinstance(event, e.ActivityAttemptFailed)]
        assert [event.failure.message for event in failed] == ["not 1", "not 2"]
        assert all(event.started_at is not None for event in failed)
        lost = await owner.start(far_hopeless, id="hopeless")
        with pytest.raises(RunFailedError) as failed_run:
            await lost.result()
        assert "ValueError" in str(failed_run.value)


@activity(queue="gpu", retry=AT_ONCE)
async def far_third_time() -> int:
    heartbeat(current_attempt().attempt)
    if current_attempt().attempt < 3:
        raise ValueError(f"not {current_attempt().attempt}")
    assert current_attempt().last_heartbeat(int) == 2
    return current_attempt().attempt


@workflow
async def far_stubborn(_: Context) -> int:
    return await far_third_time()


@activity(queue="gpu", retry=Retry(attempts=1))
async def far_breaks() -> None:
    raise ValueError("broken")


@workflow
async def far_hopeless(_: Context) -> None:
    await far_breaks()


async def test_a_task_of_a_server_that_dies_is_made_by_another(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        server = make_engine(SERVES, name="server")
        await server.__aenter__()
        run = await owner.start(far_waits_for_gate, id="survives")
        await has_begun("survives")
        await server.__aexit__(None, None, None)  # its grace is short: the attempt is interrupted, and given back
        _gates["survives"].set()
        async with make_engine(SERVES, name="other"):
            assert await run.result() == 2
        assert _begun["survives"] == 2


async def test_a_run_that_is_cancelled_stops_the_attempt_elsewhere(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server):
        run = await owner.start(far_waits_for_gate, id="cancelled")
        await has_begun("cancelled")
        await run.cancel()
        with pytest.raises(Exception, match="cancel"):
            await run.result()

        async def is_stopped() -> bool:
            return server.worker.queues.held == 0 and server.worker.dispatcher.running == 0

        await until(is_stopped)
        assert await tasks_of(owner) == []


async def test_an_attempt_that_takes_too_long_elsewhere_runs_out_of_time(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server):
        run = await owner.start(far_slow_film, id="slow")
        assert await run.result() == "start_to_close"

        async def is_stopped() -> bool:
            return server.worker.queues.held == 0

        await until(is_stopped)


@activity(queue="gpu", timeout=timedelta(milliseconds=20), retry=Retry(attempts=2, backoff=fixed(timedelta(0))))
async def far_never_ends() -> None:
    await asyncio.Event().wait()


@workflow
async def far_slow_film(_: Context) -> str:
    try:
        await far_never_ends()
    except ActivityTimeoutError as error:
        return error.timeout
    return "it ended"


async def test_whoever_waits_too_long_for_a_server_gives_up(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        run = await owner.start(far_impatient, id="impatient")
        assert await run.result() == "schedule_to_start"
        assert await tasks_of(owner) == []


async def test_once_a_server_has_begun_the_wait_is_over(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, _):
        run = await owner.start(far_patient, id="patient")
        await has_begun("patient")

        async def is_noted() -> bool:
            return (await kinds(run)).count("activity_deferred") == 2

        await until(is_noted)
        _gates["patient"].set()
        assert await run.result() == 2


@workflow
async def far_impatient(_: Context) -> str:
    try:
        await far_gated.options(schedule_to_start=timedelta(milliseconds=20))(1)
    except ActivityTimeoutError as error:
        return error.timeout
    return "it began"


@workflow
async def far_patient(_: Context) -> int:
    return await far_gated.options(schedule_to_start=timedelta(hours=1))(1)


async def test_an_attempt_that_may_be_made_once_is_lost_with_its_server(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        server = make_engine(SERVES, name="server")
        await server.__aenter__()
        run = await owner.start(far_once, id="once")
        await has_begun("once")
        await server.__aexit__(None, None, None)
        async with make_engine(SERVES, name="other"):
            assert await run.result() == "WorkerLostError"
        assert _begun["once"] == 1
        started = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptStarted)]
        assert [event.worker for event in started] == ["server"]


@workflow
async def far_once(_: Context) -> str:
    try:
        await far_gated.options(at_most_once=True, retry=Retry(attempts=1))(1)
    except ActivityFailedError as error:
        return error.failure_type
    return "made"


async def test_whoever_takes_the_run_over_does_not_begin_a_task_that_may_be_made_once(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        await owner.start(far_once, id="heritage")
        await until(lambda: _is_queued(owner))
    async with make_engine(Settings(queues=("gpu",)), name="heir") as heir:
        run = await heir.get_run("heritage")
        await has_begun("heritage")

        async def is_noted() -> bool:
            return "activity_attempt_started" in await kinds(run)

        await until(is_noted)
        _gates["heritage"].set()
        assert await run.result() == "made"
        assert _begun["heritage"] == 1


async def _is_queued(engine: Engine) -> bool:
    return len(await tasks_of(engine)) == 1


async def test_whoever_has_both_a_run_and_its_task_hears_at_once_that_it_is_not_wanted(
    make_engine: MakeEngine,
) -> None:
    async with make_engine(name="owner") as owner:
        await owner.start(far_waits_for_gate, id="own")
        await until(lambda: _is_queued(owner))
    async with make_engine(Settings(queues=("gpu",), lease_seconds=600), name="heir") as heir:
        run = await heir.get_run("own")
        await has_begun("own")
        await run.describe()
        await run.terminate("enough")

        async def is_stopped() -> bool:
            return heir.worker.dispatcher.running == 0 and heir.worker.queues.held == 0

        await until(is_stopped)
        assert await tasks_of(heir) == []


async def test_what_a_worker_does_not_know_to_have_is_given_back(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server):
        queues, claim = server.worker.queues, server.worker.store.claim_tasks

        async def claim_in_vain(**asked: Any) -> Any:
            if await claim(**asked):
                raise StoreUnavailableError("the answer was lost")
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "claim_tasks", claim_in_vain)
            run = await owner.start(far_film, "dawn", id="stray")

            async def is_claimed() -> bool:
                return any(task.claims for task in await tasks_of(owner))

            await until(is_claimed)
        queues.lease_renewed()
        assert await run.result() == "dawn by far_film of stray, attempt 1"


async def test_a_task_whose_outcome_cannot_be_saved_fails(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server):
        commit = server.worker.store.commit

        async def refuse_outcomes(writes: Any) -> Any:
            if any(isinstance(getattr(write, "message", None), CompleteActivityMessage) for write in writes):
                raise ValueError("no")
            return await commit(writes)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "commit", refuse_outcomes)
            run = await owner.start(far_film, "dawn", id="unsaved")
            with pytest.raises(RunFailedError, match="what the activity has told cannot be saved"):
                await run.result()


async def test_a_worker_claims_what_it_has_slots_for(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        runs = [await owner.start(far_waits_for_gate, id=f"slot-{number}") for number in range(3)]

        async def are_queued() -> bool:
            return len(await tasks_of(owner)) == 3

        await until(are_queued)
        narrow = Settings(queues=("gpu",), only_queues=True, loop_slots=1, lease_seconds=600)
        async with make_engine(narrow, name="server") as server:
            for number, run in enumerate(runs):
                await has_begun(run.id)
                assert [task.owner is None for task in await tasks_of(owner)] == [False, *[True] * (2 - number)]
                assert server.worker.queues.held == 1
                _gates[run.id].set()
                assert await run.result() == 2


async def test_details_of_the_last_heartbeat_reach_whoever_makes_the_task_next(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        run = await owner.start(far_resumes, id="resumed")
        async with make_engine(SERVES, name="server"):
            await has_begun("resumed")
        async with make_engine(SERVES, name="other"):
            assert await run.result() == "the first said 42"


@activity(queue="gpu", retry=AT_ONCE)
async def far_step_by_step() -> str:
    said = current_attempt().last_heartbeat(int)
    if said is None:
        heartbeat(42)
        await _begin().wait()
    return f"the first said {said}"


@workflow
async def far_resumes(_: Context) -> str:
    return await far_step_by_step()


async def test_a_reset_does_not_begin_again_what_may_be_made_once(make_engine: MakeEngine) -> None:
    async with make_engine(name="owner") as owner:
        await owner.start(far_once, id="reset")
        await until(lambda: _is_queued(owner))
    async with make_engine(SERVES, name="server") as server:
        await has_begun("reset")
        await (await server.get_run("reset")).reset()
        async with make_engine(name="other") as other:
            assert await (await other.get_run("reset")).result() == "WorkerLostError"
    assert _begun["reset"] == 1


async def test_the_fencing_token_grows_from_claim_to_claim_and_from_attempt_to_attempt(make_engine: MakeEngine) -> None:
    _fences.clear()
    async with make_engine(name="owner") as owner:
        run = await owner.start(far_fenced, id="fenced")
        for begun in (1, 2):
            async with make_engine(SERVES, name=f"server-{begun}"):
                await has_begun("fenced", begun)
        async with make_engine(SERVES, name="server-3"):
            await has_begun("fenced", 3)
            _gates["fenced"].set()
            assert await run.result() == 2
    assert [attempt for attempt, _ in _fences] == [1, 1, 1, 2]
    assert [token for _, token in _fences] == sorted({token for _, token in _fences})


_fences: list[tuple[int, int]] = []


@activity(queue="gpu", retry=AT_ONCE)
async def far_token() -> int:
    attempt = current_attempt()
    _fences.append((attempt.attempt, attempt.fencing_token))
    await _begin().wait()
    if attempt.attempt == 1:
        raise OSError("once more")
    return attempt.attempt


@workflow
async def far_fenced(_: Context) -> int:
    return await far_token()


async def test_a_task_may_leave_its_outcome_to_somebody_outside(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, _):
        run = await owner.start(far_asks_outside, id="outside")
        await has_begun("outside")

        async def is_deferred() -> bool:
            return (await kinds(run)).count("activity_deferred") == 2

        await until(is_deferred)
        await owner.complete(_tokens["outside"], 7)
        assert await run.result() == 7


_tokens: dict[str, str] = {}


@activity(queue="gpu")
async def far_asks() -> int:
    _begin()
    _tokens[current_attempt().run_id] = current_attempt().token
    defer()


@workflow
async def far_asks_outside(_: Context) -> int:
    return await far_asks()


async def test_a_task_publishes_to_a_stream_of_its_run(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, _):
        run = await owner.start(far_publishing, id="publishing")
        assert await run.result() == 2
        assert [value.value async for value in run.stream(frames)] == [1, 2]


@activity(queue="gpu")
async def far_shoots() -> int:
    publish(frames, 1)
    publish(frames, 2)
    return 2


@workflow
async def far_publishing(_: Context) -> int:
    return await far_shoots()


async def test_a_run_waits_for_its_task_out_of_memory(make_engine: MakeEngine) -> None:
    async with (
        make_engine(Settings(idle_seconds=0.01), name="owner") as owner,
        make_engine(SERVES, name="server"),
    ):
        run = await owner.start(far_waits_for_gate, id="idle")
        await has_begun("idle")

        async def is_out() -> bool:
            return not owner.worker.active

        await until(is_out)
        _gates["idle"].set()
        assert await run.result() == 2


async def test_very_many_tasks_are_made_within_the_slots(make_engine: MakeEngine) -> None:
    few = Settings(queues=("gpu",), only_queues=True, queue_slots=3)
    async with owner_and_server(make_engine, few) as (owner, _):
        run = await owner.start(far_many, 40, id="many")
        assert await run.result() == sum(range(40))
        assert await tasks_of(owner) == []


_at_once: list[int] = []


@activity(queue="gpu")
async def far_counted(number: int) -> int:
    _at_once.append(number)
    assert len(_at_once) <= 3
    await asyncio.sleep(0)
    _at_once.remove(number)
    return number


@workflow
async def far_many(_: Context, count: int) -> int:
    return sum(await asyncio.gather(*(far_counted(number) for number in range(count))))


async def test_who_serves_a_queue_claims_no_tasks_for_what_happens_to_runs(make_engine: MakeEngine) -> None:
    async with owner_and_server(make_engine) as (owner, server), make_engine(works=False, name="client") as client:
        await (await owner.start(far_film, "dawn")).result()  # the server's own beginning is over
        count, claim = 0, server.worker.store.claim_tasks

        async def counted(**of_claim: Any) -> list[ClaimedTask]:
            nonlocal count
            count += 1
            return await claim(**of_claim)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.worker.store, "claim_tasks", counted)
            for _ in range(30):
                await (await client.start(far_from_queues)).result()
            await (await owner.start(far_film, "dusk")).result()
        assert 1 <= count <= 10


@workflow
async def far_from_queues(ctx: Context) -> None:
    await ctx.sleep(0)
