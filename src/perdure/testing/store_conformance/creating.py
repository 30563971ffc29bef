"""Creations: ids, generations, requests."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from perdure.kernel.events import RunCreated
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Exists, RunStatus
from perdure.ports.store import RunQuery, RunSummary
from perdure.testing.store_conformance.harness import NEVER, START, StoreHarness, creation, later, transition


class CreatingConformance:
    """`Creation`."""

    async def test_a_created_run_has_a_row_with_everything_it_was_created_with(self, harness: StoreHarness) -> None:
        session = await harness.session()
        parent = await session.hold("parent")
        run_key = await session.create(
            "child",
            workflow="report",
            priority=Priority.HIGH,
            tenant="acme",
            labels={"country": "no", "empty": ""},
            parent=parent,
            at=later(1),
            wake_at=later(2),
        )
        assert await session.row(run_key) == RunSummary(
            run_key=run_key,
            ref=RunRef(id="child"),
            workflow="report",
            definition_version="1",
            status=RunStatus.CREATED,
            stage="",
            progress=0.0,
            priority=Priority.HIGH,
            tenant="acme",
            labels={"country": "no", "empty": ""},
            parent_key=parent.run_key,
            created_at=later(1),
            started_at=None,
            updated_at=later(1),
            closed_at=None,
            sequence=1,
            owner=None,
            fencing_token=(await session.row(run_key)).fencing_token,
            wake_at=later(2),
        )

    async def test_the_first_event_of_a_created_run_is_its_creation(self, harness: StoreHarness) -> None:
        session = await harness.session()
        write = creation(session.store.new_run_key(), labels={"a": "b"}, input=b'{"total": 12.50}')
        assert await session.commit_one(write) == Applied(write.run_key)
        assert await session.store.read_history(write.run_key) == [write.created]
        created = write.created.event
        assert isinstance(created, RunCreated)
        assert bytes(created.input) == b'{"total": 12.50}'

    async def test_a_taken_id_refuses_another_run_and_names_the_one_that_has_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.create("taken", tenant="first")
        second = session.store.new_run_key()
        assert await session.commit_one(creation(second, "taken", tenant="second")) == Exists(first)
        assert (await session.row(first)).tenant == "first"
        assert await session.store.find(second) is None
        assert await session.store.read_history(second) == []

    async def test_a_creation_sent_again_with_its_own_key_finds_itself(self, harness: StoreHarness) -> None:
        session = await harness.session()
        write = creation(session.store.new_run_key(), "client's")
        assert await session.commit(write, write) == [Applied(write.run_key), Exists(write.run_key)]
        assert await session.commit_one(write) == Exists(write.run_key)
        run = harness.unborn(session, "worker's")
        begins = transition(run, events=2, begins=creation(run.run_key, "worker's"))
        await session.commit(begins)
        assert await session.commit_one(begins) == Exists(run.run_key)
        assert len(await session.store.read_history(run.run_key)) == 2

    async def test_two_creations_of_one_id_in_one_batch_give_one_run(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first, second = session.store.new_run_key(), session.store.new_run_key()
        outcomes = await session.commit(creation(first, "same"), creation(second, "same"))
        assert outcomes == [Applied(first), Exists(first)]

    async def test_the_same_id_in_another_namespace_is_another_run(self, harness: StoreHarness) -> None:
        session = await harness.session()
        here = await session.create("run", namespace="here")
        there = await session.create("run", namespace="there")
        assert await _found(harness, RunRef(namespace="here", id="run")) == here
        assert await _found(harness, RunRef(namespace="there", id="run")) == there
        assert await _found(harness, RunRef(id="run")) is None

    async def test_an_id_is_not_free_while_its_run_is_open(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.create()
        again = creation(session.store.new_run_key(), generation=2)
        assert await session.commit_one(again) == Exists(first)
        await session.take(first)
        assert await session.commit_one(again) == Exists(first)

    async def test_a_closed_id_is_used_again_by_the_next_generation_only(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.finish(run)
        second = session.store.new_run_key()
        assert await session.commit_one(creation(session.store.new_run_key())) == Exists(run.run_key)
        assert await session.commit_one(creation(second, generation=2)) == Applied(second)
        assert await session.commit_one(creation(session.store.new_run_key())) == Exists(second)
        assert await session.commit_one(creation(session.store.new_run_key(), generation=2)) == Exists(second)
        assert (await session.row(run.run_key)).status is RunStatus.COMPLETED

    async def test_every_closed_status_frees_the_id(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for status in RunStatus:
            if status.is_closed:
                run = await session.hold(status)
                await session.finish(run, status)
                await session.create(status, generation=2, wake_at=NEVER)
                assert await session.claim(now=later(1)) == []

    async def test_a_generation_whose_predecessor_does_not_exist_is_refused(self, harness: StoreHarness) -> None:
        session = await harness.session()
        third = session.store.new_run_key()
        assert not isinstance(await session.commit_one(creation(third, generation=3)), Applied)
        run = await session.hold()
        await session.finish(run)
        assert not isinstance(await session.commit_one(creation(third, generation=3)), Applied)
        assert await session.store.find(third) is None
        assert await _found(harness, RunRef(id="run")) == run.run_key

    async def test_find_gives_the_latest_generation_or_exactly_the_one_asked_for(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.finish(run)
        second = await session.create(generation=2)
        store = session.store
        for generation in (1, 2, 3):
            found = await store.find(RunRef(id="run", generation=generation))
            assert found is not None
            assert found.run_key == second
        exact = [await store.find(RunRef(id="run", generation=number), latest=False) for number in (1, 2, 3)]
        assert [found and found.run_key for found in exact] == [run.run_key, second, None]
        assert (await session.row(run.run_key)).ref.generation == 1

    async def test_a_repeated_request_answers_with_the_first_run_and_creates_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await session.create("first", request_id="request")
        for run_id in ("first", "second"):
            again = creation(session.store.new_run_key(), run_id, request_id="request")
            assert await session.commit_one(again) == Applied(first)
            assert await session.store.find(again.run_key) is None
        assert await session.store.count_runs(RunQuery()) == 1
        assert len(await session.store.read_history(first)) == 1

    async def test_a_request_repeated_within_one_batch_has_one_effect(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first, second = session.store.new_run_key(), session.store.new_run_key()
        outcomes = await session.commit(
            creation(first, request_id="request"), creation(second, generation=2, request_id="request")
        )
        assert outcomes == [Applied(first), Applied(first)]

    async def test_a_request_is_remembered_after_its_run_has_closed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.create(request_id="request")
        run = await session.take(first)
        await session.finish(run)
        again = creation(session.store.new_run_key(), generation=2, request_id="request")
        outcome = await session.commit_one(again)
        assert isinstance(outcome, Applied)
        assert outcome.run_key == first

    async def test_creations_without_a_request_id_are_all_different_requests(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.create("one") != await session.create("two")

    async def test_request_ids_of_different_namespaces_are_different_requests(self, harness: StoreHarness) -> None:
        session = await harness.session()
        here = await session.create(namespace="here", request_id="request")
        assert await session.create(namespace="there", request_id="request") != here

    async def test_a_refused_creation_does_not_use_its_request_up(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("taken")
        await session.commit(creation(session.store.new_run_key(), "taken", request_id="request"))
        run_key = session.store.new_run_key()
        assert await session.commit_one(creation(run_key, "free", request_id="request")) == Applied(run_key)

    async def test_the_owner_can_create_a_run_and_advance_it_in_one_write(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        begins = creation(run.run_key, labels={"a": "1", "b": "2"}, at=later(1), tenant="acme")
        write = transition(run, events=3, begins=begins, at=later(2), labels={"b": None, "c": "3"})
        outcome = await session.commit_one(write)
        assert isinstance(outcome, Applied)
        assert outcome.run_key == run.run_key
        row = await session.row(run.run_key)
        assert (row.owner, row.fencing_token, row.wake_at) == (session.worker, run.fencing_token, None)
        assert (row.sequence, row.status, row.stage, row.tenant) == (3, RunStatus.RUNNING, "packing", "acme")
        assert (row.created_at, row.updated_at, row.started_at) == (later(1), later(2), START)
        assert row.labels == {"a": "1", "c": "3"}
        assert await session.store.read_history(run.run_key) == list(write.events)
        assert await session.claim() == []
        run.sequence = 3
        await session.advance(run)

    async def test_a_run_can_be_created_and_closed_in_one_write(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        await session.advance(run, events=2, begins=creation(run.run_key), status=RunStatus.COMPLETED)
        row = await session.row(run.run_key)
        assert (row.status, row.owner, row.wake_at) == (RunStatus.COMPLETED, None, None)
        assert await session.claim() == []

    async def test_a_transition_that_creates_a_run_whose_id_is_taken_changes_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await session.create()
        run = harness.unborn(session)
        child = creation(session.store.new_run_key(), "child", parent=run)
        write = transition(run, events=2, begins=creation(run.run_key), creations=[child])
        assert await session.commit_one(write) == Exists(first)
        assert await session.store.find(run.run_key) is None
        assert await session.store.find(child.run_key) is None
        assert await session.store.read_history(run.run_key) == []

    async def test_a_transition_that_repeats_a_request_answers_with_the_first_run_and_changes_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await session.create("first", request_id="request")
        run = harness.unborn(session)
        write = transition(run, events=2, begins=creation(run.run_key, "second", request_id="request"))
        outcome = await session.commit_one(write)
        assert isinstance(outcome, Applied)
        assert outcome.run_key == first
        assert await session.store.find(run.run_key) is None
        assert (await session.row(first)).sequence == 1


async def _found(harness: StoreHarness, ref: RunRef) -> RunKey | None:
    session = await harness.session()
    found = await session.store.find(ref)
    await harness.end(session)
    return None if found is None else found.run_key
