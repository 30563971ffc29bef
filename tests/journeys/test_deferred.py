"""Deferred activities: somebody outside completes them by their token, on every store, whoever works meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from perdure import (
    ActivityFailedError,
    Context,
    NonRetryableError,
    Retry,
    Run,
    RunCancelledError,
    RunFailedError,
    RunTerminatedError,
    Settings,
    Signal,
    StaleTokenError,
    SyncEngine,
    activity,
    current_attempt,
    defer,
    fixed,
    workflow,
)
from perdure.errors import InvalidArgumentError, PayloadError, WrongContextError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import is_out_of_memory, until

AT_ONCE = Retry(attempts=3, backoff=fixed(timedelta(0)))
nudge = Signal("nudge", None)
_tokens: dict[str, list[str]] = {}


def _note() -> None:
    attempt = current_attempt()
    _tokens.setdefault(attempt.run_id, []).append(attempt.token)


async def token_of(run: Run[object], *, attempt: int = 1) -> str:
    """Return the token that an attempt of this run's activity has handed out."""

    async def is_handed_out() -> bool:
        return len(_tokens.get(run.id, [])) >= attempt

    await until(is_handed_out)
    return _tokens[run.id][attempt - 1]


async def deferred_token_of(run: Run[object], *, attempt: int = 1) -> str:
    token = await token_of(run, attempt=attempt)
    async for recorded in run.watch():
        if isinstance(recorded.event, e.ActivityDeferred) and recorded.event.attempt == attempt:
            break
    return token


@activity(retry=AT_ONCE)
async def approve(order: str) -> int:
    _note()
    defer()


@activity(retry=AT_ONCE)
def approve_in_a_thread(order: str) -> int:
    _note()
    defer()


@activity(retry=AT_ONCE, timeout=timedelta(milliseconds=50))
async def approve_in_time(order: str) -> int:
    _note()
    defer()


_gates: dict[str, asyncio.Event] = {}


@activity(retry=AT_ONCE)
async def hand_out_and_go_on(order: str) -> int:
    _note()
    await _gates[order].wait()
    defer()


@activity(retry=Retry(attempts=1), at_most_once=True)
async def approve_at_most_once(order: str) -> int:
    _note()
    defer()


@workflow
async def order_at_most_once(ctx: Context, number: str) -> int:
    return await approve_at_most_once(number)


@workflow
async def order(ctx: Context, number: str) -> int:
    return await approve(number) + 1


@workflow
async def order_by_thread(ctx: Context, number: str) -> int:
    return await approve_in_a_thread(number) + 1


@workflow
async def urgent_order(ctx: Context, number: str) -> int:
    return await approve_in_time(number)


@activity(retry=Retry(attempts=3, backoff=fixed(timedelta(days=1))))
async def approve_tomorrow(order: str) -> int:
    _note()
    defer()


@workflow
async def patient_order(ctx: Context, number: str) -> int:
    return await approve_tomorrow(number)


@workflow
async def early_order(ctx: Context, number: str) -> int:
    return await hand_out_and_go_on(number)


