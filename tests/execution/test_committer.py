"""The committer: bad writes, failing stores, the end."""

import asyncio
import random
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


def write_of(run: int, number: int = 1) -> Release:
    return Release(
        run_key=RunKey(run),
        fencing_token=FencingToken(1),
        expected_sequence=number,
        wake_at=None,
        now=Timestamp(1),
    )


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

    commits_at_once = 1

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
        committer.submit(write_of(1), lambda _outcome: committed.set(), keep=True)
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


# --- several commits at once -------------------------------------------------------------------------------------


class Told:
    """A store that answers each commit when, and as, it is told."""

    def __init__(self, *, commits_at_once: int) -> None:
        self.commits_at_once = commits_at_once
        self.under_way: list[tuple[list[Write], asyncio.Future[list[Outcome]]]] = []

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.under_way.append((list(writes), answer))
        assert len(self.under_way) <= self.commits_at_once
        return await answer

    def answer(self, number: int = 0, *, error: Exception | None = None) -> list[Write]:
        """Answer one of those under way; return what it was to commit."""
        writes, answer = self.under_way.pop(number)
        if error is None:
            answer.set_result([Applied(RunKey(1)) for _ in writes])
        else:
            answer.set_exception(error)
        return writes


class Committing:
    """A committer on such a store, and what it has answered."""

    def __init__(self, *, commits_at_once: int = 2) -> None:
        self.store = Told(commits_at_once=commits_at_once)
        settings = Settings(retry_store_seconds=1e-6, retry_store_maximum_seconds=1e-6)
        self.committer = Committer(cast("RunStore", self.store), settings)
        self.answers: list[tuple[Write, object]] = []
        self.lanes: set[asyncio.Task[None]] = set()

    async def submit(self, *writes: Write, keep: bool = True) -> None:
        for write in writes:
            self.committer.submit(write, lambda answer, write=write: self.answers.append((write, answer)), keep=keep)  # type: ignore[misc]
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            self.lanes |= self.committer._working
            await asyncio.sleep(0)
        for lane in self.lanes:
            assert not lane.done() or lane.exception() is None

    async def answer(self, number: int = 0, *, error: Exception | None = None) -> list[Write]:
        writes = self.store.answer(number, error=error)
        await self.settle()
        return writes

    def under_way(self) -> list[list[Write]]:
        return [writes for writes, _ in self.store.under_way]

    def answered(self) -> list[Write]:
        return [write for write, _ in self.answers]


async def test_as_many_commits_are_under_way_as_the_store_can_make_use_of_and_the_rest_goes_together() -> None:
    for commits_at_once in (1, 2, 3):
        writes, committing = [write_of(run) for run in range(6)], Committing(commits_at_once=commits_at_once)
        for write in writes:
            await committing.submit(write)
        assert committing.under_way() == [[write] for write in writes[:commits_at_once]]
        await committing.answer(commits_at_once - 1)
        assert committing.answered() == [writes[commits_at_once - 1]]
        assert committing.under_way()[-1] == writes[commits_at_once:]
        while committing.store.under_way:
            await committing.answer()
        assert len(committing.answers) == 6


async def test_writes_of_one_turn_go_together_in_one_lane() -> None:
    committing = Committing()
    await committing.submit(first := write_of(1), second := write_of(2))
    assert committing.under_way() == [[first, second]]
    assert len(committing.lanes) == 1
    await committing.submit(third := write_of(3))
    assert committing.under_way() == [[first, second], [third]]


@pytest.mark.parametrize(
    ("writes", "lanes", "shares"),
    [(8, 2, [8]), (15, 2, [15]), (16, 2, [8, 8]), (40, 2, [20, 20]), (40, 3, [14, 13, 13])],
)
async def test_lanes_that_are_free_at_once_share_what_waits_where_it_is_much(
    writes: int, lanes: int, shares: list[int]
) -> None:
    committing = Committing(commits_at_once=lanes)
    await committing.submit(*map(write_of, range(writes)))
    assert [len(batch) for batch in committing.under_way()] == shares
    await committing.submit(*map(write_of, range(writes, 2 * writes)))
    if len(shares) == lanes:
        await committing.answer()
        assert len(committing.under_way()[-1]) == writes, "the others are at work: this one takes all"


async def test_a_share_holds_no_two_writes_of_one_line_that_others_might_pass() -> None:
    committing = Committing()
    writes = [write_of(run, number) for number in range(2) for run in range(10)]
    await committing.submit(*writes)
    assert committing.under_way() == [writes[:10]], "the second writes of these lines wait behind the first"
    await committing.answer()
    assert committing.under_way() == [writes[10:]]


async def test_a_commit_that_is_not_answered_holds_up_its_line_and_nobody_else() -> None:
    committing = Committing()
    await committing.submit(write_of(1, 1))
    for run in range(2, 5):
        await committing.submit(write := write_of(run))
        assert await committing.answer(1) == [write]
    await committing.submit(behind := write_of(1, 2))
    assert len(committing.under_way()) == 1
    await committing.answer()
    assert committing.under_way() == [[behind]]


