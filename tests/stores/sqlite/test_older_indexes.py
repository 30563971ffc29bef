"""Indexes that are older than the rows, as after a write that the disk has lost: what the rows say counts."""

from pathlib import Path

from perdure.ports.store import RunQuery
from perdure.testing.store_conformance.harness import NEVER, code_of, later, parks
from tests.damaging import pages_of, read_page, write_page
from tests.stores.sqlite.test_unreadable import (
    asked,
    begun,
    claimed_by,
    distrust,
    path,
    session_on,
    unreadable_of,
)

__all__ = ["path"]


async def test_claims_take_only_what_is_nobodys_by_its_row_where_an_index_is_older(path: Path) -> None:
    """As after a write that the disk has lost: then it says that runs are due that are somebody's, or have ended."""
    async with session_on(path) as session:
        for number in range(6):
            await session.create(f"run {number}")
        [leaf] = pages_of(path, "runs_to_claim")
        before = read_page(path, leaf)
        held = await session.claim(limit=3)
        assert pages_of(path, "runs_to_claim") == [leaf]
        write_page(path, leaf, before)
        async with session_on(path) as other:
            assert await claimed_by(other) == 3
            assert unreadable_of(other).undue == {run.summary.run_key for run in held}
            assert unreadable_of(other).unclaimable == set()
            await session.store.close()
            unreadable_of(other).revise_soon()
            assert await claimed_by(other) == 3


async def test_one_claim_passes_as_many_as_an_older_index_names(path: Path) -> None:
    async with session_on(path) as session, session_on(path) as other:
        for number in range(300):
            await session.create(f"run {number:03}")
        leaves = pages_of(path, "runs_to_claim")
        before = [read_page(path, leaf) for leaf in leaves]
        assert len(await session.claim(limit=290)) == 290
        for leaf, page in zip(leaves, before, strict=True):
            write_page(path, leaf, page)
        distrust(other)
        claimed = await other.claim(limit=4)
        assert {run.summary.id for run in claimed} == {f"run {number}" for number in range(290, 294)}
        assert len(await other.claim()) == 6


async def test_a_run_that_only_an_older_index_says_to_be_ended_is_not_claimed_again_and_again(path: Path) -> None:
    async with session_on(path) as session:
        run_key = await session.create("sleeps", wake_at=NEVER, deadline_at=later(10))
        [leaf] = pages_of(path, "runs_to_end")
        before = read_page(path, leaf)
        asked(path, "UPDATE runs SET end_at = NULL")
        pages_of(path, "runs_to_end")
        write_page(path, leaf, before)
        distrust(session)
        for _ in range(2):
            assert await session.claim(now=later(60)) == []
        assert unreadable_of(session).undue == {run_key}
        assert (await session.row(run_key)).fencing_token == 0


async def test_a_parked_run_that_only_an_older_index_says_to_be_due_is_not_tried_again_and_again(path: Path) -> None:
    async with session_on(path) as session:
        run = await session.hold()
        [leaf] = pages_of(path, "runs_to_claim")
        await session.give_back(run, wake_at=later(1))
        pages_of(path, "runs_to_claim")
        before = read_page(path, leaf)
        run = await session.take(run.run_key)
        await session.commit(parks(run))
        pages_of(path, "runs_to_claim")
        write_page(path, leaf, before)
        distrust(session)
        for _ in range(2):
            assert await session.claim(now=later(60)) == []
        unreadable_of(session).revise_soon()
        [tried] = await session.store.claim(now=later(60), limit=9, workflows=code_of("order"), code="another")
        assert tried.parked is not None


async def test_after_the_clock_was_set_back_an_index_that_lacks_a_run_fails_no_claim_and_no_renewal(path: Path) -> None:
    async with session_on(path) as session:
        for number in range(5):
            await session.create(f"run {number}", wake_at=later(100))
        assert await session.store.renew_lease(now=later(1))
        asked(path, "UPDATE runs SET recovering = 1 WHERE id = 'run 3'")
        [leaf] = pages_of(path, "runs_to_claim")
        sound = read_page(path, leaf)
        asked(path, "UPDATE runs SET wake_at = wake_at + 1 WHERE id = 'run 3'")
        assert pages_of(path, "runs_to_claim") == [leaf]
        write_page(path, leaf, sound)
        distrust(session)
        set_back = later(-3_600)
        for _ in range(2):
            assert await session.store.renew_lease(now=set_back)
            assert await session.claim(now=set_back) == []


async def test_removed_runs_that_an_older_index_names_fail_no_list(path: Path) -> None:
    await begun(path, count=20)
    [leaf] = pages_of(path, "runs_by_status")
    before = read_page(path, leaf)
    asked(path, "DELETE FROM runs WHERE id IN ('run 003', 'run 004', 'run 017')")
    assert pages_of(path, "runs_by_status") == [leaf]
    write_page(path, leaf, before)
    async with session_on(path) as session:
        found = await session.store.list_runs(RunQuery(limit=10))
        assert len(found.runs) == 9
        rest = await session.store.list_runs(RunQuery(limit=10, cursor=found.next_cursor))
        assert (len(rest.runs), rest.next_cursor) == (8, "")


async def test_giving_back_ends_where_an_index_gives_a_session_what_it_has_not_by_the_rows(path: Path) -> None:
    """And gives back what lies behind."""
    async with session_on(path) as session:
        for number in range(6):
            await session.create(f"run {number}")
        assert len(await session.claim()) == 6
        [leaf] = pages_of(path, "runs_by_owner")
        before = read_page(path, leaf)
        asked(path, "UPDATE runs SET owner = NULL, wake_at = 1 WHERE id IN ('run 0', 'run 4')")
        assert pages_of(path, "runs_by_owner") == [leaf]
        write_page(path, leaf, before)
        distrust(session)
        assert not await session.store.renew_lease(now=later(60))
        assert len(unreadable_of(session).unowned) == 2
        assert unreadable_of(session).unclaimable == set()
        assert await claimed_by(session, now=later(60)) == 6
