"""Sessions: leases, deaths, recoveries, news, and what outlives them all."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus, Stale
from perdure.testing.store_conformance.harness import (
    LEASE_SECONDS,
    START,
    StoreHarness,
    StoreSession,
    creation,
    delivery,
    later,
    release,
    transition,
)

_LONG_AFTER = 10 * LEASE_SECONDS


class SessionsConformance:
    """`open`, `close`, `renew_lease`, `free_expired`, `on_changes`, `new_run_key`."""

    async def test_every_session_has_an_id_of_its_own(self, harness: StoreHarness) -> None:
        first, second = await harness.session(), await harness.session()
        await harness.end(first)
        third = await harness.session()
        assert len({first.worker, second.worker, third.worker}) == 3

    async def test_run_keys_are_never_given_twice(self, harness: StoreHarness) -> None:
        sessions = [await harness.session() for _ in range(3)]
        keys = [session.store.new_run_key() for _ in range(300) for session in sessions]
        await harness.end(sessions.pop())
        again = await harness.session()
        keys += [again.store.new_run_key() for _ in range(300)]
        assert len(set(keys)) == len(keys)

    async def test_all_data_outlives_all_sessions(self, harness: StoreHarness) -> None:
        first = await harness.session()
        run = await first.hold(labels={"a": "b"}, request_id="request")
        await first.advance(run, events=2)
        await first.commit(delivery(run.run_key, "waiting"))
        history = await first.store.read_history(run.run_key)
        await harness.end(first)
        second = await harness.session()
        assert await second.store.read_history(run.run_key) == history
        assert await second.signals(run.run_key) == ["waiting"]
        assert (await second.row(run.run_key)).labels == {"a": "b"}
        assert await second.create(request_id="request", generation=1) == run.run_key

    async def test_a_closing_session_gives_its_runs_back(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold("run")
        idle = await session.hold("idle")
        await session.give_back(idle, wake_at=None)
        closed = await session.hold("closed")
        await session.finish(closed)
        await harness.end(session)
        row = await other.row(run.run_key)
        assert row.owner is None
        (claimed,) = await other.claim()
        assert claimed.summary.run_key == run.run_key
        assert not claimed.recovered
        assert claimed.summary.fencing_token > run.fencing_token

    async def test_a_lease_that_is_renewed_keeps_its_runs(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        for step in range(1, 6):
            now = later(step * LEASE_SECONDS * 0.6)
            assert await session.store.renew_lease(now=now)
            assert await other.store.renew_lease(now=now)
            assert await other.store.free_expired(now=now) == 0
        await session.advance(run)
        assert await other.claim() == []

    async def test_the_runs_of_a_session_whose_lease_has_passed_are_given_back(self, harness: StoreHarness) -> None:
        session, other = await harness.session("slow"), await harness.session("quick")
        runs = [await session.hold(f"run {number}") for number in range(3)]
        await session.finish(runs.pop())
        now = later(_LONG_AFTER)
        await _keep(other, now)
        assert await other.store.free_expired(now=now) == 2
        assert await other.store.free_expired(now=now) == 0
        assert (await other.row(runs[0].run_key)).owner is None
        claims = await other.claim(now=now)
        assert sorted(claimed.summary.run_key for claimed in claims) == sorted(run.run_key for run in runs)
        assert all(claimed.recovered for claimed in claims)

    async def test_a_session_learns_from_its_renewal_that_its_lease_had_passed(self, harness: StoreHarness) -> None:
        session, other = await harness.session("slow"), await harness.session("quick")
        run = await session.hold()
        now = later(_LONG_AFTER)
        await _keep(other, now)
        assert await other.store.free_expired(now=now) == 1
        new = await other.take(run.run_key)
        assert not await session.store.renew_lease(now=now)
        for write in (transition(run), release(run, wake_at=START)):
            assert await session.commit_one(write) == Stale(run.run_key)
        await other.advance(new)

    async def test_a_lease_that_had_passed_unnoticed_by_others_is_lost_all_the_same(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("slow"), await harness.session("quick")
        run = await session.hold()
        now = later(_LONG_AFTER)
        assert not await session.store.renew_lease(now=now)
        await _keep(other, now)
        await other.store.free_expired(now=now)
        (claimed,) = await other.claim(now=now)
        assert claimed.summary.run_key == run.run_key
        assert await session.commit_one(transition(run)) == Stale(run.run_key)

    async def test_only_the_runs_of_the_session_that_is_gone_are_given_back(self, harness: StoreHarness) -> None:
        session, other = await harness.session("slow"), await harness.session("quick")
        lost = await session.hold("lost")
        kept = await other.hold("kept")
        now = later(_LONG_AFTER)
        await _keep(other, now)
        await other.store.free_expired(now=now)
        await other.advance(kept)
        assert (await other.row(lost.run_key)).owner is None

    async def test_the_runs_of_a_dead_session_are_given_back_before_its_lease_has_passed(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("dying"), await harness.session("living")
        run = await session.hold()
        await session.advance(run, events=2)
        await harness.kill(session)
        assert await other.claim() == []
        assert await other.store.free_expired(now=later(1)) == 1
        (claimed,) = await other.claim(now=later(1))
        assert (claimed.summary.run_key, claimed.recovered) == (run.run_key, True)
        assert claimed.summary.sequence == 3
        assert claimed.summary.fencing_token > run.fencing_token

    async def test_a_session_opened_after_all_others_have_died_takes_their_runs_over(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session("dying")
        run = await session.hold()
        await session.commit(delivery(run.run_key, "unread"))
        await harness.kill(session)
        following = await harness.session("following")
        await following.store.free_expired(now=later(1))
        (claimed,) = await following.claim(now=later(1))
        assert (claimed.summary.run_key, claimed.recovered) == (run.run_key, True)
        assert await following.signals(run.run_key) == ["unread"]

    async def test_a_recovery_is_told_once(self, harness: StoreHarness) -> None:
        session, other = await harness.session("dying"), await harness.session("living")
        run = await session.hold()
        await harness.kill(session)
        await other.store.free_expired(now=later(1))
        new = await other.take(run.run_key)
        await other.give_back(new, wake_at=START)
        (claimed,) = await other.claim()
        assert not claimed.recovered

    async def test_a_run_recovered_twice_says_so_twice(self, harness: StoreHarness) -> None:
        first, second, third = await harness.session("1"), await harness.session("2"), await harness.session("3")
        run = await first.hold()
        for dying, living in ((first, second), (second, third)):
            await harness.kill(dying)
            assert await living.store.free_expired(now=later(1)) == 1
            (claimed,) = await living.claim(now=later(1))
            assert (claimed.summary.run_key, claimed.recovered) == (run.run_key, True)

    async def test_a_run_that_was_released_before_its_owner_died_is_not_recovered(self, harness: StoreHarness) -> None:
        session, other = await harness.session("dying"), await harness.session("living")
        run = await session.hold()
        await session.give_back(run, wake_at=later(2))
        await harness.kill(session)
        assert await other.store.free_expired(now=later(1)) == 0
        assert await other.claim(now=later(1)) == []
        (claimed,) = await other.claim(now=later(2))
        assert not claimed.recovered

    async def test_a_closed_run_is_not_given_back_when_its_last_owner_dies(self, harness: StoreHarness) -> None:
        session, other = await harness.session("dying"), await harness.session("living")
        run = await session.hold()
        await session.finish(run, RunStatus.FAILED)
        await harness.kill(session)
        assert await other.store.free_expired(now=later(1)) == 0
        assert await other.claim() == []

    async def test_nobodys_runs_are_free_of_lease(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create()
        assert await session.store.free_expired(now=START) == 0

    async def test_no_session_takes_itself_for_alone_beside_another(self, harness: StoreHarness) -> None:
        first, second = await harness.session("first"), await harness.session("second")
        assert not first.store.is_alone()
        assert not second.store.is_alone()

    async def test_other_sessions_hear_of_a_message_for_a_run(self, harness: StoreHarness) -> None:
        session, client = await harness.session("owner"), await harness.session("client")
        run = await session.hold()
        session.changes.clear()
        await client.commit(delivery(RunRef(id="run")))
        await session.hear_of(run.run_key)

    async def test_other_sessions_hear_of_what_a_run_has_done(self, harness: StoreHarness) -> None:
        session, client = await harness.session("owner"), await harness.session("client")
        run = await session.hold()
        client.changes.clear()
        await session.finish(run)
        await client.hear_of(run.run_key)

    async def test_other_sessions_hear_of_a_message_that_a_transition_sends(self, harness: StoreHarness) -> None:
        sender, receiver = await harness.session("sender"), await harness.session("receiver")
        target = await receiver.hold("target")
        run = await sender.hold("run")
        receiver.changes.clear()
        await sender.advance(run, deliveries=[delivery(target.run_key)])
        await receiver.hear_of(target.run_key)

    async def test_other_sessions_hear_that_a_run_may_be_claimed(self, harness: StoreHarness) -> None:
        session, worker = await harness.session("client"), await harness.session("worker")
        await session.create()
        await worker.hear_of_ready()

    async def test_other_sessions_hear_of_the_runs_that_a_closing_session_gives_back(
        self, harness: StoreHarness
    ) -> None:
        session, worker = await harness.session("closing"), await harness.session("worker")
        await session.hold()
        worker.changes.clear()
        await harness.end(session)
        await worker.hear_of_ready()

    async def test_a_closed_session_hears_nothing_more(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        third = await harness.session()
        await harness.end(session)
        session.changes.clear()
        third.changes.clear()
        await other.commit(creation(other.store.new_run_key()))
        await third.hear_of_ready()
        assert session.changes == []


async def _keep(session: StoreSession, now: Timestamp) -> None:
    """Renew the lease of a session that has been alive all along, in steps that each fall within the one before."""
    step = later(0)
    while step < now:
        step = min(Timestamp(step + round(LEASE_SECONDS * 500_000)), now)
        assert await session.store.renew_lease(now=step)
