"""Who share a queue: their tasks are claimed by turns, by what they take (`perdure.stores.task_shares`)."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from collections.abc import Sequence

from perdure.kernel.options import ActivityOptions
from perdure.kernel.priority import Priority
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.tasks import ClaimedTask, TaskCost, refund_of
from perdure.testing.store_conformance.harness import START, StoreHarness, StoreSession, later
from perdure.testing.store_conformance.tasks import change, claims, outcome, served, task

__all__ = ["SharingConformance"]


class SharingConformance:
    """`claim_tasks`, of queues that several tenants share."""

    async def test_who_share_a_queue_are_served_by_turns_however_much_one_has_queued_before(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        await queue(session, "a" * 6 + "b" * 3)
        assert tenants(await claims(session)) == "ababab" + "aaa"

    async def test_turns_go_on_from_claim_to_claim_and_from_worker_to_worker(self, harness: StoreHarness) -> None:
        one, other = await harness.session(), await harness.session()
        await queue(one, "a" * 6 + "b" * 4 + "c" * 2)
        claimed = [tenants(await claims(session, limit=1)) for _ in range(6) for session in (one, other)]
        assert "".join(claimed) == "abcabc" + "abab" + "aa"

    async def test_a_share_that_comes_later_is_served_next_and_is_owed_nothing_of_before(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        await queue(session, "a" * 12)
        await claims(session, limit=4)
        await queue(session, "b" * 8, at=1)
        assert tenants(await claims(session, now=later(2), limit=6)) == "ababab"

    async def test_who_was_idle_for_a_while_has_saved_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "a" * 12 + "b" * 2 + "c" * 12)
        assert tenants(await claims(session, limit=6)) == "abcabc"
        await claims(session, limit=6)
        await queue(session, "b" * 8)
        assert tenants(await claims(session, limit=6)).count("b") <= 3  # one more than a third, and not six

    async def test_who_ran_dry_amid_a_claim_that_went_on_with_others_has_saved_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        await queue(session, "a", seconds=20)
        await queue(session, "d", at=1)
        await queue(session, "a", at=2)
        assert tenants(await claims(session, limit=3)) == "ada"
        await queue(session, "a" * 20 + "d" * 30, at=3)
        assert "".join([tenants(await claims(session, limit=1)) for _ in range(8)]) == "dadadada"

    async def test_who_waits_for_another_worker_has_not_run_dry(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "a", seconds=20)
        await queue(session, "d", at=1)
        await queue(session, "a", at=2)
        await queue(session, "d" * 9, activity="measure", at=2)
        assert tenants(await claims(session, limit=3)) == "ada"
        await queue(session, "a" * 9, at=3)
        both = served(activities=("render", "measure"))
        assert tenants(await session.store.claim_tasks(now=START, limit=6, served=both)) == "dddddd"

    async def test_turns_are_of_the_seconds_that_tasks_are_expected_to_take(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "a" * 8, seconds=3)
        await queue(session, "b" * 12)
        assert tenants(await claims(session, limit=12)).count("a") == 3

    async def test_what_tasks_have_taken_is_put_right_with_the_next_claim(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "a" * 12 + "b" * 12)
        served_to, costs = "", list[TaskCost]()
        for _ in range(16):
            [claimed] = await session.store.claim_tasks(now=START, limit=1, served=served(), costs=costs)
            served_to += tenants([claimed])
            await session.commit_one(outcome(claimed.claim))
            costs = [cost_of(claimed, 3.0 if served_to[-1] == "a" else 1.0)]
        assert served_to.count("a") == 4

    async def test_what_was_charged_for_a_task_that_is_given_back_unbegun_is_refunded(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        await queue(session, "aabb")
        [claimed] = await claims(session, limit=1)
        await session.store.return_tasks([claimed.claim], begun=False)
        await session.store.correct_costs([refund_of(claimed)], now=START)
        assert tenants(await claims(session, limit=2)) == "ab"

    async def test_a_better_class_is_first_whoever_has_had_what(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "ababab")
        await claims(session, limit=2)
        await queue(session, "a" * 3, priority=Priority.HIGH)
        assert tenants(await claims(session)) == "aaa" + "abab"

    async def test_tenants_of_two_namespaces_are_two(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for namespace, count in (("default", 4), ("other", 2)):
            run = await session.hold("run", namespace=namespace)
            await change(session, run, queued=[task(run, number) for number in range(1, count + 1)])
        found = [one.task.ref.namespace for one in await claims(session)]
        assert found == ["default", "other", "default", "other", "default", "default"]

    async def test_a_share_that_this_worker_cannot_serve_holds_up_no_other(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "a" * 3, labels={"gpu": "h100"})
        await queue(session, "b" * 3, activity="measure")
        await queue(session, "cd" * 3)
        assert tenants(await claims(session)) == "cdcdcd"
        assert tenants(await claims(session, labels={"gpu": "h100"})) == "aaa"

    async def test_of_two_queues_whose_head_has_waited_longer_is_first(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await queue(session, "aab", at=10)
        await queue(session, "ccd", at=0, name="cpu")
        both = served("gpu", "cpu")
        assert tenants(await session.store.claim_tasks(now=later(60), limit=9, served=both)) == "cdcaba"

    async def test_many_who_share_a_queue_are_each_served_once_before_any_twice(self, harness: StoreHarness) -> None:
        session = await harness.session()
        many = "".join(chr(ord("a") + number) for number in range(20))
        await queue(session, "".join(name * 3 for name in many))
        claimed = tenants([one for _ in range(4) for one in await claims(session, limit=5)])
        assert claimed == many
        assert tenants(await claims(session, limit=40)) == many + many


async def queue(
    session: StoreSession,
    names: str,
    *,
    seconds: float = 1.0,
    at: float = 0,
    name: str = "gpu",
    activity: str = "render",
    priority: Priority = Priority.NORMAL,
    labels: dict[str, str] | None = None,
) -> None:
    """Put a task into a queue for each letter, which is its tenant, each a moment after the one before."""
    run = await session.hold(f"run of {session.store.new_run_key()}")
    expected = round(seconds * MICROSECONDS_PER_SECOND)
    options = ActivityOptions(expected_duration_microseconds=expected, labels=labels)
    queued = [
        task(
            run,
            number,
            queue=name,
            activity=activity,
            priority=priority,
            queued_at=later(at + number / 1000),
            options=options,
            tenant=tenant,
        )
        for number, tenant in enumerate(names, start=1)
    ]
    await change(session, run, queued=queued)


def tenants(claimed: Sequence[ClaimedTask]) -> str:
    """Return whose tasks those are."""
    return "".join(one.task.origin.tenant for one in claimed)


def cost_of(claimed: ClaimedTask, seconds: float) -> TaskCost:
    """Return what a worker tells of a task that has taken so long."""
    task = claimed.task
    return TaskCost(queue=task.queue, priority=task.priority, share=task.share, seconds=seconds - task.expected_seconds)
