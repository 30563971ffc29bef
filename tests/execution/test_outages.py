"""Runs whose writes fail where others succeed, as on a bad sector, and all of them in an outage of the store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from perdure import Context, Engine, Run, Settings, activity, workflow
from perdure.errors import StoreCorruptError, StoreUnavailableError
from perdure.execution.refusals import is_still_owned
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import Transition, Write
from perdure.ports.store import RunSummary
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import FaultyStore, Gate, WideStore
from tests.execution.waiting_workflows import go, held

one_or_several_commits_at_once = pytest.mark.parametrize("kind", [FaultyStore, WideStore])

_AT_ONCE = Settings(retry_store_seconds=0.001, retry_store_maximum_seconds=0.001)


class BadSector:
    """Refuses each batch with a write of one run, or with one of some kinds of it."""

    def __init__(self, run_key: RunKey, *kinds: type) -> None:
        self._run_key = run_key
        self._kinds = kinds or (object,)
        self.tried_alone = 0

    def __call__(self, writes: Sequence[Write]) -> StoreUnavailableError | None:
        if not any(
            isinstance(write, self._kinds) and getattr(write, "run_key", None) == self._run_key for write in writes
        ):
            return None
        self.tried_alone += len(writes) == 1
        return StoreUnavailableError("a bad sector")


class Cash:
    """Who has begun to pay, each time, and whether they may end."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.is_open = asyncio.Event()


_cash = Cash()


@activity(name="charge_at_most_once", at_most_once=True)
async def charge(number: int) -> int:
    _cash.begun.append(number)
    await _cash.is_open.wait()
    return number


@workflow(name="charges_at_most_once")
async def charging(_ctx: Context, number: int) -> int:
    return await charge(number)


@workflow(name="adds_two_numbers")
async def adding(ctx: Context) -> int:
    return await ctx.wait_for(go) + await ctx.wait_for(go)


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0)


async def _serve_until(engine: Engine, is_so: Callable[[RunSummary], bool], run: Run[Any]) -> None:
    """Serve clients, of whom none may be refused, until a run stands as is asked."""
    async with asyncio.timeout(20):
        while not is_so(await run.describe()):
            await engine.start(held)


@one_or_several_commits_at_once
async def test_a_run_on_a_bad_sector_stops_no_other_run_and_no_client(
    kind: type[FaultyStore],
) -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(kind(database, gate=gate), settings=_AT_ONCE) as engine:
        bad, *others = [await engine.start(held, id=f"run-{n}") for n in range(4)]
        bad_key = (await bad.describe()).run_key
        sector = BadSector(bad_key, Transition)
        gate.failure = sector
        signal = asyncio.ensure_future(bad.signal(go, 0))
        await asyncio.gather(*(run.signal(go, n) for n, run in enumerate(others)))
        assert [await run.result() for run in others] == [0, 1, 2]
        await _serve_until(engine, lambda row: row.parked is not None, bad)
        await signal
        assert sector.tried_alone >= 9 * 6
        row = await bad.describe()
        assert row.parked is not None
        assert "failed 5 times while others were committed" in row.parked.reason.message
        with pytest.raises(StoreUnavailableError, match="a bad sector"):
            await bad.result()
        engine.worker.endings.unpark(bad_key)  # as one of which it has forgotten why
        with pytest.raises(StoreUnavailableError, match="a bad sector"):
            await bad.result()
        gate.failure = lambda _writes: None
        async with asyncio.timeout(10):
            while not (row := await bad.describe()).status.is_closed:  # noqa: ASYNC110 - nobody has it go on
                await asyncio.sleep(0)
        assert row.parked is None
        assert await bad.result() == 0


@one_or_several_commits_at_once
async def test_a_run_that_cannot_even_be_given_back_stops_nobody_and_goes_on_when_the_cause_is_gone(
    kind: type[FaultyStore],
) -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = msgspec.structs.replace(_AT_ONCE, idle_seconds=0.01)
    async with Engine(kind(database, gate=gate), settings=settings) as engine:
        bad = await engine.start(held, id="bad")
        bad_key = (await bad.describe()).run_key
        gate.failure = BadSector(bad_key)
        waiting = asyncio.ensure_future(bad.result())
        await _serve_until(engine, lambda _row: waiting.done(), bad)
        with pytest.raises(StoreUnavailableError, match=r"a bad sector .* failed 5 times while others were committed"):
            await waiting
        assert bad_key not in engine.worker.active
        async with asyncio.timeout(10):
            await engine.start(held)
            while engine.trouble is not None:  # a first failure of what the bad run has to write may come in between
                await engine.start(held)
        gate.failure = lambda _writes: None
        await bad.signal(go, 3)
        async with asyncio.timeout(10):
            while not (await bad.describe()).status.is_closed:  # noqa: ASYNC110 - nobody has it go on
                await asyncio.sleep(0)
        assert await bad.result() == 3


