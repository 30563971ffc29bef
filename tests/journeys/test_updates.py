"""Updates: a run that is asked something answers, on every store, wherever its worker is."""

import asyncio
from datetime import timedelta

import pytest

from perdure import (
    Activity,
    Context,
    IdPolicy,
    Query,
    ResultTimeoutError,
    RunClosedError,
    Settings,
    Signal,
    SyncEngine,
    Update,
    UpdateFailedError,
    UpdateRejectedError,
    activity,
    workflow,
)
from perdure.errors import InvalidArgumentError, WrongContextError
from perdure.kernel import events as e
from perdure.kernel.messages import UpdateMessage
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import double, is_out_of_memory, until

add = Update("add", int, int)
close_cart = Signal("close_cart")
slowly = Update("slowly", int, int)


@Query
def added(at_least: int) -> list[int]:
    """What was added so far."""
    raise NotImplementedError


done: list[int] = []


@activity
async def booked(amount: int) -> int:
    done.append(amount)
    return amount


@activity
def booked_plainly(amount: int) -> int:
    done.append(amount)
    return amount


def refuse_negative(amount: int) -> None:
    if amount < 0:
        raise ValueError("amounts are not negative")


@workflow
async def cart(ctx: Context) -> int:
    amounts: list[int] = []

    async def add_one(amount: int) -> int:
        amounts.append(await double(amount))
        return sum(amounts)

    async def take_time(amount: int) -> int:
        await asyncio.sleep(amount)
        return amount

    @ctx.query(added)
    def added_so_far(at_least: int) -> list[int]:
        return [amount for amount in amounts if amount >= at_least]

    ctx.on_update(add, add_one, validator=refuse_negative)
    ctx.on_update(slowly, take_time)
    await ctx.wait_for(close_cart)
    return sum(amounts)


async def kinds_of(run: object) -> list[str]:
    return [type(recorded.event).__name__ async for recorded in run.history()]  # type: ignore[attr-defined]


