"""Claims and releases: who runs what, and when."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

import asyncio

import msgspec

from perdure.kernel.identity import FencingToken
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, RunStatus, Stale
from perdure.ports.store import ClaimedRun
from perdure.testing.store_conformance.harness import (
    FAR,
    START,
    StoreHarness,
    code_of,
    creation,
    delivery,
    later,
    release,
    transition,
)


class ClaimingConformance:
    """`claim`, `next_wake_at` and `Release`."""

    async def test_a_claim_takes_a_due_run_and_raises_its_fencing_token(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run_key = await session.create(wake_at=later(5))
        before = await session.row(run_key)
        assert await session.claim(now=later(4)) == []
        (claimed,) = await session.claim(now=later(5))
        assert not claimed.recovered
        assert claimed.summary == await session.row(run_key)
        assert claimed.summary.fencing_token > before.fencing_token
        token = claimed.summary.fencing_token
        assert claimed.summary == msgspec.structs.replace(
            before, owner=session.worker, wake_at=None, fencing_token=token
        )

    async def test_the_fencing_token_grows_with_every_claim(self, harness: StoreHarness) -> None:
        sessions = [await harness.session("one"), await harness.session("two")]
        run_key = await sessions[0].create()
        tokens = []
        for number in range(6):
            session = sessions[number % 2]
            run = await session.take(run_key)
            tokens.append(run.fencing_token)
            await session.give_back(run, wake_at=START)
        assert tokens == sorted(set(tokens))

    async def test_claims_take_the_best_class_first_and_the_longest_due_within_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        dues = [
            (Priority.LOW, 1),
            (Priority.NORMAL, 9),
            (Priority.NORMAL, 3),
            (Priority.CRITICAL, 8),
            (Priority.HIGH, 2),
        ]
        for priority, due in dues:
            await session.create(f"{priority.name} {due}", priority=priority, wake_at=later(due))
        await session.create("not due", priority=Priority.CRITICAL, wake_at=later(11))
        first = await session.claim(now=later(10), limit=3)
        second = await session.claim(now=later(10), limit=3)
        assert _ids(first) == ["CRITICAL 8", "HIGH 2", "NORMAL 3"]
        assert _ids(second) == ["NORMAL 9", "LOW 1"]

    async def test_a_changed_priority_counts_at_the_next_claim(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("promoted", priority=Priority.BACKGROUND)
        await session.create("normal", priority=Priority.NORMAL, wake_at=START)
        await session.advance(run, priority=Priority.HIGH)
        await session.give_back(run, wake_at=later(1))
        assert _ids(await session.claim(now=later(1), limit=1)) == ["promoted"]

    async def test_a_claim_takes_at_most_its_limit(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.commit(*(creation(session.store.new_run_key(), str(n)) for n in range(7)))
        assert [len(await session.claim(limit=limit)) for limit in (0, 1, 4, 4, 4)] == [0, 1, 4, 2, 0]

    async def test_a_claim_takes_runs_of_its_workflows_only(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("an order", workflow="order", priority=Priority.LOW)
        await session.create("a report", workflow="report", priority=Priority.HIGH)
        claim = session.store.claim
        assert await claim(now=FAR, limit=10, workflows=frozenset()) == []
        assert await claim(now=FAR, limit=10, workflows=code_of("Order", "orders", "%")) == []
        assert _ids(await claim(now=FAR, limit=1, workflows=code_of("order", "x'y"))) == ["an order"]
        assert _ids(await claim(now=FAR, limit=1, workflows=code_of("order", "report"))) == ["a report"]

    async def test_a_claim_takes_runs_of_its_versions_only(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("old", version="1", wake_at=later(1))
        await session.create("new", version="2", wake_at=later(2))
        claim, wake = session.store.claim, session.store.next_wake_at
        newer = code_of("order", version="2")
        assert await claim(now=FAR, limit=10, workflows=code_of("order", version="10")) == []
        assert await claim(now=FAR, limit=10, workflows=code_of("report") | code_of("1", version="order")) == []
        assert await wake(workflows=newer) == later(2)
        assert await wake(workflows=newer | code_of("order")) == later(1)
        assert _ids(await claim(now=FAR, limit=10, workflows=newer)) == ["new"]
        assert await wake(workflows=newer) is None
        assert _ids(await claim(now=FAR, limit=10, workflows=newer | code_of("order"))) == ["old"]

    async def test_a_claim_is_not_bound_to_a_namespace(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create(namespace="here")
        await session.create(namespace="there")
        assert {claimed.summary.ref.namespace for claimed in await session.claim()} == {"here", "there"}

    async def test_an_owned_run_is_not_claimed_again_not_even_by_its_owner(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        await session.hold()
        assert await session.claim() == []
        assert await other.claim() == []

    async def test_no_run_is_claimed_by_two_sessions(self, harness: StoreHarness) -> None:
        sessions = [await harness.session(f"worker {n}") for n in range(3)]
        await sessions[0].commit(*(creation(sessions[0].store.new_run_key(), str(n)) for n in range(60)))
        claims = await asyncio.gather(*(session.claim(limit=7) for session in sessions for _ in range(4)))
        keys = [claimed.summary.run_key for claim in claims for claimed in claim]
        assert len(keys) == len(set(keys)) == 60
        owners = {claimed.summary.run_key: claimed.summary.owner for claim in claims for claimed in claim}
        for run_key, owner in owners.items():
            assert (await sessions[0].row(run_key)).owner == owner

    async def test_the_old_owners_writes_are_refused_after_another_has_claimed(self, harness: StoreHarness) -> None:
        session, other = await harness.session("old"), await harness.session("new")
        run = await session.hold()
        await session.give_back(run, wake_at=START)
        new = await other.take(run.run_key)
        assert await session.commit_one(transition(run)) == Stale(run.run_key)
        assert await session.commit_one(release(run)) == Stale(run.run_key)
        assert await session.commit_one(transition(run, status=RunStatus.COMPLETED)) == Stale(run.run_key)
        await other.advance(new)
        assert (await session.row(run.run_key)).owner == other.worker

    async def test_a_released_run_has_no_owner_and_comes_due_when_it_asked_to(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=later(10))
        row = await session.row(run.run_key)
        assert (row.owner, row.wake_at, row.sequence) == (None, later(10), 1)
        assert await other.claim(now=later(9)) == []
        (claimed,) = await other.claim(now=later(10))
        assert not claimed.recovered

    async def test_a_run_released_without_a_time_waits_for_a_message(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=None)
        assert (await session.row(run.run_key)).wake_at is None
        assert await session.claim() == []

    async def test_a_run_released_while_a_message_waits_is_due_at_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for number, wake_at in enumerate((None, later(100))):
            run = await session.hold(f"run {number}")
            await session.commit(delivery(run.run_key, at=later(3)))
            await session.give_back(run, wake_at=wake_at, now=later(4))
            assert len(await session.claim(now=later(4))) == 1

    async def test_a_message_and_a_release_in_one_batch_leave_the_run_due_in_either_order(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        one, two = await session.hold("one"), await session.hold("two")
        await session.commit(delivery(one.run_key), release(one), release(two), delivery(two.run_key))
        assert sorted(_ids(await session.claim(now=START))) == ["one", "two"]

    async def test_a_release_that_expects_another_sequence_or_token_is_stale(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        behind = msgspec.structs.replace(run)
        await session.advance(run)
        fenced = msgspec.structs.replace(run, fencing_token=FencingToken(run.fencing_token - 1))
        for old in (behind, fenced):
            assert await session.commit_one(release(old, wake_at=START)) == Stale(run.run_key)
        assert (await session.row(run.run_key)).owner == session.worker
        assert await session.claim() == []

    async def test_a_release_of_a_run_that_does_not_exist_is_stale(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        assert await session.commit_one(release(run)) == Stale(run.run_key)

    async def test_a_transition_and_the_release_after_it_go_in_one_batch(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        write = transition(run)
        run.sequence += 1
        outcomes = await session.commit(write, release(run, wake_at=later(7)))
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
        assert (await session.row(run.run_key)).wake_at == later(7)

    async def test_a_closed_run_is_not_due_again_by_a_release(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key))
        await session.finish(run)
        await session.commit(release(run, wake_at=START))
        row = await session.row(run.run_key)
        assert (row.owner, row.wake_at, row.status) == (None, None, RunStatus.COMPLETED)
        assert await session.claim() == []

    async def test_the_next_wake_is_the_earliest_of_runs_that_nobody_owns(self, harness: StoreHarness) -> None:
        session = await harness.session()
        wake = session.store.next_wake_at
        assert await wake(workflows=code_of("order", "report")) is None
        await session.create("late", wake_at=later(20))
        await session.create("early", wake_at=later(10), priority=Priority.BACKGROUND)
        await session.create("other", workflow="report", wake_at=later(5))
        assert await wake(workflows=code_of("order")) == later(10)
        assert await wake(workflows=code_of("order", "report")) == later(5)
        assert await wake(workflows=code_of("unknown")) is None
        assert await wake(workflows=frozenset()) is None
        await session.claim(now=later(10))
        assert await wake(workflows=code_of("order", "report")) == later(20)

    async def test_the_next_wake_may_be_past(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create(wake_at=later(-1000))
        assert await session.store.next_wake_at(workflows=code_of("order")) == later(-1000)

    async def test_runs_that_are_owned_closed_or_waiting_for_a_message_have_no_wake(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        closed, waiting = await session.hold("closed"), await session.hold("waiting")
        await session.finish(closed)
        await session.give_back(waiting, wake_at=None)
        await session.hold("owned")
        assert await session.store.next_wake_at(workflows=code_of("order")) is None


def _ids(claims: list[ClaimedRun]) -> list[str]:
    return [claimed.summary.ref.id for claimed in claims]
