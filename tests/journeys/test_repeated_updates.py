"""Updates that are made again with their request ids: one effect and one answer, whatever became of the run since."""

import asyncio
from typing import Any

import pytest

from perdure import Context, Engine, Run, Signal, Update, workflow
from perdure.errors import RunClosedError, RunNotFoundError, UpdateFailedError
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.ports.keeping import WholeRun
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

book: Update[int, int] = Update("book", int, int)
later: Update[int, int] = Update("later", int, int)
rare: Update[int, int] = Update("rare", int, int)
turn = Signal("turn")
close = Signal("close", str)


@workflow(name="repeated_ledger")
async def ledger(ctx: Context, total: int) -> int:
    """Book amounts, on later pages also by other updates; turn the page, and close the ledger, when told to."""

    async def enter(amount: int) -> int:
        nonlocal total
        total += amount
        return total

    async def turn_pages() -> None:
        await ctx.wait_for(turn)
        ctx.continue_as_new(total)

    if ctx.info.generation > 1:
        ctx.on_update(later, enter)
    if ctx.info.generation > 2:
        ctx.on_update(rare, enter)
    ctx.on_update(book, enter)
    turning = asyncio.create_task(turn_pages())
    closing = asyncio.create_task(ctx.wait_for(close))
    await asyncio.wait([turning, closing], return_when=asyncio.FIRST_COMPLETED)
    if turning.done():
        await turning
    if await closing == "badly":
        raise ValueError("badly closed")
    return total


@workflow(name="repeated_deaf")
async def deaf(ctx: Context) -> str:
    """Answer nothing."""
    return await ctx.wait_for(close)


async def turned(run: Run[Any]) -> None:
    """Let the run go on as its next generation."""
    before = (await run.describe()).ref.generation
    await run.signal(turn)

    async def is_new() -> bool:
        row = await run.describe()
        return row.ref.generation > before and row.started_at is not None

    await until(is_new)


async def effects(engine: Engine, run_id: str, *updates: str) -> int:
    """Return how many updates of these request ids were accepted, in all generations of an id."""
    store, count = engine.worker.store, 0
    latest = await store.find(RunRef(id=run_id))
    assert latest is not None
    for generation in range(1, latest.ref.generation + 1):
        row = await store.find(RunRef(id=run_id, generation=generation), latest=False)
        for recorded in [] if row is None else await store.read_history(row.run_key):
            count += isinstance(recorded.event, e.UpdateAccepted) and recorded.event.update_id in updates
    return count


