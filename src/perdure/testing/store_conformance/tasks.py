"""Tasks: put into queues within transitions, claimed by who serves these, told of, taken out again."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from collections.abc import Mapping, Sequence

import msgspec

from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.messages import CompleteActivityMessage, HeartbeatMessage, StartActivityMessage, outcome_id
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim, TaskOrigin
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Closed, Creation, Delivery, RunStatus, Stale, Transition
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskQuery
from perdure.testing.store_conformance.harness import (
    FAR,
    LEASE_SECONDS,
    START,
    Held,
    StoreHarness,
    StoreSession,
    creation,
    later,
    transition,
)


def task(
    run: Held,
    operation: int = 1,
    *,
    attempt: int = 1,
    queue: str = "gpu",
    activity: str = "render",
    priority: Priority = Priority.NORMAL,
    queued_at: Timestamp = START,
    options: ActivityOptions | None = None,
    tenant: str = "acme",
    sticky_to: WorkerId | None = None,
    sticky_until: Timestamp | None = None,
) -> Task:
    """Return a task of a run."""
    return Task(
        operation=Operation(operation),
        attempt=attempt,
        queue=queue,
        activity=activity,
        input=Payload(b'["\\u00e9"]'),
        options=options or ActivityOptions(),
        priority=priority,
        queued_at=queued_at,
        origin=TaskOrigin(
            ref=run.ref,
            workflow="order",
            tenant=tenant,
            called_by="call",
            token="token",  # noqa: S106
            trace_context={"traceparent": "00"},
        ),
        scheduled_at=START,
        sticky_to=sticky_to,
        sticky_until=sticky_until,
    )


def changing(
    run: Held, *, queued: Sequence[Task] = (), withdrawn: Sequence[Operation] = (), begins: Creation | None = None
) -> Transition:
    """Return a transition that takes tasks out of queues, and puts others in."""
    moved = transition(run, begins=begins)
    return msgspec.structs.replace(moved, queued=tuple(queued), withdrawn=tuple(withdrawn))


async def change(
    session: StoreSession,
    run: Held,
    *,
    queued: Sequence[Task] = (),
    withdrawn: Sequence[Operation] = (),
    begins: Creation | None = None,
) -> None:
    """Apply such a transition."""
    applied = await session.commit_one(changing(run, queued=queued, withdrawn=withdrawn, begins=begins))
    assert isinstance(applied, Applied), applied
    run.sequence += 1


def served(
    *queues: str, activities: tuple[str, ...] = ("render",), labels: Mapping[str, str] | None = None
) -> ServedTasks:
    """Return what a worker serves."""
    pairs = frozenset(f"{name}={value}" for name, value in (labels or {}).items())
    return ServedTasks(queues=frozenset(queues or ("gpu",)), activities=frozenset(activities), labels=pairs)


async def claims(
    session: StoreSession, *, limit: int = 100, now: Timestamp = START, labels: Mapping[str, str] | None = None
) -> list[ClaimedTask]:
    """Claim tasks of the queue `gpu`."""
    return await session.store.claim_tasks(now=now, limit=limit, served=served(labels=labels))


def operations(claimed: Sequence[ClaimedTask]) -> list[int]:
    """Return which operations those are, in the order in which they were claimed."""
    return [one.claim.operation for one in claimed]


async def claim(session: StoreSession) -> ClaimedTask:
    """Claim the one task that is there."""
    (claimed,) = await claims(session)
    return claimed


def outcome(claimed: TaskClaim, *, ends: bool = True) -> Delivery:
    """Return how a worker tells the outcome of a task."""
    return Delivery(
        target=claimed.run_key,
        message=CompleteActivityMessage(operation=claimed.operation, attempt=claimed.attempt, result=Payload(b"7")),
        message_id=outcome_id(1, claimed.operation, claimed.attempt),
        at=START,
        task=claimed,
        ends_task=ends,
    )


async def hear_of_queued(session: StoreSession) -> None:
    """Wait until the store has told that a task may be claimed."""
    await session.hear_that(lambda news: news.queued)


async def waiting(session: StoreSession, run_key: RunKey | None = None) -> list[int]:
    """Return the operations that have a task."""
    return [one.operation for one in await session.store.list_tasks(TaskQuery(run_key=run_key))]


class TasksConformance:
    """`claim_tasks`, `return_tasks`, `held_tasks`, `list_tasks`; tasks of transitions and deliveries."""

    async def test_a_task_that_a_transition_queues_is_given_to_who_serves_its_queue(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        claimed = await claim(other)
        assert claimed.task == task(run)
        assert claimed.claim == TaskClaim(run_key=run.run_key, operation=Operation(1), attempt=1, number=1)
        assert not claimed.recovered
        assert not claimed.trouble
        assert await claims(session) == []

    async def test_only_tasks_of_queues_and_activities_that_are_served_are_claimed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(
            session,
            run,
            queued=[task(run, 1, queue="gpu"), task(run, 2, queue="cpu"), task(run, 3, activity="print")],
        )
        assert await session.store.claim_tasks(now=START, limit=9, served=served("disk")) == []
        both = ServedTasks(queues=frozenset({"gpu", "cpu"}), activities=frozenset({"print"}))
        found = await session.store.claim_tasks(now=START, limit=9, served=both)
        assert [one.claim.operation for one in found] == [3]
        both = ServedTasks(queues=frozenset({"gpu", "cpu"}), activities=frozenset({"render"}))
        found = await session.store.claim_tasks(now=START, limit=9, served=both)
        assert sorted(one.claim.operation for one in found) == [1, 2]

    async def test_the_best_class_comes_first_then_the_longest_queued(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        tasks = [
            task(run, 1, queued_at=later(3)),
            task(run, 2, queued_at=later(2)),
            task(run, 3, priority=Priority.CRITICAL, queued_at=later(9)),
            task(run, 4, priority=Priority.BACKGROUND),
            task(run, 5, queued_at=later(2)),
        ]
        await change(session, run, queued=tasks)
        assert await waiting(session) == [3, 2, 5, 1, 4]
        first = await claims(session, limit=2)
        assert [one.claim.operation for one in first] == [3, 2]
        assert [one.claim.operation for one in await claims(session)] == [5, 1, 4]
        assert await claims(session, limit=0) == []

    async def test_the_outcome_ends_the_task_and_comes_into_the_inbox_of_its_run(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        claimed = await claim(other)
        assert await other.commit_one(outcome(claimed.claim)) == Applied(run.run_key, session.worker)
        assert await waiting(session) == []
        (entry,) = await session.inbox(run.run_key)
        assert entry.message == outcome(claimed.claim).message
        assert await other.commit_one(outcome(claimed.claim)) == Stale(run.run_key)
        await session.hear_of(run.run_key)

    async def test_what_is_told_before_the_end_leaves_the_task(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        claimed = await claim(session)
        beat = Delivery(
            target=run.run_key,
            message=HeartbeatMessage(operation=Operation(1), attempt=1),
            message_id="beat",
            at=START,
            task=claimed.claim,
        )
        assert await session.commit_one(beat) == Applied(run.run_key, session.worker)
        assert await waiting(session) == [1]
        assert await session.store.held_tasks() == {claimed.claim}

    async def test_the_outcome_of_a_task_whose_run_has_ended_is_told_to_nobody(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        claimed = await claim(session)
        await session.finish(run)
        assert await session.commit_one(outcome(claimed.claim)) == Closed(run.run_key, RunStatus.COMPLETED)
        assert await waiting(session) == []

    async def test_a_task_that_is_withdrawn_is_its_claimers_no_more(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run, 1), task(run, 2), task(run, 3)])
        found = await claims(other, limit=2)
        other.changes.clear()
        await change(session, run, withdrawn=[Operation(1), Operation(3), Operation(7)])
        await other.hear_of(run.run_key)
        assert await waiting(session) == [2]
        assert await other.store.held_tasks() == {found[1].claim}
        assert await other.commit_one(outcome(found[0].claim)) == Stale(run.run_key)
        assert await session.inbox(run.run_key) == []

    async def test_the_next_attempt_is_a_task_of_its_own(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        first = await claim(session)
        await change(session, run, withdrawn=[Operation(1)], queued=[task(run, attempt=2)])
        assert await session.commit_one(outcome(first.claim)) == Stale(run.run_key)
        second = await claim(session)
        assert (second.claim.attempt, second.claim.number) == (2, 1)
        assert await session.commit_one(outcome(second.claim)) == Applied(run.run_key, session.worker)

    async def test_a_transition_that_is_refused_changes_no_task(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        stale = changing(run, queued=[task(run, 2)], withdrawn=[Operation(1)])
        await change(session, run, queued=[task(run)])
        assert await session.commit_one(stale) == Stale(run.run_key)
        assert await waiting(session) == [1]

    async def test_a_run_may_queue_a_task_in_the_transition_that_creates_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        begins = creation(run.run_key)
        await change(session, run, begins=begins, queued=[task(run)])
        assert (await claim(session)).task == task(run)

    async def test_the_tasks_of_a_dead_session_are_claimed_again_and_it_is_fenced(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        await claim(other)
        await harness.kill(other)
        assert await claims(session) == []
        await session.store.free_expired(now=later(1))
        second = await claim(session)
        assert second.recovered
        assert second.claim.number == 2
        assert await session.store.held_tasks() == {second.claim}

    async def test_a_session_that_lost_its_lease_has_lost_its_tasks(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other", lease_seconds=LEASE_SECONDS / 2)
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        first = await claim(other)
        assert await session.store.renew_lease(now=later(LEASE_SECONDS - 1))
        await session.store.free_expired(now=later(LEASE_SECONDS - 1))
        second = await claim(session)
        assert second.recovered
        assert await other.commit_one(outcome(first.claim)) == Stale(run.run_key)
        assert await session.commit_one(outcome(second.claim)) == Applied(run.run_key, session.worker)

    async def test_a_late_renewal_gives_the_tasks_back(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        await claim(session)
        assert not await session.store.renew_lease(now=later(2 * LEASE_SECONDS))
        assert await session.store.held_tasks() == set()
        assert (await claim(session)).recovered

    async def test_what_was_not_begun_is_returned_as_it_was(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        first = await claim(other)
        session.changes.clear()
        await other.store.return_tasks([first.claim], begun=False)
        await hear_of_queued(session)
        second = await claim(session)
        assert not second.recovered
        await other.store.return_tasks([first.claim], begun=True)
        assert await session.store.held_tasks() == {second.claim}
        await session.store.return_tasks([second.claim], begun=True)
        third = await claim(other)
        assert third.recovered
        await other.store.return_tasks([third.claim], begun=False)
        assert (await claim(session)).recovered

    async def test_a_closing_session_gives_its_tasks_back(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        await claim(other)
        await harness.end(other)
        assert (await claim(session)).recovered

    async def test_a_run_that_counts_the_wait_is_told_of_the_claim(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run, idle = await session.hold(), await session.hold("idle")
        counted = ActivityOptions(schedule_to_start_microseconds=1)
        await change(session, run, queued=[task(run, options=counted)])
        once = ActivityOptions(at_most_once=True)
        await change(session, idle, queued=[task(idle, options=once, queued_at=later(1))])
        await session.give_back(idle)
        found = await claims(other)
        assert [one.claim.run_key for one in found] == [run.run_key, idle.run_key]
        (entry,) = await session.inbox(run.run_key)
        assert entry.message == StartActivityMessage(operation=Operation(1), attempt=1, worker="other")
        (entry,) = await session.inbox(idle.run_key)
        assert isinstance(entry.message, StartActivityMessage)
        assert entry.message.at_most_once
        (due,) = await session.claim(now=FAR)
        assert due.summary.run_key == idle.run_key
        await session.hear_of(run.run_key)

    async def test_who_waits_for_tasks_hears_of_one_and_who_waits_for_runs_does_not(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        await other.hear_of_ready()
        assert not any(news.queued for news in other.changes)
        other.changes.clear()
        await change(session, run, queued=[task(run)])
        await hear_of_queued(other)
        assert not any(news.ready for news in other.changes)

    async def test_tasks_are_listed_page_by_page(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, elsewhere = await session.hold(), await session.hold(namespace="elsewhere")
        await change(session, run, queued=[task(run, n, queue="gpu" if n % 2 else "cpu") for n in range(1, 6)])
        await change(session, elsewhere, queued=[task(elsewhere)])
        await claims(session, limit=1)
        everything = await session.store.list_tasks(TaskQuery())
        assert [one.operation for one in everything] == [1, 2, 3, 4, 5]
        assert [one.owner for one in everything] == [session.worker, None, None, None, None]
        assert everything[0].claims == 1
        assert [one.worker for one in everything[:2]] == ["worker", ""]
        assert everything[0].run == run.ref
        assert (everything[1].queue, everything[1].activity, everything[1].attempt) == ("cpu", "render", 1)
        rest = await session.store.list_tasks(TaskQuery(after=everything[1].place, limit=2))
        assert rest == everything[2:4]
        of_queue = await session.store.list_tasks(TaskQuery(queue="cpu"))
        assert [one.operation for one in of_queue] == [2, 4]
        (there,) = await session.store.list_tasks(TaskQuery(namespace="elsewhere"))
        assert there.run_key == elsewhere.run_key
        assert await waiting(session, run.run_key) == [1, 2, 3, 4, 5]

    async def test_queues_may_have_any_name(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        hostile = "';--\u0000\U0001f600\t"
        await change(session, run, queued=[task(run, queue=hostile, activity=hostile)])
        (claimed,) = await session.store.claim_tasks(
            now=START, limit=1, served=ServedTasks(queues=frozenset({hostile}), activities=frozenset({hostile}))
        )
        assert claimed.task.queue == hostile

    async def test_who_reads_a_run_whole_learns_in_which_queues_it_has_tasks(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        tasks = [task(run), task(run, 2, queue="cpu"), task(run, 3)]
        await change(session, run, queued=tasks)
        whole = await session.store.read_whole(run.run_key)
        assert whole is not None
        assert whole.queues == ("cpu", "gpu")

    async def test_a_run_that_is_removed_has_no_tasks_left(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await change(session, run, queued=[task(run)])
        await session.finish(run)
        await session.store.remove_runs([run.run_key])
        assert await waiting(session) == []
