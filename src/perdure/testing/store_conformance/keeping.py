"""Runs as wholes: read, brought into a store, removed from it."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from collections.abc import Sequence

import msgspec

from perdure.kernel.events import RunForked
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.locking import LockRequest
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Closed, Exists, Missing, RunStatus
from perdure.ports.keeping import FOREIGN_KEYS, REMOVED_ROWS, ClosedQuery, WholeRun
from perdure.ports.store import InboxEntry, RunQuery, RunSummary
from perdure.testing.store_conformance.harness import (
    FAR,
    Held,
    StoreHarness,
    StoreSession,
    creation,
    delivery,
    later,
    parks,
    transition,
)

RUN = RunRef(id="run")
LOCK = LockRequest(operation=Operation(1), key="k", limit=1)


async def _lived(session: StoreSession, run_id: str = "run", **options: object) -> Held:
    """Let a run live, with a bit of everything, and end."""
    run = await session.hold(run_id, labels={"a": "1"}, request_id=f"start {run_id}", **options)
    await session.commit(delivery(run.run_key, "left over", request_id=f"message to {run_id}"))
    await session.advance(run, events=2, status=RunStatus.COMPLETED, at=later(10))
    return run


async def _whole(session: StoreSession, run_key: RunKey) -> WholeRun:
    found = await session.store.read_whole(run_key, decrypts=True)
    assert found is not None
    return found


def _plain(run: WholeRun) -> WholeRun:
    """Return a run without what a store gives anew: the positions of its inbox."""
    entries = tuple(
        InboxEntry(position=0, message=entry.message, message_id=entry.message_id, at=entry.at) for entry in run.inbox
    )
    return msgspec.structs.replace(run, inbox=entries)


async def _closed(session: StoreSession, **conditions: object) -> list[RunKey]:
    return [summary.run_key for summary in await _page(session, **conditions)]


async def _continued(session: StoreSession, run: Held) -> Held:
    """Let a run go on as its next generation, and hold that."""
    following = creation(session.store.new_run_key(), run.ref.id, generation=run.ref.generation + 1, at=later(20))
    await session.advance(run, status=RunStatus.CONTINUED, at=later(20), creations=[following])
    return await session.take(following.run_key)


class KeepingConformance:
    """`RunStore.read_whole`, `bring_in`, `origins_of`, `list_closed`, `unremovable` and `remove_runs`."""

    # --- to read and to bring in -----------------------------------------------------------------------------------

    async def test_a_run_that_was_removed_comes_back_as_it_was(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await _lived(session, tenant="t")
        before = await _whole(session, run.run_key)
        assert (before.request_id, before.requests) == ("start run", ("message to run",))
        assert [recorded.sequence for recorded in before.history] == [1, 2, 3]
        assert [entry.message_id for entry in before.inbox] == ["left over"]
        assert await session.store.remove_runs([run.run_key]) == [run.run_key]
        assert await session.store.read_whole(run.run_key) is None
        assert await session.store.bring_in(before, sealed_as=run.run_key) == Applied(run.run_key)
        assert _plain(await _whole(session, run.run_key)) == _plain(before)
        assert await session.commit_one(delivery(RUN, request_id="message to run")) == Applied(run.run_key)
        found = await session.store.find_by_request("default", "start run")
        assert found is not None
        assert found.run_key == run.run_key
        labelled = await session.store.list_runs(RunQuery(labels={"a": "1"}))
        assert [summary.run_key for summary in labelled.runs] == [run.run_key]

    async def test_an_open_run_that_is_brought_in_belongs_to_nobody_and_goes_on(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "first"), delivery(run.run_key, "second"))
        parked = parks(run, end_at=later(500), wake_at=later(400))
        assert await session.commit_one(parked) == Applied(run.run_key)
        whole = await _whole(session, run.run_key)
        assert (whole.end_at, whole.summary.wake_at) == (later(500), later(400))
        ref = RunRef(id="elsewhere")
        moved = msgspec.structs.replace(
            whole, summary=msgspec.structs.replace(whole.summary, run_key=session.store.new_run_key(), ref=ref)
        )
        assert await session.store.bring_in(moved, sealed_as=run.run_key) == Applied(moved.summary.run_key)
        assert _plain(await _whole(session, moved.summary.run_key)) == _plain(moved)
        assert await session.signals(moved.summary.run_key) == ["first", "second"]
        claims = await session.store.claim(now=later(400), limit=9, workflows=frozenset())
        assert claims == []
        claimed = {one.summary.run_key for one in await session.claim(now=later(500))}
        assert claimed == {run.run_key, moved.summary.run_key}

    async def test_what_is_there_already_is_not_brought_in_again(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await _lived(session)
        whole = await _whole(session, run.run_key)
        assert await session.store.bring_in(whole, sealed_as=run.run_key) == Exists(run.run_key)
        for change in (
            {"ref": RunRef(id="other")},  # the key is taken
            {"run_key": session.store.new_run_key()},  # the id is taken
            {"run_key": session.store.new_run_key(), "ref": RunRef(id="other")},  # the start's request is taken
        ):
            other = msgspec.structs.replace(whole, summary=msgspec.structs.replace(whole.summary, **change))
            assert await session.store.bring_in(other, sealed_as=run.run_key) == Exists(run.run_key)
        assert await session.store.count_runs(RunQuery()) == 1
        assert _plain(await _whole(session, run.run_key)) == _plain(whole)

    async def test_a_generation_is_brought_in_only_in_its_place_in_time(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.hold()
        second = await _continued(session, first)
        await session.advance(second, status=RunStatus.COMPLETED, at=later(30))
        old = [await _whole(session, run.run_key) for run in (first, second)]
        assert await session.store.remove_runs([first.run_key, second.run_key]) == [first.run_key, second.run_key]
        other = await session.create(at=later(25))
        assert await session.store.bring_in(old[0], sealed_as=first.run_key) == Exists(other)
        assert await session.store.bring_in(old[1], sealed_as=second.run_key) == Exists(other)
        assert [run.run_key for run in (await session.store.list_runs(RunQuery())).runs] == [other]

    async def test_only_the_latest_generation_is_listed_in_whatever_order_they_come(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await session.hold()
        second = await _continued(session, first)
        await session.advance(second, status=RunStatus.COMPLETED, at=later(30))
        keys = [first.run_key, second.run_key]
        old = {key: await _whole(session, key) for key in keys}
        for order in (keys, keys[::-1]):
            assert await session.store.remove_runs(keys) == keys
            for key in order:
                assert await session.store.bring_in(old[key], sealed_as=key) == Applied(key)
            assert [run.run_key for run in (await session.store.list_runs(RunQuery())).runs] == [second.run_key]
            assert {key: _plain(await _whole(session, key)) for key in keys} == {
                key: _plain(one) for key, one in old.items()
            }

    # --- to remove -------------------------------------------------------------------------------------------------

    async def test_nothing_of_a_removed_run_is_left(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await _lived(session)
        assert await session.store.remove_runs([run.run_key]) == [run.run_key]
        assert await session.store.find(run.run_key) is None
        assert await session.store.find(RUN) is None
        assert await session.store.read_history(run.run_key) == []
        assert await session.inbox(run.run_key) == []
        assert await session.store.find_by_request("default", "start run") is None
        assert (await session.store.list_runs(RunQuery(labels={"a": "1"}))).runs == ()
        assert await _closed(session) == []
        assert await session.commit_one(delivery(RUN, request_id="message to run")) == Missing(RUN)
        assert await session.store.remove_runs([run.run_key]) == []

    async def test_to_ask_what_could_not_be_removed_removes_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await _lived(session)
        before = await session.store.read_whole(run.run_key)
        assert await session.store.unremovable([run.run_key, RunKey(7)]) == []
        assert await session.store.read_whole(run.run_key) == before
        assert await session.store.remove_runs([run.run_key]) == [run.run_key]

    async def test_the_id_and_the_requests_of_a_removed_run_are_free(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await _lived(session)
        await session.store.remove_runs([run.run_key])
        again = await session.create(request_id="start run")
        assert again != run.run_key
        assert await session.commit_one(delivery(RUN, request_id="message to run")) == Applied(again)
        assert await session.signals(again) == ["signal"]

    async def test_a_run_with_more_rows_than_one_transaction_removes_goes_whole(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(*(delivery(run.run_key, f"message {number}") for number in range(REMOVED_ROWS + 1)))
        await session.advance(run, events=REMOVED_ROWS + 1, status=RunStatus.COMPLETED)
        other = await _lived(session, "other")
        assert await session.store.remove_runs([run.run_key]) == [run.run_key]
        assert await session.store.read_history(run.run_key) == []
        assert await session.inbox(run.run_key) == []
        assert len(await session.store.read_history(other.run_key)) == other.sequence
        assert len(await session.inbox(other.run_key)) == 1

    async def test_an_open_run_is_never_removed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        unclaimed = await session.create("unclaimed")
        assert await _closed(session) == []
        assert await session.store.remove_runs([run.run_key, unclaimed, RunKey(7)]) == []
        await session.advance(run)
        assert await session.store.find(unclaimed) is not None

    async def test_the_parent_of_an_open_child_stays_until_that_has_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        parent = await session.hold("parent")
        children = [creation(session.store.new_run_key(), f"child {n}", parent=parent) for n in range(2)]
        await session.advance(parent, status=RunStatus.COMPLETED, at=later(10), creations=children)
        held = [Held.of(claimed) for claimed in await session.claim()]
        for child in held:
            assert parent.run_key not in await _closed(session)
            assert await session.store.remove_runs([parent.run_key]) == []
            await session.advance(child, status=RunStatus.FAILED, at=later(20))
        assert await session.store.remove_runs([parent.run_key]) == [parent.run_key]

    async def test_a_closed_child_goes_while_its_parent_is_open(self, harness: StoreHarness) -> None:
        session = await harness.session()
        parent = await session.hold("parent")
        child = creation(session.store.new_run_key(), "child", parent=parent)
        await session.advance(parent, creations=[child])
        await session.finish(await session.take(child.run_key))
        assert await session.store.remove_runs([parent.run_key, child.run_key]) == [child.run_key]

    async def test_the_origin_of_an_open_fork_stays_until_that_has_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first, origin = await _lived(session, "first"), await _lived(session, "origin")
        await session.store.remove_runs([])
        forked = RunForked(
            origin=origin.ref,
            origin_key=origin.run_key,
            caller_key=first.run_key,
            sequence=1,
            ref=RunRef(id="fork"),
            seed=1,
            cause=ForkCause.FORK,
        )
        fork = await session.hold("fork")
        write = transition(fork, events=3)
        before, copied, behind = write.events
        events = (before, RecordedEvent(copied.sequence, copied.at, forked), behind)
        assert await session.commit_one(msgspec.structs.replace(write, events=events)) == Applied(
            fork.run_key, session.worker
        )
        fork.sequence += len(events)
        keys = [first.run_key, origin.run_key]
        assert await _closed(session) == []
        assert await session.store.remove_runs(keys) == []
        await session.finish(fork)
        assert await _closed(session) == [fork.run_key, *keys]
        assert await session.store.remove_runs(keys) == keys

    async def test_a_run_in_the_line_of_a_lock_stays(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, locks=[LOCK])
        await session.finish(run)  # as no run does: the transition that ends a run gives its locks back
        assert await session.store.remove_runs([run.run_key]) == []
        assert await _closed(session) == []

    async def test_generations_go_from_the_oldest_on_and_leave_the_open_one(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await _first_generation(session)
        second = await _continued(session, first)
        third = await _continued(session, second)
        keys = [first.run_key, second.run_key, third.run_key]
        assert await session.store.remove_runs([second.run_key]) == []
        assert await session.store.remove_runs(keys) == keys[:2]
        assert (await session.row(third.run_key)).ref.generation == 3
        await session.finish(third)
        assert await session.store.remove_runs(keys) == keys[2:]

    async def test_requests_are_known_as_long_as_a_generation_of_the_id_is_left(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await _first_generation(session)
        second = await _continued(session, first)
        await session.store.remove_runs([first.run_key])
        again = await session.commit_one(delivery(RUN, "again", request_id="message"))
        assert again == Applied(second.run_key, session.worker)
        assert await session.inbox(second.run_key) == []
        await session.finish(second)
        for request_id in ("message", "start"):
            third = creation(session.store.new_run_key(), generation=3, request_id=request_id)
            assert await session.commit_one(third) == Applied(second.run_key)
        assert await session.commit_one(delivery(RUN, "other")) == Closed(second.run_key, RunStatus.COMPLETED)
        assert (await _whole(session, second.run_key)).requests == ("message", "start")

    async def test_requests_are_the_oldest_generations_again_when_that_is_brought_back(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await _first_generation(session)
        second = await _continued(session, first)
        await session.commit(delivery(RUN, "later", request_id="later"))
        third = await _continued(session, second)
        removed = [await _whole(session, run.run_key) for run in (first, second)]
        await session.store.remove_runs([first.run_key, second.run_key])
        for request_id in ("message", "later"):
            again = await session.commit_one(delivery(RUN, "again", request_id=request_id))
            assert again == Applied(third.run_key, session.worker)
        for whole in removed:
            await session.store.bring_in(whole, sealed_as=whole.summary.run_key)
        for request_id, taker in (("message", first), ("later", second)):
            assert await session.commit_one(delivery(RUN, "again", request_id=request_id)) == Applied(taker.run_key)
        assert (await _whole(session, third.run_key)).requests == ("start",)

    async def test_an_id_is_taken_also_when_its_first_generations_are_gone(self, harness: StoreHarness) -> None:
        session = await harness.session()
        second = await _continued(session, await session.hold())
        await session.store.remove_runs([(await _closed(session))[0]])
        first = creation(session.store.new_run_key())
        assert await session.commit_one(first) == Exists(second.run_key)
        unborn = harness.unborn(session)
        begins = transition(unborn, begins=creation(unborn.run_key))
        assert await session.commit_one(begins) == Exists(second.run_key)
        assert await session.commit_one(creation(session.store.new_run_key(), "other")) != Exists(second.run_key)

    async def test_others_hear_that_a_run_was_removed(self, harness: StoreHarness) -> None:
        one, other = await harness.session(), await harness.session()
        run = await _lived(one)
        other.changes.clear()
        await one.store.remove_runs([run.run_key])
        await other.hear_of(run.run_key)

    # --- to list ---------------------------------------------------------------------------------------------------

    async def test_closed_runs_are_listed_page_by_page_in_the_order_of_their_ends(self, harness: StoreHarness) -> None:
        session = await harness.session()
        ends: Sequence[Timestamp] = [later(seconds) for seconds in (30, 10, 20, 20, 10)]
        for number, end in enumerate(ends):
            run = await session.hold(f"run {number}")
            await session.advance(run, status=RunStatus.COMPLETED, at=end)
        await session.create("open")
        found = [(summary.closed_at, summary.run_key) for summary in await _page(session)]
        assert found == sorted(found)
        assert [end for end, _ in found] == sorted(ends)
        paged: list[tuple[Timestamp | None, RunKey]] = []
        while page := await _page(session, limit=2, after=paged[-1] if paged else None):
            assert len(page) <= 2
            paged += [(summary.closed_at, summary.run_key) for summary in page]
        assert paged == found
        until = await _page(session, closed_until=later(20))
        assert [summary.closed_at for summary in until] == sorted(ends)[:4]

    async def test_closed_runs_are_listed_by_namespace_status_and_workflow(self, harness: StoreHarness) -> None:
        session = await harness.session()
        here = await session.hold("here")
        await session.finish(here, RunStatus.FAILED)
        there = await session.hold("there", namespace="elsewhere", workflow="report")
        await session.finish(there)
        assert await _closed(session) == [here.run_key, there.run_key]
        assert await _closed(session, namespace="elsewhere") == [there.run_key]
        assert await _closed(session, statuses=frozenset({RunStatus.FAILED, RunStatus.CANCELLED})) == [here.run_key]
        assert await _closed(session, workflows=frozenset({"report", "other"})) == [there.run_key]
        assert await _closed(session, workflows=frozenset({"report"}), statuses=frozenset({RunStatus.FAILED})) == []

    async def test_a_store_knows_where_it_gave_out_its_keys(self, harness: StoreHarness) -> None:
        one, other = await harness.session(), await harness.session()
        keys = [session.store.new_run_key() for session in (one, other, one)]
        origins = await one.store.origins_of(keys)
        assert origins.keys() == set(keys)
        assert await other.store.origins_of([*keys, RunKey(FOREIGN_KEYS), RunKey(FOREIGN_KEYS + 5)]) == origins
        await one.store.close()
        assert await other.store.origins_of(keys) == origins


async def _first_generation(session: StoreSession) -> Held:
    run = await session.hold(request_id="start")
    await session.commit(delivery(run.run_key, "told", request_id="message"))
    (entry,) = await session.inbox(run.run_key)
    await session.advance(run, consumed=[entry.position])
    return run


async def _page(session: StoreSession, **conditions: object) -> list[RunSummary]:
    return await session.store.list_closed(msgspec.structs.replace(ClosedQuery(closed_until=FAR), **conditions))
