"""Transitions that make runs: children, and the next generation of the run itself."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from perdure.kernel.events import ChildOutcome
from perdure.kernel.identity import RunRef
from perdure.kernel.messages import ChildFailedMessage
from perdure.kernel.transition import Applied, Exists, RunStatus, Stale
from perdure.ports.store import RunQuery
from perdure.testing.store_conformance.harness import NEVER, StoreHarness, creation, delivery, later, transition


class ContinuingConformance:
    """`Transition.creations` and `Transition.moves_inbox_to`."""

    async def test_child_runs_begin_with_the_transition_and_are_due(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("parent")
        children = [creation(session.store.new_run_key(), f"child {n}", parent=run, wake_at=later(n)) for n in (1, 2)]
        await session.advance(run, creations=children)
        first, second = [await session.row(child.run_key) for child in children]
        assert (first.parent_key, first.owner, first.wake_at) == (run.run_key, None, later(1))
        assert (second.parent_key, second.owner, second.wake_at) == (run.run_key, None, later(2))
        assert await session.store.read_history(first.run_key) == [children[0].created]
        assert [claimed.summary.run_key for claimed in await session.claim(now=later(1))] == [first.run_key]

    async def test_a_message_of_the_same_transition_reaches_the_child_it_creates(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("parent")
        child = creation(session.store.new_run_key(), "child", parent=run)
        await session.advance(run, creations=[child], deliveries=[delivery(RunRef(id="child"), "hello")])
        assert await session.signals(child.run_key) == ["hello"]

    async def test_a_child_whose_id_is_taken_is_reported_to_the_parents_own_inbox(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("parent")
        taken = await session.create("taken", wake_at=NEVER)
        refused = creation(session.store.new_run_key(), "taken", parent=run, operation=4)
        other = creation(session.store.new_run_key(), "other", parent=run, operation=5)
        await session.advance(run, creations=[refused, other])
        (entry,) = await session.inbox(run.run_key)
        assert isinstance(entry.message, ChildFailedMessage)
        assert (entry.message.operation, entry.message.outcome) == (4, ChildOutcome.FAILED)
        assert entry.message.failure.type == "RunExistsError"
        assert "taken" in entry.message.failure.message
        assert await session.store.find(refused.run_key) is None
        assert await session.store.find(other.run_key) is not None
        assert (await session.row(taken)).parent_key is None

    async def test_each_child_that_conflicts_is_reported(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("parent")
        refused = [creation(session.store.new_run_key(), "parent", parent=run, operation=n) for n in (1, 2, 3)]
        await session.advance(run, creations=refused)
        messages = [entry.message for entry in await session.inbox(run.run_key)]
        assert [m.operation for m in messages if isinstance(m, ChildFailedMessage)] == [1, 2, 3]

    async def test_a_child_may_use_a_closed_id_again(self, harness: StoreHarness) -> None:
        session = await harness.session()
        old = await session.hold("child")
        await session.finish(old)
        run = await session.hold("parent")
        child = creation(session.store.new_run_key(), "child", generation=2, parent=run)
        await session.advance(run, creations=[child])
        found = await session.store.find(RunRef(id="child"))
        assert found is not None
        assert found.run_key == child.run_key

    async def test_a_run_goes_on_as_the_next_generation_of_no_other_id(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.finish(await session.hold("other"))
        run = await session.hold()
        foreign = creation(session.store.new_run_key(), "other", generation=2, wake_at=NEVER)
        write = transition(run, status=RunStatus.CONTINUED, creations=[foreign], moves_inbox_to=foreign.run_key)
        assert await session.commit_one(write) == Stale(run.run_key)
        assert await session.store.find(foreign.run_key) is None
        assert not (await session.row(run.run_key)).status.is_closed

    async def test_what_the_inbox_holds_moves_to_the_next_generation_in_its_order(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(*(delivery(run.run_key, name) for name in "abc"))
        entries = await session.inbox(run.run_key)
        following = creation(session.store.new_run_key(), generation=2, wake_at=later(1))
        await session.advance(
            run,
            status=RunStatus.CONTINUED,
            consumed=[entries[0].position],
            creations=[following],
            moves_inbox_to=following.run_key,
            deliveries=[delivery(RunRef(id="run"), "d")],
        )
        assert await session.inbox(run.run_key) == []
        assert await session.signals(following.run_key) == ["b", "c", "d"]
        again = await session.commit_one(delivery(RunRef(id="run"), "b"))
        assert isinstance(again, Applied)
        assert again.run_key == following.run_key
        assert await session.signals(following.run_key) == ["b", "c", "d"]
        following_run = await session.take(following.run_key)
        assert following_run.ref.generation == 2

    async def test_a_run_that_goes_on_in_the_commit_that_creates_it_is_the_latest_no_more(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        following = creation(session.store.new_run_key(), generation=2)
        write = transition(run, begins=creation(run.run_key), status=RunStatus.CONTINUED, creations=[following])
        assert await session.commit_one(write) == Applied(run.run_key)
        found = await session.store.find(RunRef(id="run"))
        assert found is not None
        assert found.run_key == following.run_key
        assert [row.run_key for row in (await session.store.list_runs(RunQuery())).runs] == [following.run_key]

    async def test_the_next_generation_with_an_empty_inbox_waits_for_its_time(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        following = creation(session.store.new_run_key(), generation=2, wake_at=later(60))
        await session.advance(run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
        assert await session.claim(now=later(59)) == []
        assert len(await session.claim(now=later(60))) == 1

    async def test_reading_a_message_moved_to_the_next_generation_makes_it_due_at_once(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "waiting"))
        following = creation(session.store.new_run_key(), generation=2, wake_at=later(60))
        await session.advance(
            run, status=RunStatus.CONTINUED, at=later(1), creations=[following], moves_inbox_to=following.run_key
        )
        assert [claimed.summary.run_key for claimed in await session.claim(now=later(1))] == [following.run_key]

    async def test_a_run_may_begin_and_continue_in_one_write(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        following = creation(session.store.new_run_key(), generation=2)
        await session.advance(
            run,
            events=3,
            begins=creation(run.run_key),
            status=RunStatus.CONTINUED,
            creations=[following],
            moves_inbox_to=following.run_key,
        )
        assert (await session.row(run.run_key)).status is RunStatus.CONTINUED
        assert [claimed.summary.run_key for claimed in await session.claim()] == [following.run_key]

    async def test_reading_a_run_does_not_end_without_the_next_generation_that_it_asks_for(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "kept"))
        impossible = creation(session.store.new_run_key(), generation=3)
        write = transition(run, status=RunStatus.CONTINUED, creations=[impossible], moves_inbox_to=impossible.run_key)
        assert await session.commit_one(write) == Stale(run.run_key)
        assert (await session.row(run.run_key)).status is RunStatus.CREATED
        assert await session.signals(run.run_key) == ["kept"]

    async def test_a_generation_created_before_its_predecessor_closes_in_the_same_batch_is_refused(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        early = creation(session.store.new_run_key(), generation=2)
        outcomes = await session.commit(early, transition(run, status=RunStatus.COMPLETED))
        assert [type(outcome) for outcome in outcomes] == [Exists, Applied]
        assert await session.store.find(early.run_key) is None
        run = await session.hold("another")
        late = creation(session.store.new_run_key(), "another", generation=2)
        outcomes = await session.commit(transition(run, status=RunStatus.COMPLETED), late)
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