async def test_somebody_outside_completes_a_deferred_activity(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        await engine.complete(await deferred_token_of(run), 41)
        assert await run.result() == 42


async def test_a_function_in_a_thread_can_defer(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order_by_thread, "7")
        await engine.complete(await deferred_token_of(run), 41)
        assert await run.result() == 42


async def test_a_token_is_safe_in_a_url(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        token = await token_of(await engine.start(order, "7"))
        assert len(token) == 32
        assert all(character.isalnum() or character in "-_" for character in token)


async def test_a_deferred_activity_is_not_run_again_by_the_next_worker(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
    async with make_engine() as engine:
        run = await engine.get_run(run.id, order)
        await run.signal(nudge, None)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.SignalReceived):
                break  # so the next worker has it
        await engine.complete(token, 1)
        assert await run.result() == 2
    assert _tokens[run.id] == [token]


async def test_a_deferred_at_most_once_activity_is_not_taken_for_lost(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order_at_most_once, "7")
        token = await deferred_token_of(run)
    async with make_engine() as engine:
        run = await engine.get_run(run.id, order_at_most_once)
        await engine.complete(token, 1)
        assert await run.result() == 1


async def test_the_outcome_may_come_while_no_worker_is_there(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
    async with make_engine(works=False) as outside:
        await outside.complete(token, 1)
        await outside.complete(token, 1)
        with pytest.raises(StaleTokenError):
            await outside.complete(token, 2)
        with pytest.raises(StaleTokenError):
            await outside.fail(token, ValueError("too late"))
    async with make_engine() as engine:
        assert await (await engine.get_run(run.id, order)).result() == 2


async def test_a_run_leaves_memory_while_its_activity_is_deferred(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
        run_key = (await run.describe()).run_key
        await until(lambda: is_out_of_memory(engine, run_key))
        await engine.complete(token, 1)
        assert await run.result() == 2
    assert _tokens[run.id] == [token]


async def test_of_many_outcomes_exactly_one_counts(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
        told = await asyncio.gather(*(engine.complete(token, n) for n in range(10)), return_exceptions=True)
        won = [number for number, answer in enumerate(told) if answer is None]
        assert all(isinstance(answer, StaleTokenError) for answer in told if answer is not None)
        assert await run.result() == won[0] + 1
        assert len(won) == 1


async def test_an_outcome_told_again_changes_nothing(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
        await engine.complete(token, 1, request_id="click")
        assert await run.result() == 2
        await engine.complete(token, 1)
        await engine.complete(token, 9, request_id="click")
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(token, 9)
        assert (caught.value.reason, caught.value.run_id, caught.value.activity) == ("completed", run.id, "approve")


async def test_a_failure_from_outside_is_tried_again_under_another_token(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        first = await deferred_token_of(run)
        await engine.fail(first, ConnectionError("no answer"))
        second = await deferred_token_of(run, attempt=2)
        assert second != first
        await engine.fail(first, ConnectionError("no answer"))  # told again
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(first, 1)
        assert caught.value.reason == "retried"
        await engine.complete(second, 1)
        assert await run.result() == 2


async def test_no_retry_is_told_of_where_the_run_ended_before_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(patient_order, "7")
        token = await deferred_token_of(run)
        await engine.fail(token, ConnectionError("no answer"))
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityAttemptFailed):
                break
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(token, 1)
        assert caught.value.reason == "retried"
        await run.terminate("enough")
        with pytest.raises(RunTerminatedError):
            await run.result()
        await engine.fail(token, ConnectionError("no answer"))  # told again
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(token, 1)
        assert caught.value.reason == "cancelled"


async def test_a_final_failure_from_outside_fails_the_activity(make_engine: MakeEngine) -> None:
    @workflow
    async def order_in_doubt(ctx: Context) -> str:
        try:
            await approve("7")
        except ActivityFailedError as error:
            return f"{error.failure_type}: {error.failure_message} ({error.attempts})"
        return "approved"

    async with make_engine() as engine:
        run = await engine.start(order_in_doubt)
        token = await deferred_token_of(run)
        await engine.fail(token, NonRetryableError("no credit"))
        assert await run.result() == "NonRetryableError: no credit (1)"
        await engine.fail(token, NonRetryableError("no credit"))
        with pytest.raises(StaleTokenError, match="has failed already"):
            await engine.fail(token, NonRetryableError("another reason"))


async def test_a_deferred_attempt_runs_out_of_time_and_is_tried_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(urgent_order, "7")
        with pytest.raises(RunFailedError, match="timed out"):
            await run.result()
        assert len(_tokens[run.id]) == 3
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(_tokens[run.id][0], 1)
        assert caught.value.reason == "retried"
        with pytest.raises(StaleTokenError) as caught:
            await engine.complete(_tokens[run.id][2], 1)
        assert caught.value.reason == "timed_out"


async def test_the_limit_of_a_deferred_attempt_holds_across_a_restart(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(urgent_order, "7")
        await deferred_token_of(run)
    async with make_engine() as engine:
        run = await engine.get_run(run.id, urgent_order)
        token = await token_of(run, attempt=2)
        await engine.complete(token, 5)
        assert await run.result() == 5


async def test_what_a_heartbeat_from_outside_says_reaches_the_next_attempt(make_engine: MakeEngine) -> None:
    said: list[object] = []

    @activity(retry=AT_ONCE, heartbeat_timeout=timedelta(milliseconds=200))
    async def translate() -> str:
        said.append(current_attempt().last_heartbeat())
        _note()
        defer()

    @workflow
    async def translation(ctx: Context) -> str:
        return await translate()

    async with make_engine() as engine:
        run = await engine.start(translation)
        token = await deferred_token_of(run)
        await engine.heartbeat(token, {"page": 3})
        await engine.heartbeat(token)
        second = await token_of(run, attempt=2)
        assert said == [None, {"page": 3}]
        with pytest.raises(StaleTokenError):
            await engine.heartbeat(token)
        await engine.complete(second, "done")
        assert await run.result() == "done"


async def test_a_heartbeat_from_outside_learns_of_the_cancellation(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
        await engine.heartbeat(token)
        await run.cancel("changed my mind")
        with pytest.raises(RunCancelledError):
            await run.result()
        with pytest.raises(StaleTokenError) as caught:
            await engine.heartbeat(token)
        assert caught.value.reason == "cancelled"


async def test_the_outcome_may_come_before_the_function_has_deferred(make_engine: MakeEngine) -> None:
    gate = _gates["early"] = asyncio.Event()
    async with make_engine() as engine:
        run = await engine.start(early_order, "early")
        await engine.complete(await token_of(run), 3)
        assert await run.result() == 3
        gate.set()


async def test_a_failure_that_comes_before_the_deferral_is_tried_again_by_the_policy(make_engine: MakeEngine) -> None:
    gate = _gates["early"] = asyncio.Event()
    async with make_engine() as engine:
        run = await engine.start(early_order, "early")
        await engine.fail(await token_of(run), ConnectionError("no answer"))
        gate.set()
        await engine.complete(await token_of(run, attempt=2), 3)
        assert await run.result() == 3


async def test_a_value_that_is_no_result_of_the_activity_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(order, "7")
        token = await deferred_token_of(run)
        with pytest.raises(PayloadError, match="approve"):
            await engine.complete(token, "not a number")
        await engine.complete(token, 1)
        assert await run.result() == 2


async def test_what_is_no_token_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        token = await token_of(await engine.start(order, "7"))
        forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
        for wrong in ("", "no token", "é", token[:-1], forged, "A" * 32, "_" * 32):
            with pytest.raises(InvalidArgumentError, match="token"):
                await engine.complete(wrong, 1)
        with pytest.raises(InvalidArgumentError, match="exception"):
            await engine.fail(token, "no exception")  # type: ignore[arg-type]


def test_defer_outside_an_activity_says_so() -> None:
    with pytest.raises(WrongContextError, match="defer"):
        defer()


def test_synchronous_programs_complete_activities(tmp_path: object) -> None:
    with SyncEngine(f"sqlite:///{tmp_path}/runs.db") as engine:
        run = engine.start(order, "7")
        for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityDeferred):
                break
        [token] = _tokens[run.id]
        engine.heartbeat(token, "soon")
        engine.complete(token, 1)
        assert run.result() == 2
        with pytest.raises(StaleTokenError):
            engine.fail(token, ValueError("late"))
