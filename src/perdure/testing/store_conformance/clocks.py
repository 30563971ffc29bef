"""Clocks that are set back: nothing that was due, and no lease, waits until they have caught up."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

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

    async def test_a_run_that_has_lived_in_the_future_is_due_when_its_session_closes(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("one"), await harness.session("other")
        run = await session.hold()
        await session.advance(run, at=later(20))
        await harness.end(session)
        (claimed,) = await other.claim(now=START)
        assert claimed.summary.run_key == run.run_key
