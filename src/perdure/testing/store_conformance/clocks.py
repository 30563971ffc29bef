"""Clocks that are set back: nothing that was due, and no lease, waits until they have caught up."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

from perdure.kernel.messages import TerminateMessage
from perdure.testing.store_conformance.harness import LEASE_SECONDS, START, StoreHarness, delivery, later


class ClocksConformance:
    """`claim`, `renew_lease` and `free_expired`, where `now` goes back."""

    async def test_what_was_due_before_the_clock_was_set_back_is_claimed_at_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        written = await session.hold("written")
        assert await session.store.renew_lease(now=later(20))
        await session.advance(written, at=later(25))
        await session.give_back(written, wake_at=later(25))
        told, later_on = [await session.create(name, wake_at=later(3_000)) for name in ("told", "later on")]
        await session.commit(delivery(told, "told", at=later(25)))
        claimed = await session.claim(now=later(1))
        assert {one.summary.run_key for one in claimed} == {written.run_key, told}
        assert [one.summary.run_key for one in await session.claim(now=later(3_000))] == [later_on]

    async def test_a_run_without_code_that_was_terminated_before_is_ended_at_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.store.renew_lease(now=later(20))
        terminated, _ = [await session.create(name, wake_at=later(3_000)) for name in ("terminated", "later on")]
        await session.commit(delivery(terminated, "end", at=later(25), message=TerminateMessage(reason="enough")))
        claimed = await session.store.claim(now=later(1), limit=9, workflows=frozenset())
        assert [one.summary.run_key for one in claimed] == [terminated]

    async def test_a_clock_that_goes_on_hastens_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create(wake_at=later(25))
        for seconds in (1, 5, 9):
            assert await session.store.renew_lease(now=later(seconds))
            assert await session.claim(now=later(seconds)) == []

    async def test_a_lease_lasts_no_longer_than_a_lease_after_the_clock_was_set_back(
        self, harness: StoreHarness
    ) -> None:
        hung, other = await harness.session("hung"), await harness.session("other")
        run = await hung.hold()
        for seconds in (20, 40, 60):
            assert await hung.store.renew_lease(now=later(seconds))
            assert await other.store.renew_lease(now=later(seconds))
        assert await other.store.renew_lease(now=START)
        assert await other.store.renew_lease(now=later(LEASE_SECONDS - 1))
        assert await other.store.free_expired(now=later(LEASE_SECONDS - 1)) == 0
        assert await other.store.free_expired(now=later(LEASE_SECONDS)) == 1
        (claimed,) = await other.claim(now=later(LEASE_SECONDS))
        assert claimed.summary.run_key == run.run_key

    async def test_what_was_decided_before_and_comes_after_that_waits_for_no_more_than_a_renewal(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        assert await session.store.renew_lease(now=later(20))
        late = await session.create("late", wake_at=later(3_000))
        assert await session.claim(now=later(1)) == []
        await session.commit(delivery(late, "late", at=later(25)))
        assert await session.store.renew_lease(now=later(2))
        assert [one.summary.run_key for one in await session.claim(now=later(2))] == [late]

    async def test_a_clock_that_is_set_back_twice_is_heeded_as_long_each_time(self, harness: StoreHarness) -> None:
        session = await harness.session()
        late = await session.create("late", wake_at=later(3_000))
        for seconds in (20, 10, 25, 50, 70, 80):
            assert await session.store.renew_lease(now=later(seconds))
        assert await session.store.renew_lease(now=later(60)), "later than a lease after it was set back first"
        await session.commit(delivery(late, "late", at=later(80)))
        assert await session.store.renew_lease(now=later(61))
        assert [one.summary.run_key for one in await session.claim(now=later(61))] == [late]

    async def test_each_lease_is_shortened_to_its_own_length(self, harness: StoreHarness) -> None:
        long, short = await harness.session("long", lease_seconds=60), await harness.session("short", lease_seconds=10)
        run = await long.hold()
        for seconds in (8, 16, 20):
            assert await long.store.renew_lease(now=later(seconds))
            assert await short.store.renew_lease(now=later(seconds))
        for seconds in (0, 9, 18, 27, 36, 45, 54):
            assert await short.store.renew_lease(now=later(seconds))
            assert await short.store.free_expired(now=later(seconds)) == 0, "the other lease is longer than its own"
        assert await short.store.free_expired(now=later(60)) == 1
        (claimed,) = await short.claim(now=later(60))
        assert claimed.summary.run_key == run.run_key

    async def test_a_short_lease_is_shortened_by_whoever_has_a_longer_one(self, harness: StoreHarness) -> None:
        short, long = await harness.session("short", lease_seconds=10), await harness.session("long", lease_seconds=60)
        await short.hold()
        for seconds in (8, 16, 20):
            assert await short.store.renew_lease(now=later(seconds))
            assert await long.store.renew_lease(now=later(seconds))
        assert await long.store.renew_lease(now=START)
        assert await long.store.free_expired(now=later(9)) == 0
        assert await long.store.free_expired(now=later(10)) == 1

    async def test_a_call_that_comes_late_cuts_no_lease(self, harness: StoreHarness) -> None:
        slow, owner = await harness.session("slow"), await harness.session("owner")
        await owner.hold()
        assert await slow.store.renew_lease(now=START)
        assert await owner.store.renew_lease(now=later(20))
        assert await slow.claim(now=later(1)) == [], "it looked at the clock after its renewal, and stood still then"
        assert await slow.store.free_expired(now=later(LEASE_SECONDS + 1)) == 0
        assert await owner.store.renew_lease(now=later(LEASE_SECONDS + 1))

    async def test_calls_that_come_late_one_after_another_cut_no_lease(self, harness: StoreHarness) -> None:
        slow, slower, owner = [await harness.session(name) for name in ("slow", "slower", "owner")]
        await owner.hold()
        for session in (slow, slower):
            assert await session.store.renew_lease(now=START)
        assert await owner.store.renew_lease(now=later(20))
        assert await slow.claim(now=later(1)) == []
        assert await slow.store.renew_lease(now=later(2)), "its machine stood still, so that both come late"
        assert await slower.store.renew_lease(now=later(3)), "as did that of another"
        assert await slow.store.free_expired(now=later(LEASE_SECONDS + 3)) == 0
        assert await owner.store.renew_lease(now=later(LEASE_SECONDS + 4))

    async def test_who_has_begun_since_the_clock_was_set_back_cuts_leases_with_its_first_renewal(
        self, harness: StoreHarness
    ) -> None:
        hung = await harness.session("hung")
        run = await hung.hold()
        for seconds in (20, 40, 60):
            assert await hung.store.renew_lease(now=later(seconds))
        new = await harness.session("new")
        for seconds in (0, 10, 20):
            assert await new.store.renew_lease(now=later(seconds))
        assert await new.store.free_expired(now=later(LEASE_SECONDS - 1)) == 0
        assert await new.store.free_expired(now=later(LEASE_SECONDS)) == 1
        (claimed,) = await new.claim(now=later(LEASE_SECONDS))
        assert claimed.summary.run_key == run.run_key

    async def test_a_run_that_has_lived_in_the_future_is_due_when_its_session_closes(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("one"), await harness.session("other")
        run = await session.hold()
        await session.advance(run, at=later(20))
        await harness.end(session)
        (claimed,) = await other.claim(now=START)
        assert claimed.summary.run_key == run.run_key
