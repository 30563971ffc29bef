"""Placement of tasks: by the labels that they demand, and for the session that they are kept for."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from perdure.kernel.identity import Operation
from perdure.kernel.options import ActivityOptions
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import Serving, TaskQuery
from perdure.testing.store_conformance.harness import FAR, START, StoreHarness, later
from perdure.testing.store_conformance.tasks import change, claims, hear_of_queued, operations, served, task

__all__ = ["PlacingConformance"]


class PlacingConformance:
    """`ServedTasks.labels`, `Task.sticky_to`, `next_task_at`, `announce`, `list_servers`."""

    async def test_only_who_has_all_labels_that_a_task_demands_claims_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        demands: list[dict[str, str]] = [
            {}, {"gpu": "a100"}, {"gpu": "h100"}, {"zone": "eu", "gpu": "a100"}, {"gpu": ""}, {"gp": "u=a100"},
        ]  # fmt: skip
        await change(
            session,
            run,
            queued=[
                task(run, number, options=ActivityOptions(labels=labels), queued_at=later(-number))
                for number, labels in enumerate(demands)
            ],
        )
        assert operations(await claims(session)) == [0]
        assert operations(await claims(session, labels={"zone": "eu"})) == []
        assert operations(await claims(session, labels={"gpu": "a100", "disk": "ssd"})) == [1]
        both = {"zone": "eu", "gpu": "a100"}
        (claimed,) = await claims(session, labels=both)
        assert claimed.task.options.labels == both
        assert operations(await claims(session, labels={"gpu": "", "gp": "u=a100"})) == [5, 4]
        (left,) = [one for one in await session.store.list_tasks(TaskQuery()) if one.owner is None]
        assert (left.operation, left.labels) == (2, {"gpu": "h100"})

    async def test_the_best_class_comes_first_whatever_labels_its_tasks_demand(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        gpu, zone = ActivityOptions(labels={"gpu": "a"}), ActivityOptions(labels={"zone": "eu"})
        tasks = [
            task(run, 1, options=gpu, queued_at=later(3)),
            task(run, 2, queued_at=later(2)),
            task(run, 3, options=zone, queued_at=later(1)),
            task(run, 4, options=zone, priority=Priority.HIGH, queued_at=later(9)),
            task(run, 5, options=gpu, queued_at=later(4)),
        ]
        await change(session, run, queued=tasks)
        has = {"gpu": "a", "zone": "eu"}
        assert operations(await claims(session, limit=2, labels=has)) == [4, 3]
        assert operations(await claims(session, labels=has)) == [2, 1, 5]

    async def test_a_task_that_is_kept_for_a_session_is_claimed_by_it_or_once_the_patience_is_over(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        kept = [task(run, n, sticky_to=other.worker, sticky_until=later(n)) for n in (1, 2, 3)]
        await change(session, run, queued=[*kept, task(run, 4)])
        (first, *_) = await session.store.list_tasks(TaskQuery())
        assert (first.sticky_to, first.sticky_until) == (other.worker, later(1))
        assert operations(await claims(session)) == [4]
        assert await session.store.next_task_at(now=START, served=served()) == later(1)
        assert await session.store.next_task_at(now=START, served=served("cpu")) is None
        assert await other.store.next_task_at(now=START, served=served()) is None
        assert operations(await claims(other, limit=1)) == [1]
        assert await claims(session, now=Timestamp(later(2) - 1)) == []
        (late,) = await claims(session, now=later(2))
        assert late.claim.operation == 2
        await session.store.return_tasks([late.claim], begun=False)
        assert await session.store.next_task_at(now=later(2), served=served()) == later(3)
        assert operations(await claims(other)) == [2, 3]

    async def test_what_a_session_serves_is_known_until_it_ends(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        assert await session.store.list_servers() == []
        await session.store.announce(Serving(queues=("gpu",), labels={"zone": "eu"}))
        await other.store.announce(Serving(queues=("cpu", "d'"), labels={"gpu": ""}))
        assert await session.store.renew_lease(now=START)
        first, second = await other.store.list_servers()
        assert (first.worker, first.name) == (session.worker, "worker")
        assert (first.serving.queues, first.serving.labels) == (("gpu",), {"zone": "eu"})
        assert first.lease_until > START
        assert (second.serving.queues, second.serving.labels) == (("cpu", "d'"), {"gpu": ""})
        await session.store.announce(Serving())
        assert [one.serving.queues for one in await other.store.list_servers()] == [(), ("cpu", "d'")]
        await harness.end(session)
        assert [one.worker for one in await other.store.list_servers()] == [other.worker]
        watching = await harness.session("watching")
        await harness.kill(other)
        await watching.store.free_expired(now=later(1))
        assert await watching.store.list_servers() == []

    async def test_a_task_is_kept_no_longer_than_the_session_lives(self, harness: StoreHarness) -> None:
        session, dying, ending = [await harness.session(name) for name in ("worker", "dying", "ending")]
        run = await session.hold()
        kept = [task(run, n, sticky_to=of.worker, sticky_until=FAR) for n, of in ((1, dying), (2, ending))]
        await change(session, run, queued=kept)
        assert await claims(session) == []
        await harness.kill(dying)
        session.changes.clear()
        await session.store.free_expired(now=later(1))
        assert operations(await claims(session)) == [1]
        session.changes.clear()
        await harness.end(ending)
        await hear_of_queued(session)
        assert operations(await claims(session)) == [2]
        await change(session, run, withdrawn=[Operation(1)])
        await change(session, run, queued=[task(run, 3, sticky_to=dying.worker, sticky_until=FAR)])
        assert operations(await claims(session)) == [3]  # there is no such session

    async def test_a_clock_that_is_set_back_keeps_no_task_for_anybody(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session("other")
        run = await session.hold()
        kept = task(run, sticky_to=other.worker, sticky_until=later(9), queued_at=later(5))
        await change(session, run, queued=[kept])
        assert await claims(session, now=later(4.5)) == []  # two clocks are never quite equal
        assert await session.store.next_task_at(now=later(3), served=served()) is None
        assert operations(await claims(session, now=later(3))) == [1]
