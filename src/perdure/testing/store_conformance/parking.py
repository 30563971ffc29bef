"""Parked runs: given back with a reason, and tried once by each code."""
# ruff: noqa: D102 - a test's name is its sentence

from perdure.kernel.messages import Message, ResumeMessage, TerminateMessage
from perdure.kernel.transition import Applied, Closed, Missing, Stale
from perdure.ports.store import RunQuery
from perdure.testing.store_conformance.harness import (
    FAR,
    START,
    Held,
    StoreHarness,
    StoreSession,
    code_of,
    delivery,
    later,
    parking,
    parks,
)


class ParkingConformance:
    """`Park`, and claims by code."""

    async def test_a_parked_run_is_nobodys_and_its_row_says_why(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run)
        assert await session.commit_one(parks(run)) == Applied(run.run_key)
        row = await session.row(run.run_key)
        assert (row.owner, row.wake_at, row.parked) == (None, None, parking())
        assert row.sequence == run.sequence
        assert await session.store.next_wake_at(workflows=code_of("order")) is None
        assert await session.claim() == []

    async def test_only_the_owner_parks_a_run_as_it_is(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        assert await other.commit_one(parks(run)) == Stale(run.run_key)
        await session.advance(run)
        run.sequence -= 1
        assert await session.commit_one(parks(run)) == Stale(run.run_key)
        assert (await session.row(run.run_key)).owner == session.worker

    async def test_code_that_has_not_tried_claims_a_parked_run_and_hears_how_it_was_parked(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run, tried=("a", "b")))
        assert await _claimed(session, "a") == []
        assert await _claimed(session, "b") == []
        [claimed] = await other.store.claim(now=FAR, limit=1, workflows=code_of("order"), code="c")
        assert claimed.parked == parking(tried=("a", "b"))
        assert not claimed.recovered
        assert claimed.summary.parked is None
        assert claimed.summary == await other.row(run.run_key)
        assert claimed.summary.fencing_token > run.fencing_token
        assert await _claimed(session, "d") == []

    async def test_a_claim_takes_parked_runs_of_its_versions_only_and_after_those_that_are_due(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        for run_id, workflow, version in (("one", "order", "1"), ("two", "order", "1"), ("new", "order", "2")):
            run_key = await session.create(run_id, workflow=workflow, version=version)
            [claimed] = await session.store.claim(now=FAR, limit=9, workflows=code_of("order", version=version))
            run = await session.row(run_key)
            assert claimed.summary == run
            held = Held.of(claimed)
            await session.commit_one(parks(held))
        await session.create("due", wake_at=later(5))
        assert await _claimed(session, "x", limit=2) == ["due", "one"]
        assert await _claimed(session, "x", limit=9) == ["two"]
        assert await _claimed(session, "x", limit=9, version="2") == ["new"]

    async def test_a_message_for_code_leaves_a_run_parked(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run))
        assert await session.commit_one(delivery(run.run_key, "news")) == Applied(run.run_key)
        assert await session.claim() == []
        assert await session.signals(run.run_key) == ["news"]

    async def test_a_termination_or_a_resumption_makes_a_parked_run_due_for_any_code(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        messages: tuple[Message, ...] = (TerminateMessage(), ResumeMessage())
        for number, message in enumerate(messages):
            run = await session.hold(f"run {number}")
            await session.commit_one(parks(run))
            await session.commit_one(delivery(run.ref, message=message, at=later(7)))
            assert await session.store.next_wake_at(workflows=code_of("order")) == later(7)
            assert await session.claim(now=later(6)) == []
            [claimed] = await session.claim(now=later(7))
            assert claimed.parked == parking()

    async def test_a_resumption_or_a_termination_that_came_while_a_run_was_tried_makes_it_due(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        for message in (ResumeMessage(), TerminateMessage()):
            run = await session.hold(type(message).__name__)
            await session.commit_one(delivery(run.run_key, "seen", message=message))
            [seen] = await session.inbox(run.run_key)
            write = parks(run, tried_position=seen.position)
            assert await session.commit_one(write) == Applied(run.run_key)
            assert (await session.row(run.run_key)).wake_at is None
            [claimed] = await session.store.claim(now=FAR, limit=1, workflows=code_of("order"), code="other")
            assert claimed.inbox_position == seen.position
            await session.commit_one(delivery(run.run_key, "news"))
            await session.commit_one(parks(Held.of(claimed), tried_position=seen.position, tried=("a", "other")))
            assert (await session.row(run.run_key)).wake_at is None
            [claimed] = await session.store.claim(now=FAR, limit=1, workflows=code_of("order"), code="third")
            await session.commit_one(delivery(run.run_key, "unseen", message=message))
            await session.commit_one(parks(Held.of(claimed), tried_position=claimed.inbox_position, now=later(3)))
            assert (await session.row(run.run_key)).wake_at == later(3)
            await session.claim()

    async def test_a_claim_tells_what_a_run_waited_for_so_that_it_can_be_given_back_as_it_was(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run, wake_at=later(5)))
        [claimed] = await session.claim()
        assert (claimed.due_at, claimed.inbox_position, claimed.parked) == (later(5), 0, parking())
        await session.commit_one(parks(Held.of(claimed)))
        [claimed] = await session.store.claim(now=FAR, limit=1, workflows=code_of("order"), code="other")
        assert claimed.due_at is None

    async def test_parked_runs_can_be_listed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("parked")
        await session.commit_one(parks(run))
        await session.create("not", wake_at=START)
        query = RunQuery(only_parked=True)
        page = await session.store.list_runs(query)
        assert [(row.ref.id, row.parked) for row in page.runs] == [("parked", parking())]
        assert await session.store.count_runs(query) == 1
        assert await session.store.count_runs(RunQuery(only_parked=True, namespace="other")) == 0

    async def test_others_hear_that_a_run_was_parked(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        other.changes.clear()
        await session.commit_one(parks(run))
        await other.hear_of_parked()

    async def test_a_park_of_a_run_that_is_not_there_is_refused(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        outcome = await session.commit_one(parks(run))
        assert not isinstance(outcome, Applied | Missing | Closed)


async def _claimed(session: StoreSession, code: str, *, limit: int = 9, version: str = "1") -> list[str]:
    claimed = await session.store.claim(now=FAR, limit=limit, workflows=code_of("order", version=version), code=code)
    return [run.summary.ref.id for run in claimed]
