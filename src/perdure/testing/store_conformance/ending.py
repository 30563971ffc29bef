"""Runs that are to be ended without their code: claimed by whoever comes, at their time."""
# ruff: noqa: D102 - a test's name is its sentence

from perdure.kernel.messages import CancelMessage, TerminateMessage
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, RunStatus
from perdure.ports.store import ClaimedRun
from perdure.testing.store_conformance.harness import (
    FAR,
    NEVER,
    START,
    Held,
    StoreHarness,
    StoreSession,
    code_of,
    creation,
    delivery,
    later,
    parking,
    parks,
    release,
    transition,
)


class EndingConformance:
    """`Release.end_at`, and the claims that follow from it."""

    async def test_a_run_past_its_deadline_is_claimed_by_a_worker_that_has_no_code_for_it(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run_key = await session.create(deadline_at=later(9))
        await session.create("without a deadline")
        assert await _next(session) == later(9)
        assert await _to_end(session, now=later(8)) == []
        [claimed] = await _claim(session, now=later(9))
        assert claimed.summary == await session.row(run_key)
        assert claimed.summary.owner == session.worker
        assert await _next(session) is None
        assert await _to_end(session) == []

    async def test_a_run_that_is_begun_by_its_creator_has_its_deadline_too(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        begins = creation(run.run_key, deadline_at=later(9))
        await session.advance(run, events=2, begins=begins)
        await session.commit_one(release(run))
        assert await _to_end(session, now=later(8)) == []
        assert await _to_end(session, now=later(9)) == ["run"]

    async def test_a_run_that_is_created_closed_is_not_to_be_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        begins = creation(run.run_key, deadline_at=later(9))
        await session.advance(run, events=2, begins=begins, status=RunStatus.COMPLETED)
        assert await _to_end(session) == []

    async def test_a_termination_makes_a_run_due_to_be_ended_at_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create()
        run_key = await session.create("other")
        await session.commit_one(delivery(run_key, message=TerminateMessage(), at=later(3)))
        assert await _next(session) == later(3)
        assert await _to_end(session) == ["other"]

    async def test_a_cancellation_makes_it_due_when_its_grace_ends_and_if_it_has_not_begun_at_once(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        runs = [await _begun(session, name) for name in ("with grace", "without")]
        for run, grace_until in zip(runs, (later(9), None), strict=True):
            await session.commit_one(delivery(run.run_key, message=CancelMessage(grace_until=grace_until), at=later(1)))
        assert await _next(session) == later(9)
        unbegun = await session.create("unbegun", wake_at=NEVER)
        await session.commit_one(delivery(unbegun, message=CancelMessage(), at=later(1)))
        assert await _to_end(session, now=later(8)) == ["unbegun"]
        assert await _to_end(session) == ["with grace"]

    async def test_a_cancellation_of_a_suspended_run_is_looked_at_at_once_since_it_may_not_have_begun(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, status=RunStatus.SUSPENDED)
        await session.commit_one(parks(run))
        await session.commit_one(delivery(run.run_key, message=CancelMessage(), at=later(1)))
        assert await _next(session) == later(1)

    async def test_others_hear_of_a_run_that_is_to_be_ended(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await _begun(session, "run")
        other.changes.clear()
        await session.commit_one(delivery(run.run_key, message=CancelMessage(grace_until=later(9))))
        await other.hear_of_ready()
        assert await _next(other) == later(9)

    async def test_a_run_that_somebody_owns_is_not_ended_by_others(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold(deadline_at=later(9))
        await other.commit_one(delivery(run.run_key, message=TerminateMessage()))
        assert await _next(other) is None
        assert await _to_end(other) == []

    async def test_what_came_for_an_owner_that_died_is_carried_out_by_others(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await session.advance(run, end_at=later(40))
        await other.commit_one(delivery(run.run_key, message=CancelMessage(grace_until=later(60))))
        await harness.kill(session)
        await other.store.free_expired(now=later(31))
        assert await _next(other) == later(40)
        [claimed] = await _claim(other)
        assert claimed.recovered

    async def test_a_transition_tells_of_an_end_unless_a_sooner_one_is_known(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for name, end_at, soonest in (("sooner", later(5), later(5)), ("later", later(50), later(9))):
            run = await session.hold(name, deadline_at=later(9))
            await session.advance(run, end_at=end_at)
            await session.commit_one(release(run))
            assert await _next(session) == soonest
            assert await _to_end(session) == [name]

    async def test_a_closed_run_is_not_to_be_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(deadline_at=later(9))
        await session.finish(run)
        assert await _next(session) is None
        assert await _to_end(session) == []

    async def test_who_gives_a_run_back_says_when_it_is_to_be_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(deadline_at=later(9))
        await session.commit_one(delivery(run.run_key, message=TerminateMessage()))
        [seen] = await session.inbox(run.run_key)
        await session.commit_one(release(run, wake_at=FAR, end_at=later(9), inbox_position=seen.position))
        assert await _next(session) == later(9)
        [claimed] = await _claim(session)
        run = Held.of(claimed)
        await session.commit_one(parks(run, tried_position=seen.position, inbox_position=seen.position))
        assert await _next(session) is None
        assert await _to_end(session) == []

    async def test_a_message_that_it_has_not_seen_keeps_the_sooner_moment(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for name, parked in (("released", False), ("parked", True)):
            run = await session.hold(name, deadline_at=later(9))
            await session.commit_one(delivery(run.run_key, message=TerminateMessage(), at=later(2)))
            write = parks(run, end_at=later(9)) if parked else release(run, end_at=later(9), inbox_position=0)
            await session.commit_one(write)
            assert await _next(session) == later(2)
            assert await _to_end(session) == [name]

    async def test_who_does_not_know_leaves_what_is_known_but_not_before_it_is_due(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(deadline_at=later(9))
        await session.commit_one(release(run, wake_at=later(3)))
        assert await _next(session) == later(9)
        [claimed] = await _claim(session, now=later(9))
        await session.commit_one(release(Held.of(claimed), wake_at=START, end_at=later(12)))
        assert await _next(session) == later(12)
        [claimed] = await _claim(session)
        await session.commit_one(parks(Held.of(claimed), inbox_position=None, end_at=later(11)))
        assert await _next(session) == later(12)

    async def test_who_does_not_know_leaves_a_run_that_nobody_ends_without_its_code_alone(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run, inbox_position=None, end_at=later(12)))
        assert await _next(session) is None

    async def test_a_parked_run_is_claimed_to_be_ended_whatever_code_has_tried_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run, end_at=later(9)))
        [claimed] = await session.store.claim(now=later(9), limit=1, workflows=frozenset(), code="a")
        assert claimed.parked == parking()

    async def test_a_run_that_is_due_and_to_be_ended_is_claimed_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("both", deadline_at=START)
        await session.create("unknown", workflow="unknown", deadline_at=START)
        claimed = await session.claim(limit=3)
        assert [run.summary.ref.id for run in claimed] == ["both", "unknown"]

    async def test_however_many_runs_are_due_or_to_be_ended_neither_keep_the_others_waiting(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        for number in range(4):
            await session.create(f"due {number}", wake_at=later(number))
            await session.create(f"ends {number}", workflow="unknown", deadline_at=later(number))
        claims = [[run.summary.ref.id for run in await session.claim(limit=limit)] for limit in (1, 3, 9)]
        assert claims == [
            ["ends 0"],
            ["ends 1", "ends 2", "due 0"],
            ["ends 3", "due 1", "due 2", "due 3"],
        ]

    async def test_a_termination_that_goes_on_to_the_next_generation_ends_that(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(delivery(run.run_key, message=TerminateMessage()))
        following = creation(session.store.new_run_key(), generation=2, wake_at=NEVER)
        moved = transition(
            run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key, at=later(4)
        )
        assert isinstance(await session.commit_one(moved), Applied)
        assert await _next(session) == later(4)
        [claimed] = await _claim(session)
        assert claimed.summary.run_key == following.run_key

    async def test_a_run_that_was_given_back_untouched_is_still_one_whose_owner_died(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(release(run, wake_at=START, recovered=True))
        [claimed] = await session.claim()
        assert claimed.recovered
        await session.commit_one(parks(Held.of(claimed), recovered=True))
        [claimed] = await session.store.claim(now=FAR, limit=1, workflows=code_of("order"), code="other")
        assert claimed.recovered
        await session.commit_one(release(Held.of(claimed), wake_at=START))
        [claimed] = await session.claim()
        assert not claimed.recovered


async def _begun(session: StoreSession, name: str) -> Held:
    """Begin a run and park it."""
    run = await session.hold(name)
    await session.advance(run)
    await session.commit_one(parks(run))
    return run


async def _claim(session: StoreSession, *, now: Timestamp = FAR) -> list[ClaimedRun]:
    """Claim as a worker without any code."""
    return await session.store.claim(now=now, limit=9, workflows=frozenset())


async def _to_end(session: StoreSession, *, now: Timestamp = FAR) -> list[str]:
    return [run.summary.ref.id for run in await _claim(session, now=now)]


async def _next(session: StoreSession) -> Timestamp | None:
    return await session.store.next_wake_at(workflows=frozenset())