@one_or_several_commits_at_once
async def test_runs_whose_inboxes_cannot_be_read_in_an_outage_are_given_back_behind_what_they_had_written(
    kind: type[FaultyStore],
) -> None:
    database, gate = MemoryDatabase(), Gate()
    store, failures = kind(database, gate=gate), 0

    def away(_writes: Sequence[Write]) -> StoreUnavailableError | None:
        nonlocal failures
        failures += 1
        return StoreUnavailableError("the disk is away")

    async with Engine(store, settings=_AT_ONCE) as engine:
        runs = [await engine.start(adding, id=f"run-{n}") for n in range(3)]
        keys = [(await run.describe()).run_key for run in runs]
        gate.failure = away
        signals = [asyncio.ensure_future(run.signal(go, 1)) for run in runs]
        await _until(lambda: failures > 0)
        for key in keys:
            store.inbox_error = StoreUnavailableError("the disk is away")
            engine.worker.mail.news_of(key)
            await _until(lambda key=key: key not in engine.worker.active)  # type: ignore[misc]
        await _until(lambda: failures >= 30)
        gate.failure = lambda _writes: None
        await asyncio.gather(*signals)
        for run in runs:
            await run.signal(go, 2)
        async with asyncio.timeout(10):
            assert [await run.result() for run in runs] == [3, 3, 3]


@one_or_several_commits_at_once
@pytest.mark.parametrize("gets_through", [4, 5, 6, 7])
async def test_outcomes_outlive_an_outage_in_which_one_commit_gets_through(
    gets_through: int, kind: type[FaultyStore]
) -> None:
    database, gate, tries = MemoryDatabase(), Gate(), 0

    def flapping(_writes: Sequence[Write]) -> StoreUnavailableError | None:
        nonlocal tries
        tries += 1
        return StoreUnavailableError("the disk is away") if tries < 20 and tries != gets_through else None

    async with Engine(kind(database, gate=gate), settings=_AT_ONCE) as engine:
        _cash.is_open = asyncio.Event()
        _cash.begun.clear()
        runs = [await engine.start(charging, n, id=f"run-{n}") for n in range(3)]
        await _until(lambda: len(_cash.begun) == 3)
        gate.failure = flapping
        _cash.is_open.set()
        async with asyncio.timeout(10):
            assert [await run.result() for run in runs] == [0, 1, 2]
    assert sorted(_cash.begun) == [0, 1, 2], "an outcome was thrown away, and its attempt made again"


@pytest.mark.parametrize("trouble", ["damage", "inbox", "idle"])
async def test_a_run_of_a_dead_owner_is_recovered_though_it_is_given_back_before_it_goes_on(trouble: str) -> None:
    database, gate = MemoryDatabase(), Gate()
    first = Engine(MemoryStore(database), settings=_AT_ONCE)
    await first.__aenter__()
    run_key = (await (await first.start(held, id="one")).describe()).run_key
    for session in database.sessions.values():
        session.is_dead = True
    store = FaultyStore(database, gate=gate)
    settings = msgspec.structs.replace(_AT_ONCE, idle_seconds=0.001 if trouble == "idle" else 10.0)
    async with Engine(store, settings=settings) as second:
        active = second.worker.active
        await _until(lambda: run_key in active)
        claimed = active[run_key]
        if trouble == "damage":
            damage = iter([StoreCorruptError("a shared page")])
            gate.failure = lambda ws: next(damage, None) if any(isinstance(w, Transition) for w in ws) else None
        elif trouble == "inbox":
            store.inbox_error = StoreUnavailableError("the disk was away")
            second.worker.mail.news_of(run_key)
        if trouble != "damage":
            await _until(lambda: active.get(run_key) is not claimed)
        run = await second.get_run("one", held)
        await run.signal(go, 5)
        async with asyncio.timeout(10):
            assert await run.result() == 5
        told = [type(recorded.event).__name__ async for recorded in run.history()]
    assert told[2:4] == ["RecoveryStarted", "RecoveryCompleted"]


def test_a_run_is_still_owned_where_the_closing_gave_up_an_unavailable_store_and_no_time_else() -> None:
    away = StoreUnavailableError("the disk is away")
    assert is_still_owned(away, is_closing=True)
    assert not is_still_owned(away, is_closing=False)
