"""Locks: the lines of keys, changed within transitions, and who hears of it."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

import itertools
from typing import Final

from perdure.kernel.identity import DEFAULT_NAMESPACE, Operation
from perdure.kernel.locking import LockRelease, LockRequest, LockWait
from perdure.kernel.messages import LockDeniedMessage, LockGrantedMessage, Message
from perdure.kernel.transition import Applied, RunStatus, Stale
from perdure.ports.store import LockQuery
from perdure.testing.store_conformance.harness import (
    Held,
    StoreHarness,
    StoreSession,
    creation,
    later,
    parks,
    release,
    transition,
)

_operations: Final = itertools.count(100)


def asks(
    key: str = "k", *, operation: int = 1, limit: int | None = 1, within: tuple[int, ...] = (), waits: bool = True
) -> LockRequest:
    """Return a request for a lock."""
    holding = tuple(Operation(one) for one in within)
    return LockRequest(operation=Operation(operation), key=key, limit=limit, holding=holding, waits=waits)


def gives_back(operation: int = 1) -> LockRelease:
    """Return the release of a lock."""
    return LockRelease(operation=Operation(operation))


async def line(session: StoreSession, key: str | None = "k", *, namespace: str = DEFAULT_NAMESPACE) -> list[str]:
    """Return who stands in the line of a key: the ids of runs, with a star where they hold it."""
    entries = await session.store.list_locks(LockQuery(namespace=namespace, key=key))
    return [f"{entry.run.id}{'*' if entry.is_held else ''}" for entry in entries]


async def news(session: StoreSession, run: Held) -> list[Message]:
    """Return what a run's inbox holds."""
    return [entry.message for entry in await session.inbox(run.run_key)]


def granted(token: int, *, operation: int = 1) -> LockGrantedMessage:
    """Return what a run is told that gets a lock."""
    return LockGrantedMessage(operation=Operation(operation), token=token)