async def test_an_answer_of_an_older_generation_is_the_answer(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        assert await run.update(book, 1, request_id="one") == 1
        await turned(run)
        assert await run.update(book, 1, request_id="one") == 1
        assert await run.update(book, 10, request_id="ten") == 11
        await turned(run)
        await run.update(book, 10, request_id="ten", wait="accepted")
    async with make_engine() as engine:  # also by another engine, after a restart
        again = await engine.get_run("l", ledger)
        assert await again.update(book, 1, request_id="one") == 1
        await again.signal(close, "well")
        assert await again.result() == 11
        assert await again.update(book, 10, request_id="ten") == 11  # also when it has ended
        with pytest.raises(RunClosedError):
            await again.update(book, 10, request_id="another")
        assert await effects(engine, "l", "one", "ten") == 2


async def test_calls_that_are_made_at_once_have_one_effect_in_whatever_generation(make_engine: MakeEngine) -> None:
    async with make_engine() as engine, make_engine(works=False, name="client") as client:
        run, other = await engine.start(ledger, 0, id="l"), await client.get_run("l", ledger)
        for total in (1, 2, 3):
            calls = [asyncio.create_task(asked.update(book, 1, request_id=f"r{total}")) for asked in (run, other) * 3]
            await run.signal(turn)
            assert set(await asyncio.gather(*calls)) == {total}
        assert await effects(engine, "l", "r1", "r2", "r3") == 3


async def test_an_update_that_waits_for_the_next_generation_is_not_sent_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        waiting = [asyncio.create_task(run.update(later, 5, request_id="r")) for _ in range(2)]
        await until(lambda: _has_mail(engine, "l"))
        await turned(run)
        assert [*await asyncio.gather(*waiting), await run.update(later, 5, request_id="r")] == [5, 5, 5]
        await turned(run)
        assert await run.update(later, 5, request_id="r") == 5
        assert await effects(engine, "l", "r") == 1


async def test_a_reset_to_before_an_update_leaves_its_answer(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        assert await run.update(book, 7, request_id="r") == 7
        reset = await run.reset("wrong", event=2)
        assert await reset.update(book, 7, request_id="r") == 7
        assert await reset.update(book, 1, request_id="other") == 1
        await turned(reset)
        assert await reset.update(book, 7, request_id="r") == 7
        assert await effects(engine, "l", "r") == 1


async def test_an_update_that_a_retry_handles_again_has_the_new_answer(make_engine: MakeEngine) -> None:
    @workflow(name="repeated_slow")
    async def slow(ctx: Context) -> str:
        async def answer(amount: int) -> int:
            await ctx.wait_for(turn)
            return amount

        ctx.on_update(book, answer)
        how = await ctx.wait_for(close)
        if how == "badly":
            raise ValueError("badly closed")
        await ctx.updates_finished()
        return how

    async with make_engine() as engine:
        run = await engine.start(slow, id="s")
        await run.update(book, 7, request_id="r", wait="accepted")
        accepted = (await run.describe()).sequence
        await run.signal(close, "badly")
        with pytest.raises(UpdateFailedError, match="the run has ended before"):
            await run.update(book, 7, request_id="r")
        again = await run.reset("once more", event=accepted, reapply_signals=False)
        await again.signal(turn)
        assert await again.update(book, 7, request_id="r") == 7
        await again.terminate()


async def test_a_fork_knows_what_it_has_copied(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        assert await run.update(book, 7, request_id="r") == 7
        fork = await run.fork(id="f")
        assert await fork.update(book, 7, request_id="r") == 7
        assert await fork.update(book, 1, request_id="other") == await run.update(book, 1, request_id="other") == 8


async def test_an_update_that_a_run_did_not_answer_reaches_the_next_run_of_its_id(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run: Run[Any] = await engine.start(deaf, id="d")
        waiting = asyncio.create_task(run.update(book, 3, request_id="r"))
        await until(lambda: _has_mail(engine, "d"))
        await run.signal(close, "over")
        for call in (waiting, run.update(book, 3, request_id="r")):
            with pytest.raises(RunClosedError):
                await call
        run = await engine.start(ledger, 0, id="d", id_policy="restart_closed")
        assert set(await asyncio.gather(*(run.update(book, 3, request_id="r") for _ in range(3)))) == {3}
        assert await effects(engine, "d", "r") == 1


async def _has_mail(engine: Engine, run_id: str) -> bool:
    row = await engine.worker.store.find(RunRef(id=run_id))
    return row is not None and bool(await engine.worker.store.read_inbox(row.run_key))


async def test_an_update_with_start_is_known_to_all_generations(make_engine: MakeEngine) -> None:
    async def ask(engine: Engine, request_id: str) -> int:
        return await engine.update_with_start(ledger, 0, id="l", update=book, input=2, request_id=request_id)

    async with make_engine() as engine:
        assert await ask(engine, "begins") == 2
        assert await ask(engine, "follows") == 4
        run = await engine.get_run("l", ledger)
        for _ in range(2):
            await turned(run)
            assert [await ask(engine, "begins"), await ask(engine, "follows")] == [2, 4]
            assert await run.update(book, 2, request_id="begins") == 2
        await run.signal(close, "well")
        assert await run.result() == 4
        assert [await ask(engine, "begins"), await ask(engine, "follows")] == [2, 4]
        assert (await run.describe()).ref.generation == 3


async def test_an_update_with_start_that_a_run_did_not_answer_begins_another(make_engine: MakeEngine) -> None:
    async def ask(engine: Engine) -> int:
        return await engine.update_with_start(ledger, 0, id="d", update=book, input=2, request_id="r")

    async with make_engine() as engine:
        run = await engine.start(deaf, id="d")
        waiting = [asyncio.create_task(ask(engine)) for _ in range(2)]
        await until(lambda: _has_mail(engine, "d"))
        await run.signal(close, "over")
        assert await asyncio.gather(*waiting) == [2, 2]
        assert await ask(engine) == await run.update(book, 2, request_id="r") == 2
        assert (await run.describe()).ref.generation == 2
        assert await effects(engine, "d", "r") == 1


async def test_an_update_with_start_is_answered_by_the_retry_of_the_run_that_did_not(make_engine: MakeEngine) -> None:
    is_ready = False

    @workflow(name="repeated_unready")
    async def unready(ctx: Context) -> int:
        async def answer(amount: int) -> int:
            return amount

        if not await ctx.side_effect(lambda: is_ready):
            raise ValueError("not ready")
        ctx.on_update(book, answer)
        await ctx.wait_for(close)
        return 0

    async def ask(engine: Engine) -> int:
        return await engine.update_with_start(unready, id="u", update=book, input=2, request_id="r")

    async with make_engine() as engine:
        with pytest.raises(RunClosedError):
            await ask(engine)
        run = await engine.get_run("u")
        is_ready = True
        await run.reset(event=1)
        assert await ask(engine) == await run.update(book, 2, request_id="r") == 2
        assert (await run.describe()).ref.generation == 2
        assert await effects(engine, "u", "r") == 1


async def test_an_answer_that_was_removed_is_missed_and_not_given_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        assert await run.update(book, 1, request_id="one") == 1
        await turned(run)
        assert await run.update(book, 1, request_id="two") == 2
        await turned(run)
        removed = [await _removed(engine, "l", generation) for generation in (1, 2)]
        for request_id in ("one", "two"):
            with pytest.raises(RunNotFoundError, match="perdure import"):
                await run.update(book, 1, request_id=request_id)
        assert await run.update(book, 1, request_id="new") == 3
        for whole in reversed(removed):
            await engine.worker.store.bring_in(whole, sealed_as=whole.summary.run_key)
        assert [await run.update(book, 1, request_id=name) for name in ("one", "two", "new")] == [1, 2, 3]


async def test_an_update_that_still_waits_when_its_generation_is_removed_is_answered(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        waiting = [asyncio.create_task(run.update(rare, 5, request_id="r"))]
        await until(lambda: _has_mail(engine, "l"))
        await turned(run)
        await _removed(engine, "l", 1)
        waiting.append(asyncio.create_task(run.update(rare, 5, request_id="r")))
        await turned(run)
        assert await asyncio.gather(*waiting) == [5, 5]
        assert await effects(engine, "l", "r") == 1


async def test_an_update_that_was_never_sent_is_refused_as_any_other(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        await turned(run)
        await _removed(engine, "l", 1)
        await run.signal(close, "well")
        assert await run.result() == 0
        with pytest.raises(RunClosedError):
            await run.update(book, 5, request_id="r")


async def _removed(engine: Engine, run_id: str, generation: int) -> WholeRun:
    store = engine.worker.store
    row = await store.find(RunRef(id=run_id, generation=generation), latest=False)
    assert row is not None
    whole = await store.read_whole(row.run_key)
    assert whole is not None
    assert await store.remove_runs([row.run_key]) == [row.run_key]
    return whole


async def test_the_request_of_an_update_is_none_of_a_signal(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(ledger, 0, id="l")
        await run.suspend("wait", request_id="mine")
        await run.resume()
        assert await run.update(book, 1, request_id="mine") == 1
        assert await run.update(book, 2, request_id="yours") == 3
        await run.signal(close, "well", request_id="yours")
        assert await run.result() == 3