async def test_lanes_that_had_nothing_to_do_are_at_work_again_when_something_comes() -> None:
    committing = Committing()
    for number in range(3):
        await committing.submit(write_of(1, number))
        await committing.submit(write_of(2, number))
        assert len(committing.under_way()) == 2
        await committing.answer(1)
        await committing.answer()
        assert committing.under_way() == []
    assert len(committing.answers) == 6


async def test_a_commit_that_fails_while_another_is_under_way_is_made_again_alone_and_nobody_is_told() -> None:
    committing = Committing(commits_at_once=3)
    await committing.submit(first := write_of(1), keep=False)
    await committing.submit(second := write_of(2))
    await committing.answer(error=StoreUnavailableError("a lock"))
    await committing.submit(third := write_of(3))
    assert committing.under_way() == [[second]]
    await committing.answer()
    assert committing.under_way() == [[first, third]]
    await committing.submit(fourth := write_of(4))
    assert len(committing.under_way()) == 1
    await committing.answer()
    await committing.answer()
    assert committing.answers == [(write, Applied(RunKey(1))) for write in (second, first, third, fourth)]


async def test_in_an_outage_one_lane_tries_and_afterwards_all_are_at_work() -> None:
    committing = Committing(commits_at_once=3)
    await committing.submit(first := write_of(1))
    await committing.submit(second := write_of(2))
    full = StoreFullError("the disk is full")
    await committing.answer(error=full)
    await committing.answer(error=full)
    for _ in range(5):
        async with asyncio.timeout(10):
            while not committing.store.under_way:  # noqa: ASYNC110 - after a pause
                await asyncio.sleep(0)
        await committing.submit(write_of(3), keep=False)
        assert len(committing.under_way()) == 1
        await committing.answer(error=full)
        if committing.under_way() == [[write_of(3)]]:  # it was to find out
            await committing.answer(error=full)
    assert isinstance(committing.committer.trouble, StoreFullError)
    async with asyncio.timeout(10):
        while len(committing.answers) < 5 + 2:
            while committing.store.under_way:
                await committing.answer()
            await asyncio.sleep(0)
    assert {write for write, answer in committing.answers if isinstance(answer, Applied)} == {first, second}
    for run in range(4, 7):
        await committing.submit(write_of(run))
    assert len(committing.under_way()) == 3


async def test_damage_in_one_lane_fails_a_write_alone_while_others_are_under_way() -> None:
    committing = Committing()
    await committing.submit(bad := write_of(1))
    await committing.submit(good := write_of(2))
    await committing.answer(error=StoreCorruptError("a damaged page"))
    [(write, error)] = committing.answers
    assert write is bad
    assert isinstance(error, StoreCorruptError)
    await committing.answer()
    assert committing.answered() == [bad, good]


async def test_closing_waits_for_all_lanes() -> None:
    committing = Committing()
    await committing.submit(write_of(1))
    await committing.submit(write_of(2))
    draining = asyncio.ensure_future(committing.committer.drain(patience_seconds=60.0))
    await committing.answer()
    assert not draining.done()
    await committing.answer()
    await draining
    assert len(committing.answers) == 2


async def test_closing_does_not_wait_for_a_lane_that_does_not_answer() -> None:
    committing = Committing()
    await committing.submit(silent := write_of(1))
    await committing.submit(write_of(2))
    await committing.answer(1)
    await committing.committer.drain(patience_seconds=0.01)
    assert committing.under_way() == [[silent]]


async def test_whatever_happens_in_the_lanes_each_write_is_answered_once_and_lines_keep_their_order() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        committing = Committing(commits_at_once=chance.choice((1, 2, 3)))
        store, share, committed = committing.store, chance.choice((0.0, 0.2, 0.6)), list[Release]()

        async def answer(
            share: float, store: Told = store, chance: random.Random = chance, committed: list[Release] = committed
        ) -> None:
            if store.under_way:
                kind = chance.choice((StoreUnavailableError, StoreFullError, StoreCorruptError, TypeError))
                error = kind("flapping") if chance.random() < share else None
                writes = store.answer(chance.randrange(len(store.under_way)), error=error)
                committed += [write for write in writes if isinstance(write, Release) and error is None]
            await asyncio.sleep(0)

        for number in range(60):
            await committing.submit(write_of(chance.randrange(5), number), keep=chance.random() < 0.7)
            for _ in range(chance.choice((0, 1, 3))):
                await answer(share)
        async with asyncio.timeout(10):
            while len(committing.answers) < 60:
                await answer(0.0)
        applied = {write for write, outcome in committing.answers if isinstance(outcome, Applied)}
        assert len(committing.answers) == len(set(committing.answered())) == 60
        assert applied == set(committed)
        for run in range(5):
            numbers = [write.expected_sequence for write in committed if write.run_key == run]
            assert numbers == sorted(numbers)
        assert store.under_way == []