class LockingConformance:
    """`Transition.locks`."""

    async def test_a_lock_that_nobody_holds_is_given_at_once_by_a_message(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("a")
        outcome = await session.commit_one(transition(run, locks=[asks()], at=later(3)))
        assert outcome == Applied(run.run_key, session.worker, (run.run_key,))
        (entry,) = await session.store.list_locks(LockQuery())
        assert (entry.key, entry.run_key, entry.run, entry.operation, entry.limit) == ("k", run.run_key, run.ref, 1, 1)
        assert (entry.requested_at, entry.granted_at) == (later(3), later(3))
        assert await news(session, run) == [granted(entry.position)]

    async def test_a_lock_that_is_held_is_waited_for_and_given_by_the_release(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks()])
        assert await session.commit_one(transition(two, locks=[asks()])) == Applied(two.run_key, session.worker)
        assert await line(session) == ["a*", "b"]
        assert await news(session, two) == []
        outcome = await session.commit_one(transition(one, locks=[gives_back()]))
        assert outcome == Applied(one.run_key, session.worker, (two.run_key,))
        assert await line(session) == ["b*"]
        assert [type(message) for message in await news(session, two)] == [LockGrantedMessage]

    async def test_a_lock_is_given_in_the_order_of_the_requests_with_growing_tokens(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        runs = [await session.hold(name) for name in "dacb"]
        for run in runs:
            await session.advance(run, locks=[asks()])
        tokens = []
        for number, run in enumerate(runs):
            assert await line(session) == [f"{run.ref.id}*", *(left.ref.id for left in runs[number + 1 :])]
            (message,) = await news(session, run)
            assert isinstance(message, LockGrantedMessage)
            tokens.append(message.token)
            await session.advance(run, locks=[gives_back()])
        assert tokens == sorted(set(tokens))
        assert await line(session) == []
        await session.advance(runs[0], locks=[asks(operation=2)])
        (_, last) = await news(session, runs[0])
        assert isinstance(last, LockGrantedMessage)
        assert last.token > tokens[-1]

    async def test_who_does_not_want_to_wait_gets_a_free_lock_and_is_refused_one_that_is_not(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks(waits=False)])
        assert await line(session) == ["a*"]
        outcome = await session.commit_one(transition(two, locks=[asks(waits=False)]))
        assert outcome == Applied(two.run_key, session.worker, (two.run_key,))
        assert await line(session) == ["a*"]
        assert await news(session, two) == [LockDeniedMessage(operation=Operation(1), cycle=())]

    async def test_those_that_share_a_lock_hold_it_together_but_not_past_one_that_wants_it_alone(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        readers, writer = [await session.hold(name) for name in "abc"], await session.hold("w")
        await session.advance(readers[0], locks=[asks(limit=None)])
        await session.advance(readers[1], locks=[asks(limit=None)])
        await session.advance(writer, locks=[asks()])
        await session.advance(readers[2], locks=[asks(limit=None)])
        assert await line(session) == ["a*", "b*", "w", "c"]
        await session.advance(readers[0], locks=[gives_back()])
        assert await line(session) == ["b*", "w", "c"]
        await session.advance(readers[1], locks=[gives_back()])
        assert await line(session) == ["w*", "c"]
        await session.advance(writer, locks=[gives_back()])
        assert await line(session) == ["c*"]

    async def test_a_semaphore_has_as_many_holders_as_its_strictest_one_allows(self, harness: StoreHarness) -> None:
        session = await harness.session()
        runs = [await session.hold(name) for name in "abcde"]
        for run, limit in zip(runs, (3, 3, 2, 3, None), strict=True):
            await session.advance(run, locks=[asks(limit=limit)])
        assert await line(session) == ["a*", "b*", "c", "d", "e"]
        await session.advance(runs[0], locks=[gives_back()])
        assert await line(session) == ["b*", "c*", "d", "e"]
        await session.advance(runs[2], locks=[gives_back()])
        assert await line(session) == ["b*", "d*", "e*"]

    async def test_a_request_that_is_withdrawn_lets_those_behind_it_in(self, harness: StoreHarness) -> None:
        session = await harness.session()
        reader, writer, other = [await session.hold(name) for name in ("a", "w", "b")]
        await session.advance(reader, locks=[asks(limit=None)])
        await session.advance(writer, locks=[asks()])
        await session.advance(other, locks=[asks(limit=None)])
        outcome = await session.commit_one(transition(writer, locks=[gives_back()]))
        assert outcome == Applied(writer.run_key, session.worker, (other.run_key,))
        assert await line(session) == ["a*", "b*"]

    async def test_what_a_run_gives_back_as_it_ends_goes_to_the_next_and_it_hears_nothing_more(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks()])
        await session.advance(two, locks=[asks()])
        ending = transition(
            one,
            locks=[asks("other", operation=2), gives_back(), gives_back(2)],
            status=RunStatus.TERMINATED,
        )
        assert await session.commit_one(ending) == Applied(one.run_key, None, (two.run_key,))
        assert await line(session, None) == ["b*"]
        assert [type(message) for message in await news(session, one)] == [LockGrantedMessage]

    async def test_a_run_that_nobody_owns_is_woken_by_its_lock(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks()])
        await session.advance(two, locks=[asks()])
        await session.give_back(two)
        assert await session.claim(now=later(1)) == []
        await session.advance(one, locks=[gives_back()], at=later(5))
        assert await session.claim(now=later(4)) == []
        assert [claimed.summary.run_key for claimed in await session.claim(now=later(5))] == [two.run_key]

    async def test_a_run_that_is_released_in_the_batch_that_gives_it_its_lock_is_due(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks()])
        await session.advance(two, locks=[asks()])
        await session.commit(transition(one, locks=[gives_back()]), release(two, now=later(1)))
        assert [claimed.summary.run_key for claimed in await session.claim(now=later(1))] == [two.run_key]

    async def test_a_parked_run_keeps_its_lock_and_is_not_woken_by_another(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks()])
        await session.advance(two, locks=[asks()])
        await session.commit_one(parks(two))
        await session.advance(one, locks=[gives_back()])
        assert await session.claim() == []
        assert await line(session) == ["b*"]
        assert [type(message) for message in await news(session, two)] == [LockGrantedMessage]

    async def test_another_process_hears_of_the_lock_that_its_run_gets(self, harness: StoreHarness) -> None:
        here, there = await harness.session("here"), await harness.session("there")
        one, two = await here.hold("a"), await there.hold("b")
        await here.advance(one, locks=[asks()])
        await there.advance(two, locks=[asks()])
        there.changes.clear()
        await here.advance(one, locks=[gives_back()])
        await there.hear_of(two.run_key)

    async def test_a_lock_outlives_the_process_that_ran_its_holder(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold("a")
        await session.advance(run, locks=[asks()])
        await harness.kill(session)
        await other.store.free_expired(now=later(1))
        assert await line(other) == ["a*"]
        taken = await other.take(run.run_key)
        await other.advance(taken, locks=[gives_back()])
        assert await line(other) == []

    async def test_a_transition_that_is_refused_changes_no_lock(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("a")
        stale = transition(run, locks=[asks(operation=2)])
        await session.advance(run, locks=[asks()])
        assert await session.commit_one(stale) == Stale(run.run_key)
        assert await line(session) == ["a*"]

    async def test_a_run_may_ask_in_the_transition_that_creates_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session, "a")
        begins = creation(run.run_key, "a")
        outcome = await session.commit_one(transition(run, begins=begins, locks=[asks()]))
        assert outcome == Applied(run.run_key, session.worker, (run.run_key,))
        assert await line(session) == ["a*"]

    async def test_the_writes_of_one_batch_change_a_line_in_their_order(self, harness: StoreHarness) -> None:
        session = await harness.session()
        runs = [await session.hold(name) for name in "abc"]
        outcomes = await session.commit(*(transition(run, locks=[asks()]) for run in runs))
        assert outcomes == [
            Applied(runs[0].run_key, session.worker, (runs[0].run_key,)),
            Applied(runs[1].run_key, session.worker),
            Applied(runs[2].run_key, session.worker),
        ]
        assert await line(session) == ["a*", "b", "c"]

    async def test_a_release_of_what_is_in_no_line_changes_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold("a"), await session.hold("b")
        await session.advance(other, locks=[asks()])
        outcome = await session.commit_one(transition(run, locks=[gives_back()]))
        assert outcome == Applied(run.run_key, session.worker)
        assert await line(session) == ["b*"]

    async def test_keys_of_namespaces_are_apart(self, harness: StoreHarness) -> None:
        session = await harness.session()
        here, there = await session.hold("a"), await session.hold("a", namespace="elsewhere")
        await session.advance(here, locks=[asks()])
        await session.advance(there, locks=[asks()])
        assert await line(session) == ["a*"]
        assert await line(session, namespace="elsewhere") == ["a*"]

    async def test_a_wait_that_closes_a_circle_is_refused_with_the_circle(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks("x")])
        await session.advance(two, locks=[asks("y")])
        await session.advance(one, locks=[asks("y", operation=2, within=(1,))])
        outcome = await session.commit_one(transition(two, locks=[asks("x", operation=2, within=(1,))]))
        assert outcome == Applied(two.run_key, session.worker, (two.run_key,))
        assert await line(session, None) == ["a*", "b*", "a"]
        circle = (LockWait(run=two.ref, key="x"), LockWait(run=one.ref, key="y"))
        assert (await news(session, two))[-1] == LockDeniedMessage(operation=Operation(2), cycle=circle)

    async def test_a_run_that_asks_for_its_own_lock_within_it_is_refused(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("a")
        await session.advance(run, locks=[asks(), asks(operation=2, within=(1,))])
        circle = (LockWait(run=run.ref, key="k"),)
        assert (await news(session, run))[-1] == LockDeniedMessage(operation=Operation(2), cycle=circle)
        assert await line(session) == ["a*"]

    async def test_waits_that_are_in_no_lock_of_their_run_are_no_circle(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("a"), await session.hold("b")
        await session.advance(one, locks=[asks("x")])
        await session.advance(two, locks=[asks("y")])
        await session.advance(one, locks=[asks("y", operation=2)])
        await session.advance(two, locks=[asks("x", operation=2, within=(1,))])
        assert await line(session, None) == ["a*", "b*", "a", "b"]

    async def test_a_circle_over_several_runs_and_through_a_line_is_found(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two, three = [await session.hold(name) for name in "abc"]
        await session.advance(one, locks=[asks("x")])
        await session.advance(two, locks=[asks("y", limit=None)])
        await session.advance(three, locks=[asks("y", operation=1), asks("z", operation=2)])
        await session.advance(two, locks=[asks("x", operation=2, within=(1,))])
        await session.advance(one, locks=[asks("y", operation=2, limit=None, within=(1,))])
        denied = (await news(session, one))[-1]
        assert isinstance(denied, LockDeniedMessage)
        assert [(wait.run.id, wait.key) for wait in denied.cycle] == [("a", "y"), ("c", "y"), ("b", "x")]

    async def test_lines_are_listed_page_by_page_in_the_order_of_the_requests(self, harness: StoreHarness) -> None:
        session = await harness.session()
        runs = [await session.hold(name) for name in "abc"]
        for key, run in itertools.product("xy", runs):
            await session.advance(run, locks=[asks(key, operation=next(_operations), limit=None)])
        everything = await session.store.list_locks(LockQuery())
        assert [(entry.key, entry.run.id) for entry in everything] == list(itertools.product("xy", "abc"))
        rest = await session.store.list_locks(LockQuery(after=everything[1].position, limit=3))
        assert rest == everything[2:5]
        of_run = await session.store.list_locks(LockQuery(run_key=runs[1].run_key))
        assert [(entry.key, entry.run.id) for entry in of_run] == [("x", "b"), ("y", "b")]
        assert await session.store.list_locks(LockQuery(namespace="elsewhere")) == []
