"""Runs that begin with a copied history, and runs that are taken from their owners to be ended."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

import msgspec

from perdure.kernel.events import SignalReceived
from perdure.kernel.identity import FencingToken, RunKey, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Creation, RunRow, RunStatus, Seizure, Stale
from perdure.testing.store_conformance.harness import (
    FAR,
    START,
    Held,
    StoreHarness,
    StoreSession,
    code_of,
    creation,
    delivery,
    event,
    later,
    parks,
    release,
    transition,
)


class RepairingConformance:
    """`Creation.copied`, `find_by_request`, `Seizure`."""

    async def test_a_run_that_begins_with_a_copy_stands_where_the_copy_ends(self, harness: StoreHarness) -> None:
        session = await harness.session()
        write = copied(session.store.new_run_key(), labels={"a": "b"})
        assert await session.commit_one(write) == Applied(write.run_key)
        assert await session.store.read_history(write.run_key) == [write.created, *write.copied]
        row = await session.row(write.run_key)
        assert (row.sequence, row.status, row.stage, row.progress) == (3, RunStatus.SUSPENDED, "packing", 0.5)
        assert (row.priority, row.labels, row.owner) == (Priority.LOW, {"a": "b"}, None)
        assert (row.created_at, row.started_at, row.updated_at) == (later(9), START, later(9))
        assert (row.closed_at, row.wake_at) == (None, later(9))

    async def test_a_run_that_begins_with_a_copy_is_claimed_and_advanced_like_any_other(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        write = copied(session.store.new_run_key())
        await session.commit_one(write)
        assert await session.claim(now=later(8)) == []
        run = await session.take(write.run_key)
        assert run.sequence == 3
        await session.advance(run, events=2)
        assert [recorded.sequence for recorded in await session.store.read_history(run.run_key)] == [1, 2, 3, 4, 5]

    async def test_a_copy_may_be_the_next_generation_of_a_run_that_ends_with_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "unread"))
        following = copied(session.store.new_run_key(), generation=2)
        await session.advance(run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
        assert (await session.row(following.run_key)).sequence == 3
        assert await session.signals(following.run_key) == ["unread"]

    async def test_a_run_does_not_end_for_a_successor_whose_request_was_made_before(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.create("other", request_id="made")
        await session.commit(delivery(run.run_key, "told", request_id="message"))
        for request_id in ("made", "message"):
            following = copied(session.store.new_run_key(), generation=2, request_id=request_id)
            write = transition(run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
            assert await session.commit_one(write) == Stale(run.run_key)
            assert await session.store.find(following.run_key) is None
        assert not (await session.row(run.run_key)).status.is_closed

    async def test_a_run_is_found_by_the_request_that_created_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        store = session.store
        run_key = await session.create(request_id="request")
        await session.create("other")
        found = await store.find_by_request("default", "request")
        assert found == await session.row(run_key)
        assert await store.find_by_request("default", "nothing") is None
        assert await store.find_by_request("elsewhere", "request") is None
        assert await store.find_by_request("default", "") is None

    async def test_a_seized_run_is_the_sessions_and_its_owner_is_fenced(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        assert await other.commit_one(seizure(run)) == Applied(run.run_key, other.worker)
        row = await other.row(run.run_key)
        assert (row.owner, row.fencing_token, row.sequence) == (other.worker, run.fencing_token + 1, run.sequence)
        for write in (transition(run), release(run), parks(run)):
            assert await session.commit_one(write) == Stale(run.run_key)
        await session.hear_of(run.run_key)
        await other.advance(seized(run, other), status=RunStatus.CONTINUED)

    async def test_who_seizes_a_run_that_was_his_before_goes_on_after_what_others_have_added(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await session.advance(run)
        await session.give_back(run, wake_at=START)
        its = await other.take(run.run_key)
        await other.advance(its, events=2)
        mine = seized(its, session)
        outcomes = await session.commit(seizure(its), transition(mine, status=RunStatus.TERMINATED))
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
        assert len(await session.store.read_history(run.run_key)) == mine.sequence + 1

    async def test_a_run_that_nobody_owns_is_seized_and_not_claimed_any_more(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run_key = await session.create()
        row = await session.row(run_key)
        write = Seizure(run_key=run_key, fencing_token=row.fencing_token)
        assert await session.commit_one(write) == Applied(run_key, session.worker)
        assert await session.claim() == []
        assert await session.store.next_wake_at(workflows=code_of("order")) is None

    async def test_a_parked_run_is_seized_and_no_code_tries_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit_one(parks(run))
        assert await session.commit_one(seizure(run)) == Applied(run.run_key, session.worker)
        assert (await session.row(run.run_key)).parked is None
        assert await session.store.claim(now=FAR, limit=9, workflows=code_of("order"), code="new") == []

    async def test_a_seizure_and_the_end_of_the_run_are_one_batch(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        mine = seized(run, other)
        following = copied(other.store.new_run_key(), generation=2)
        end = transition(mine, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
        outcomes = await other.commit(seizure(run), end)
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
        row = await other.row(run.run_key)
        assert (row.status, row.owner, row.wake_at) == (RunStatus.CONTINUED, None, None)
        assert [claimed.summary.run_key for claimed in await session.claim()] == [following.run_key]

    async def test_an_end_that_knows_too_little_is_refused_and_the_seizure_stands(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        mine = seized(run, other)
        await session.advance(run)
        outcomes = await other.commit(seizure(run), transition(mine, status=RunStatus.CONTINUED))
        assert outcomes == [Applied(run.run_key, other.worker), Stale(run.run_key)]
        mine.sequence += 1
        assert isinstance(await other.commit_one(release(mine, wake_at=START)), Applied)
        assert [claimed.summary.run_key for claimed in await session.claim()] == [run.run_key]

    async def test_a_run_that_was_claimed_since_or_has_ended_or_is_not_there_is_not_seized(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session()
        run_key = await session.create()
        before = (await session.row(run_key)).fencing_token
        run = await session.take(run_key)
        assert await other.commit_one(Seizure(run_key=run_key, fencing_token=before)) == Stale(run_key)
        await session.finish(run)
        assert await other.commit_one(seizure(run)) == Stale(run_key)
        missing = other.store.new_run_key()
        assert await other.commit_one(Seizure(run_key=missing, fencing_token=FencingToken(0))) == Stale(missing)

    async def test_what_a_session_has_seized_is_free_again_when_it_dies(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await other.commit_one(seizure(run))
        await harness.kill(other)
        assert await session.store.free_expired(now=later(1)) == 1
        [claimed] = await session.claim()
        assert (claimed.summary.run_key, claimed.recovered) == (run.run_key, True)


def copied(run_key: RunKey, run_id: str = "run", **options: object) -> Creation:
    """Return a run that begins with a copy of three events, made nine seconds after START."""
    write = creation(run_key, run_id, wake_at=later(9), **options)  # type: ignore[arg-type]
    row = RunRow(
        sequence=3,
        status=RunStatus.SUSPENDED,
        stage="packing",
        progress=0.5,
        priority=Priority.LOW,
        updated_at=later(9),
        started_at=START,
    )
    events = (event(2, at=later(1)), event(3, at=later(9), what=SignalReceived(name="forked")))
    return msgspec.structs.replace(write, priority=Priority.LOW, copied=events, row=row)


def seizure(run: Held) -> Seizure:
    """Return the seizure of a run, by whoever commits it."""
    return Seizure(run_key=run.run_key, fencing_token=run.fencing_token)


def seized(run: Held, session: StoreSession) -> Held:
    """Return a run as the session knows it that has seized it."""
    ref = RunRef(namespace=run.ref.namespace, id=run.ref.id, generation=run.ref.generation)
    return Held(
        run_key=run.run_key,
        ref=ref,
        owner=session.worker,
        fencing_token=FencingToken(run.fencing_token + 1),
        sequence=run.sequence,
    )