async def test_an_update_returns_what_its_handler_returns(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        assert await run.update(add, 1) == 2
        assert await run.update(add, 2) == 6
        await run.signal(close_cart)
        assert await run.result() == 6


async def test_a_validator_rejects_and_nothing_else_is_recorded(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        with pytest.raises(UpdateRejectedError, match="not negative") as caught:
            await run.update(add, -1)
        assert (caught.value.update, caught.value.failure_type) == ("add", "ValueError")
        kinds = await kinds_of(run)
        assert kinds[2:] == ["UpdateRejected"]


async def test_an_input_of_the_wrong_type_is_rejected(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        with pytest.raises(UpdateRejectedError, match="input of update 'add'"):
            await run.update(Update("add"), "no number")


async def test_a_validator_that_asks_for_something_is_rejected(make_engine: MakeEngine) -> None:
    @workflow
    async def writing(ctx: Context) -> None:
        async def nothing(_amount: int) -> int:
            return 0

        ctx.on_update(add, nothing, validator=lambda amount: ctx.set("seen", amount))
        await ctx.wait_for(close_cart)

    async with make_engine() as engine:
        run = await engine.start(writing)
        with pytest.raises(UpdateRejectedError, match="WrongContextError"):
            await run.update(add, 1)


async def test_a_handler_that_raises_fails_its_update_and_not_the_run(make_engine: MakeEngine) -> None:
    @workflow
    async def raising(ctx: Context) -> str:
        async def fail(_amount: int) -> int:
            raise LookupError("no such shelf")

        ctx.on_update(add, fail)
        await ctx.wait_for(close_cart)
        return "fine"

    async with make_engine() as engine:
        run = await engine.start(raising)
        with pytest.raises(UpdateFailedError, match="no such shelf"):
            await run.update(add, 1)
        await run.signal(close_cart)
        assert await run.result() == "fine"


async def test_an_update_waits_for_its_handler(make_engine: MakeEngine) -> None:
    @workflow
    async def late(ctx: Context) -> int:
        async def answer(amount: int) -> int:
            return amount + 1

        await ctx.wait_for(close_cart)
        ctx.on_update(add, answer)
        await ctx.wait_for(close_cart)
        return 0

    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(late)
        waiting = asyncio.create_task(run.update(add, 1))
        with pytest.raises(ResultTimeoutError, match="request_id='mine'"):
            await run.update(add, 7, request_id="mine", timeout=timedelta(milliseconds=50))
        await run.signal(close_cart)
        assert await waiting == 2
        assert await run.update(add, 7, request_id="mine") == 8


async def test_an_update_that_waits_survives_its_engine(make_engine: MakeEngine) -> None:
    @workflow(name="late_again")
    async def late(ctx: Context) -> int:
        async def answer(amount: int) -> int:
            return amount + 1

        await ctx.wait_for(close_cart)
        ctx.on_update(add, answer)
        await ctx.wait_for(close_cart)
        return 0

    async with make_engine() as engine:
        run = await engine.start(late, id="late")
        with pytest.raises(ResultTimeoutError):
            await run.update(add, 7, request_id="mine", timeout=timedelta(0))
    async with make_engine() as engine:
        run = await engine.get_run("late", late)
        await run.signal(close_cart)
        assert await run.update(add, 7, request_id="mine") == 8


async def test_a_repeated_update_has_one_effect_and_the_answer_of_the_first(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        assert await run.update(add, 1, request_id="one") == 2
        assert await run.update(add, 1, request_id="one") == 2
        repeated = UpdateMessage(update_id="one", name="add", body=add.encode_input(1))
        await engine.worker.deliver((await run.describe()).run_key, repeated, message_id="one")
        await run.signal(close_cart)
        assert await run.result() == 2
        assert await run.update(add, 1, request_id="one") == 2
        with pytest.raises(RunClosedError):
            await run.update(add, 1, request_id="two")


async def test_an_accepted_update_is_completed_by_whoever_has_the_run_next(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart, id="slow")
        await run.update(slowly, 1, wait="accepted", request_id="s")
        kinds = await kinds_of(run)
        assert kinds[2] == "UpdateAccepted"
        assert "UpdateCompleted" not in kinds
    async with make_engine() as engine:
        run = await engine.get_run("slow", cart)
        assert await run.update(slowly, 1, request_id="s") == 1


async def test_an_update_that_is_not_finished_when_the_run_ends_fails(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        await run.update(slowly, 1_000, wait="accepted", request_id="s")
        await run.signal(close_cart)
        await run.result()
        with pytest.raises(UpdateFailedError, match="the run has ended before"):
            await run.update(slowly, 1_000, request_id="s")


async def test_an_update_that_waits_when_the_run_ends_is_told_so(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        waiting = asyncio.create_task(run.update(Update("unknown", int, int), 1))
        await until(lambda: inbox_holds_one(engine, run))
        await run.terminate("enough")
        with pytest.raises(RunClosedError, match="ended before it answered"):
            await waiting


async def inbox_holds_one(engine: object, run: object) -> bool:
    summary = await run.describe()  # type: ignore[attr-defined]
    return len(await engine.worker.store.read_inbox(summary.run_key)) == 1  # type: ignore[attr-defined]


async def test_an_update_to_a_suspended_run_waits_until_it_goes_on(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        await run.suspend("audit")
        waiting = asyncio.create_task(run.update(add, 1))
        await until(lambda: inbox_holds_one(engine, run))
        assert "UpdateAccepted" not in await kinds_of(run)
        await run.resume()
        assert await waiting == 2


async def test_a_waiting_update_goes_to_the_next_generation(make_engine: MakeEngine) -> None:
    @workflow
    async def rolling(ctx: Context, is_first: bool) -> str:
        async def answer(amount: int) -> int:
            return amount + 1

        if is_first:
            await ctx.wait_for(close_cart)
            ctx.continue_as_new(False)
        ctx.on_update(add, answer)
        await ctx.wait_for(close_cart)
        return "over"

    async with make_engine() as engine:
        run = await engine.start(rolling, True)
        waiting = asyncio.create_task(run.update(add, 1))
        await until(lambda: inbox_holds_one(engine, run))
        await run.signal(close_cart)
        assert await waiting == 2


async def test_a_workflow_can_wait_for_its_updates_before_it_ends(make_engine: MakeEngine) -> None:
    @workflow
    async def polite(ctx: Context) -> str:
        async def answer(amount: int) -> int:
            await asyncio.sleep(0.05)
            return amount + 1

        ctx.on_update(add, answer)
        await ctx.wait_for(close_cart)
        await ctx.updates_finished()
        return "over"

    async with make_engine() as engine:
        run = await engine.start(polite)
        await run.update(add, 1, wait="accepted", request_id="a")
        await run.signal(close_cart)
        assert await run.result() == "over"
        assert await run.update(add, 1, request_id="a") == 2


async def test_an_update_comes_from_an_engine_that_does_not_work(make_engine: MakeEngine) -> None:
    async with make_engine() as engine, make_engine(works=False) as client:
        await engine.start(cart, id="afar")
        run = await client.get_run("afar")
        assert await run.update(add, 4) == 8


async def test_an_update_starts_the_run_that_it_needs(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        assert await engine.update_with_start(cart, id="c", update=add, input=3) == 6
        assert await engine.update_with_start(cart, id="c", update=add, input=1) == 8
        kinds = await kinds_of(await engine.get_run("c"))
        assert kinds[:3] == ["RunCreated", "RunStarted", "UpdateAccepted"]


async def test_an_update_with_start_that_is_made_again_has_one_effect(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for _ in range(2):
            assert await engine.update_with_start(cart, id="c", update=add, input=3, request_id="r") == 6
        run = await engine.get_run("c", cart)
        await run.signal(close_cart)
        assert await run.result() == 6


async def test_an_update_that_came_with_the_start_waits_for_its_handler_across_engines(make_engine: MakeEngine) -> None:
    @workflow(name="late_with_start")
    async def late(ctx: Context) -> None:
        async def answer(amount: int) -> int:
            return amount + 1

        await ctx.wait_for(close_cart)
        ctx.on_update(add, answer)
        await ctx.wait_for(close_cart)

    async with make_engine() as engine:
        with pytest.raises(ResultTimeoutError):
            await engine.update_with_start(
                late, id="c", update=add, input=3, request_id="r", timeout=timedelta(milliseconds=20)
            )
    async with make_engine() as engine:
        await (await engine.get_run("c")).signal(close_cart)
        assert await engine.update_with_start(late, id="c", update=add, input=3, request_id="r") == 4


async def test_an_update_whose_run_ends_without_an_answer_starts_no_other_run(make_engine: MakeEngine) -> None:
    @workflow
    async def deaf(_ctx: Context) -> None:
        return

    async with make_engine() as engine:
        for run_id, request_id in (("a", ""), ("b", "r"), ("b", "r")):
            async with asyncio.timeout(5):
                with pytest.raises(RunClosedError, match="ended before it answered"):
                    await engine.update_with_start(deaf, id=run_id, update=add, input=1, request_id=request_id)
            assert (await (await engine.get_run(run_id)).describe()).ref.generation == 1


async def test_a_signal_starts_the_run_that_it_needs_in_one_commit(make_engine: MakeEngine) -> None:
    @workflow
    async def collecting_two(ctx: Context) -> list[int]:
        return [await ctx.wait_for(number), await ctx.wait_for(number)]

    number = Signal("number", int)
    async with make_engine() as engine:
        first = await engine.signal_with_start(collecting_two, id="n", signal=number, body=1)
        assert [type(recorded.event) async for recorded in first.history()] == [
            e.RunCreated,
            e.SignalReceived,
            e.RunStarted,
        ]
        second = await engine.signal_with_start(collecting_two, id="n", signal=number, body=2)
        assert await second.result() == [1, 2]
        with pytest.raises(RunClosedError):
            await engine.signal_with_start(
                collecting_two, id="n", signal=number, body=3, id_policy=IdPolicy.RETURN_EXISTING
            )
        third = await engine.signal_with_start(collecting_two, id="n", signal=number, body=4)
        assert (await third.describe()).ref.generation == 2


async def test_a_signal_with_start_that_is_made_again_has_one_effect(make_engine: MakeEngine) -> None:
    @workflow
    async def counting_to_five(ctx: Context) -> int:
        await ctx.wait_for(number)
        return await ctx.wait_for(number)

    number = Signal("number", int)
    async with make_engine() as engine:
        await engine.signal_with_start(counting_to_five, id="n", signal=number, body=1, request_id="r")
        run = await engine.signal_with_start(counting_to_five, id="n", signal=number, body=1, request_id="r")
        await run.signal(number, 5)
        assert await run.result() == 5


async def test_a_typed_query_is_answered_by_running_waiting_suspended_and_closed_runs(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine, make_engine(works=False) as other:
        run = await engine.start(cart, id="q")
        await run.update(add, 1)
        await run.update(add, 3)
        assert await run.query(added, 3) == [6]
        key = (await run.describe()).run_key
        await until(lambda: is_out_of_memory(engine, key))
        assert await run.query(added, at_least=0) == [2, 6]
        await run.suspend()
        assert await (await other.get_run("q")).query(added, 0) == [2, 6]
        await run.resume()
        await run.signal(close_cart)
        await run.result()
        assert await run.query(added, 0) == [2, 6]
        with pytest.raises(InvalidArgumentError, match="it answers: added"):
            await run.query("unknown")


def test_the_synchronous_engine_updates_and_queries(tmp_path: object) -> None:
    with SyncEngine(f"sqlite:///{tmp_path}/sync.db") as engine:
        number = Signal("close_cart")
        run = engine.signal_with_start(cart, id="s", signal=Signal("other", int), body=1)
        assert run.update(add, 1) == 2
        run.update(add, 1, wait="accepted")
        assert engine.update_with_start(cart, id="s", update=add, input=2) == 8
        assert run.query(added, 4) == [4]
        run.signal(number)
        assert run.result() == 8


async def test_what_is_no_update_is_refused_with_the_way_out(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(cart)
        with pytest.raises(InvalidArgumentError, match="declare one"):
            await run.update("add", 1)  # type: ignore[call-overload]
        with pytest.raises(InvalidArgumentError, match="allowed are"):
            await run.update(add, 1, wait="soon")  # type: ignore[call-overload]
    with pytest.raises(InvalidArgumentError, match="needs a name"):
        Update("")
    with pytest.raises(InvalidArgumentError, match="is no function"):
        Query("added")  # type: ignore[arg-type]


@pytest.mark.parametrize("is_validator", [False, True])
async def test_handlers_are_coroutines_and_validators_are_not(make_engine: MakeEngine, is_validator: bool) -> None:
    @workflow(name=f"odd_{is_validator}")
    async def odd(ctx: Context) -> None:
        async def good(amount: int) -> int:
            return amount

        if is_validator:
            ctx.on_update(add, good, validator=good)
        else:
            ctx.on_update(add, lambda amount: amount)  # type: ignore[arg-type,return-value]

    async with make_engine() as engine:
        run = await engine.start(odd)
        with pytest.raises(Exception, match="plain def" if is_validator else "must be an async def"):
            await run.result()


@pytest.mark.parametrize("called", [booked_plainly, booked])
async def test_queries_and_validators_that_call_an_activity_are_refused(
    make_engine: MakeEngine, called: Activity[[int], int]
) -> None:
    async def nothing(amount: int) -> int:
        return amount

    @workflow(name=f"acting.{called.name}")
    async def acting(ctx: Context) -> None:
        ctx.query("count")(lambda: called(1))
        ctx.on_update(add, nothing, validator=called)
        await ctx.wait_for(close_cart)

    done.clear()
    async with make_engine() as engine:
        run = await engine.start(acting)
        with pytest.raises(UpdateRejectedError, match="an activity called, where its workflow's code is not running"):
            await run.update(add, 1)
        for _ in range(2):  # as it waits, and from its history
            with pytest.raises(WrongContextError, match="which may only read"):
                await run.query("count")
            if not (await run.describe()).status.is_closed:
                await run.signal(close_cart)
                await run.result()
    assert not done
