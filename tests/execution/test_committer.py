"""The committer: bad writes, failing stores, the end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest

from perdure import Engine, Settings, StoreError
from perdure.errors import EngineClosedError, InternalError, StoreCorruptError, StoreFullError, StoreUnavailableError
from perdure.execution.committer import Committer
from perdure.kernel.identity import FencingToken, RunKey
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Creation, Outcome, Release, Transition, Write
from perdure.logs import Recurring
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import Gate
from tests.execution.waiting_workflows import go, held


async def test_a_write_that_cannot_be_committed_fails_alone() -> None:
    database, gate = MemoryDatabase(), Gate()

    def refuse_the_second_run(writes: Sequence[Write]) -> Exception | None:
        bad = any(isinstance(write, Transition) and write.run_key == bad_key for write in writes)
        return TypeError("cannot be encoded") if bad else None

    async with Engine(MemoryStore(database, gate=gate)) as engine:
        runs = [await engine.start(held, id=f"run-{n}") for n in range(3)]
        bad_key = (await runs[1].describe()).run_key
        gate.failure = refuse_the_second_run
        await asyncio.gather(*(run.signal(go, n) for n, run in enumerate(runs)))
        assert [await runs[0].result(), await runs[2].result()] == [0, 2]
        with pytest.raises(InternalError, match="cannot be encoded"):
            await runs[1].result()
    async with Engine(MemoryStore(database)) as engine:
        assert await (await engine.get_run("run-1")).result() == 1  # nothing of the bad transition was kept


async def test_closing_gives_up_a_store_that_stays_unavailable_and_loses_nothing_acknowledged() -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = Settings(shutdown_grace_seconds=0.0, retry_store_seconds=0.001)
    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        run = await engine.start(held, id="kept")
        waiting = asyncio.ensure_future(run.result())
        gate.failure = lambda _writes: StoreFullError("the disk is full")
        gate.reached.clear()
        unanswered = asyncio.ensure_future(run.signal(go, 1))
        await gate.reached.wait()
    with pytest.raises(StoreError, match="full"):
        await unanswered
    with pytest.raises(EngineClosedError):
        await waiting
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.get_run("kept", held)
        await run.signal(go, 2)
        assert await run.result() == 2


async def test_closing_does_not_wait_for_a_store_that_does_not_answer() -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = Settings(shutdown_grace_seconds=0.0, retry_store_seconds=0.001)
    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        run = await engine.start(held, id="silent")
        gate.is_open.clear()
        gate.reached.clear()
        unanswered = asyncio.ensure_future(run.signal(go, 1))
        await gate.reached.wait()
    assert not unanswered.done(), "what nobody knows is not answered"
    assert not database.sessions
    gate.is_open.set()
    await asyncio.wait({unanswered})


async def test_closing_does_not_wait_for_an_unavailable_store_that_does_not_answer_when_it_is_asked_again() -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = Settings(shutdown_grace_seconds=0.0, retry_store_seconds=0.001)

    def fail_and_fall_silent(_writes: Sequence[Write]) -> Exception | None:
        if not gate.is_open.is_set():
            return None
        gate.is_open.clear()
        gate.reached.clear()
        return StoreFullError("the disk is full")

    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        run = await engine.start(held, id="full, then silent")
        gate.failure = fail_and_fall_silent
        gate.reached.clear()
        unanswered = asyncio.ensure_future(run.signal(go, 1))
        await gate.reached.wait()  # for the first time
        await gate.reached.wait()
    assert not unanswered.done(), "what nobody knows is not answered"
    assert not database.sessions
    gate.is_open.set()
    await asyncio.wait({unanswered})


async def test_a_run_whose_transition_fails_for_good_is_given_back_and_goes_on() -> None:
    database, gate = MemoryDatabase(), Gate()
    failures = iter([StoreError("no more keys"), StoreError("none, still")])
    settings = Settings(retry_store_maximum_seconds=0.001)
    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        run = await engine.start(held, id="refused")
        gate.failure = lambda _writes: next(failures, None)
        with pytest.raises(StoreError):
            await run.signal(go, 1)
        await run.signal(go, 2)
        assert await run.result() == 2
    assert next(failures, None) is None


async def test_runs_whose_transitions_meet_damage_for_a_while_go_on_when_it_is_over() -> None:
    database, gate = MemoryDatabase(), Gate()
    failures = iter([StoreCorruptError("a shared page")] * 9)
    settings = Settings(retry_store_seconds=0.001, retry_store_maximum_seconds=0.001)
    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        runs = [await engine.start(held, id=f"run-{n}") for n in range(2)]
        gate.failure = lambda writes: next(failures, None) if any(isinstance(w, Transition) for w in writes) else None
        await asyncio.gather(*(run.signal(go, n) for n, run in enumerate(runs)))
        assert [await run.result() for run in runs] == [0, 1]
    assert next(failures, None) is None


class AwayFor:
    """A store that is away for so many tries, 10 s each by a clock that it sets."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tries_left = 0

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if self.tries_left:
            self.tries_left -= 1
            self.seconds += 10
            raise StoreUnavailableError("the disk is away")
        return [Applied(RunKey(1)) for _ in writes]


async def test_an_outage_that_begins_within_a_minute_of_another_is_told_of_while_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = AwayFor()
    committer = Committer(cast("RunStore", store), Settings(retry_store_seconds=1e-6, retry_store_maximum_seconds=1e-6))
    committer._recurring = Recurring("perdure.store", lambda: store.seconds)
    told: list[tuple[float, str]] = []

    async def live_through(tries: int) -> None:
        store.tries_left = tries
        committed = asyncio.Event()
        write = Release(
            run_key=RunKey(1),
            fencing_token=FencingToken(1),
            expected_sequence=1,
            wake_at=None,
            now=Timestamp(1),
        )
        committer.submit(write, lambda _outcome: committed.set(), keep=True)
        await committed.wait()
        told.extend((store.seconds, record.getMessage()) for record in caplog.records)
        caplog.clear()

    await live_through(1)
    store.seconds += 20
    await live_through(360)
    store.seconds += 20
    await live_through(1)
    first, fails, again = "commits fail and will be tried again: the disk is away", "commits fail", "succeed again"
    assert told[:2] == [(10, first), (10, "commits succeed again")]
    assert [moment for moment, _ in told[2:]] == [3630] * (len(told) - 2), "nothing of the last, which was short"
    assert [fails in text for _, text in told[2:]] == [*[True] * (len(told) - 3), False]
    assert len(told) > 5
    assert again in told[-1][1]


async def test_a_damaged_file_is_told_of_by_few_lines_however_often_writes_meet_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = Settings(retry_store_seconds=0.0001, retry_store_maximum_seconds=0.0001)
    refused = 0

    def damaged(writes: Sequence[Write]) -> StoreCorruptError | None:
        nonlocal refused
        refused += 1
        return StoreCorruptError("the file is damaged") if any(not isinstance(w, Creation) for w in writes) else None

    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        runs = [await engine.start(held, id=f"run-{n}") for n in range(40)]
        gate.failure = damaged
        for n, run in enumerate(runs):
            with suppress(StoreCorruptError):
                await run.signal(go, n)
        async with asyncio.timeout(10):
            while refused < 200:  # noqa: ASYNC110 - as often as that
                await asyncio.sleep(0)
        gate.failure = lambda _writes: None
    told = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(set(told)) == len(told) <= 6


async def test_a_run_that_a_damaged_page_keeps_from_being_committed_is_parked_and_no_other_run_is() -> None:
    database, gate = MemoryDatabase(), Gate()
    settings = Settings(retry_store_seconds=0.001, retry_store_maximum_seconds=0.001)
    async with Engine(MemoryStore(database, gate=gate), settings=settings) as engine:
        run, other = await engine.start(held, id="damaged"), await engine.start(held, id="other")
        key = (await run.describe()).run_key

        def damaged(writes: Sequence[Write]) -> StoreCorruptError | None:
            is_damaged = any(isinstance(write, Transition) and write.run_key == key for write in writes)
            return StoreCorruptError("one page") if is_damaged else None

        gate.failure = damaged
        await asyncio.gather(run.signal(go, 1), other.signal(go, 2))
        assert await other.result() == 2
        with pytest.raises(StoreCorruptError):
            await run.result()
        parked = (await run.describe()).parked
        assert parked is not None
        assert parked.reason.message == "one page"
    async with Engine(MemoryStore(database)) as engine:
        assert await (await engine.get_run("damaged")).result() == 1
