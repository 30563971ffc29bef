"""Deliveries: who gets a message, once, and wakes up for it."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

import msgspec

from perdure.kernel.events import ChildOutcome
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.messages import (
    CancelMessage,
    ChildCompletedMessage,
    ChildFailedMessage,
    Message,
    PriorityMessage,
    ResumeMessage,
    SignalMessage,
    SuspendMessage,
    TerminateMessage,
)
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Closed, Delivery, Missing, RunStatus, Stale, Unread
from perdure.testing.store_conformance.harness import START, StoreHarness, delivery, later, transition


class DeliveringConformance:
    """`Delivery`."""

    async def test_every_kind_of_message_comes_back_as_it_was_sent(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        messages: list[Message] = [
            SignalMessage(name="paid\x00 é💥 ' %", body=msgspec.Raw(b'{"total": 1.50}'), message_id="1"),
            CancelMessage(reason="why", by="me", grace_until=later(1)),
            TerminateMessage(reason="why", by="me"),
            SuspendMessage(reason="why", by="me"),
            ResumeMessage(by="me"),
            PriorityMessage(new=Priority.CRITICAL, reason="why", by="me"),
            ChildCompletedMessage(operation=Operation(3), result=msgspec.Raw(b"[1]")),
            ChildFailedMessage(
                operation=Operation(4),
                outcome=ChildOutcome.CANCELLED,
                failure=Failure(type="A", message="b", cause=Failure(type="C", message="d")),
            ),
        ]
        await session.commit(
            *(delivery(run.run_key, str(n), message=sent, at=later(n)) for n, sent in enumerate(messages))
        )
        entries = await session.inbox(run.run_key)
        assert [entry.message for entry in entries] == messages
        assert [entry.message_id for entry in entries] == [str(n) for n in range(len(messages))]
        assert [entry.at for entry in entries] == [later(n) for n in range(len(messages))]

    async def test_messages_are_kept_in_the_order_they_came(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold("run"), await session.hold("other")
        for name in "dacb":
            await session.commit(delivery(run.run_key, name, at=later(-ord(name))), delivery(other.run_key, name))
        assert await session.signals(run.run_key) == ["d", "a", "c", "b"]
        positions = [entry.position for entry in await session.inbox(run.run_key)]
        assert positions == sorted(set(positions))

    async def test_a_message_that_comes_after_the_inbox_was_emptied_stands_behind_all_before_it(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "first"))
        (first,) = await session.inbox(run.run_key)
        await session.advance(run, consumed=[first.position])
        await session.commit(delivery(run.run_key, "second"))
        (second,) = await session.inbox(run.run_key)
        assert second.position > first.position

    async def test_a_delivery_by_name_reaches_the_latest_generation(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.finish(run)
        second = await session.create(generation=2)
        for number, generation in enumerate((1, 2, 7)):
            sent = delivery(RunRef(id="run", generation=generation), f"signal {number}")
            assert await session.commit_one(sent) == Applied(second)
        assert await session.signals(second) == ["signal 0", "signal 1", "signal 2"]
        assert await session.inbox(run.run_key) == []

    async def test_a_delivery_by_key_reaches_that_generation_only(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.finish(run, RunStatus.CONTINUED)
        await session.create(generation=2)
        assert await session.commit_one(delivery(run.run_key)) == Closed(run.run_key, RunStatus.CONTINUED)

    async def test_a_delivery_to_nobody_is_refused_as_missing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("run", namespace="elsewhere")
        for target in (
            RunRef(id="run"),
            RunRef(namespace="elsewhere", id="ru"),
            session.store.new_run_key(),
            RunKey(-1),
        ):
            assert await session.commit_one(delivery(target)) == Missing(target)

    async def test_a_delivery_to_a_closed_run_is_refused_with_its_status(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for status in RunStatus:
            if status.is_closed:
                run = await session.hold(status)
                await session.finish(run, status)
                assert await session.commit_one(delivery(RunRef(id=status))) == Closed(run.run_key, status)
                assert await session.inbox(run.run_key) == []

    async def test_a_delivery_says_who_owns_the_run_it_went_to(self, harness: StoreHarness) -> None:
        session, client = await harness.session("owner"), await harness.session("client")
        run = await session.hold()
        assert await client.commit_one(delivery(RunRef(id="run"), "a")) == Applied(run.run_key, session.worker)
        await session.give_back(run)
        assert await client.commit_one(delivery(RunRef(id="run"), "b")) == Applied(run.run_key, None)

    async def test_a_message_id_that_waits_in_the_inbox_is_not_delivered_twice(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "first", message_id="1"))
        for target in (run.run_key, RunRef(id="run")):
            again = await session.commit_one(delivery(target, "second", message_id="1"))
            assert again == Applied(run.run_key, session.worker)
        await session.commit(delivery(run.run_key, "a", message_id="2"), delivery(run.run_key, "b", message_id="2"))
        assert await session.signals(run.run_key) == ["first", "a"]

    async def test_one_message_id_may_wait_in_the_inboxes_of_several_runs(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("one"), await session.hold("two")
        await session.commit(delivery(one.run_key, message_id="1"), delivery(two.run_key, message_id="1"))
        assert len(await session.inbox(one.run_key)) == len(await session.inbox(two.run_key)) == 1

    async def test_reading_a_message_id_is_remembered_only_while_its_message_waits(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "first", message_id="1"))
        (entry,) = await session.inbox(run.run_key)
        await session.advance(run, consumed=[entry.position])
        await session.commit(delivery(run.run_key, "second", message_id="1"))
        assert await session.signals(run.run_key) == ["second"]

    async def test_reading_an_empty_message_id_names_nothing_so_no_message_is_lost(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        nameless = Delivery(target=run.run_key, message=ResumeMessage(), message_id="", at=START)
        await session.commit(nameless, nameless)
        await session.commit(nameless)
        assert len(await session.inbox(run.run_key)) == 3

    async def test_reading_a_closed_run_refuses_even_a_message_id_it_holds(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, message_id="1"))
        await session.finish(run)
        refused = await session.commit_one(delivery(run.run_key, message_id="1"))
        assert refused == Closed(run.run_key, RunStatus.COMPLETED)

    async def test_a_message_wakes_a_run_that_nobody_owns(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=None)
        assert await session.claim(now=later(1)) == []
        await session.commit(delivery(run.run_key, at=later(5)))
        assert await session.claim(now=later(4)) == []
        assert [claimed.summary.run_key for claimed in await session.claim(now=later(5))] == [run.run_key]

    async def test_a_message_wakes_a_run_before_its_time(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=later(100))
        await session.commit(delivery(run.run_key, at=later(5)))
        assert len(await session.claim(now=later(5))) == 1

    async def test_a_message_does_not_put_off_a_run_that_is_due_earlier(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=later(5))
        await session.commit(delivery(run.run_key, at=later(100)))
        assert len(await session.claim(now=later(5))) == 1

    async def test_a_message_to_an_owned_run_does_not_offer_it_to_others(self, harness: StoreHarness) -> None:
        session, other = await harness.session(), await harness.session()
        run = await session.hold()
        await other.commit(delivery(run.run_key))
        assert await other.claim() == []
        assert (await session.row(run.run_key)).wake_at is None

    async def test_an_inbox_is_read_from_its_oldest_entry_up_to_the_limit(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(*(delivery(run.run_key, str(n)) for n in range(20)))
        entries = await session.store.read_inbox(run.run_key, limit=3)
        assert await session.signals(run.run_key) == [str(n) for n in range(20)]
        assert [entry.message_id for entry in entries] == ["0", "1", "2"]

    async def test_an_inbox_is_read_on_behind_a_position(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold(), await session.hold("other")
        for n in range(6):
            await session.commit(delivery(run.run_key, str(n)), delivery(other.run_key, str(n)))
        entries = await session.inbox(run.run_key)
        read_on = session.store.read_inbox
        assert await read_on(run.run_key, after=entries[1].position, limit=3) == entries[2:5]
        assert await read_on(run.run_key, after=entries[3].position - 1) == entries[3:]
        assert await read_on(run.run_key, after=entries[5].position) == []

    async def test_all_of_an_inbox_in_which_nothing_is_damaged_can_be_read(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(*(delivery(run.run_key, str(n)) for n in range(3)))
        assert await session.store.read_rest_of_inbox(run.run_key) == await session.inbox(run.run_key)

    async def test_the_inbox_of_a_run_that_does_not_exist_is_empty(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.inbox(session.store.new_run_key()) == []

    async def test_a_transition_does_not_overtake_a_message_in_the_inbox(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "told"))
        (entry,) = await session.inbox(run.run_key)
        before = await session.row(run.run_key)
        # Not even by consuming it: then it came too late for what happens in this transition.
        write = transition(run, must_not_overtake=["other", "told"], consumed=[entry.position])
        assert await session.commit_one(write) == Unread(run.run_key)
        assert await session.row(run.run_key) == before
        assert await session.signals(run.run_key) == ["told"]
        await session.advance(run, consumed=[entry.position])
        await session.advance(run, must_not_overtake=["told"])

    async def test_what_a_transition_must_not_overtake_is_in_its_own_inbox(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold(), await session.hold("other")
        await session.commit(delivery(other.run_key, "told"))
        await session.advance(run, must_not_overtake=["told"])

    async def test_writes_of_one_batch_overtake_in_their_order(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold(), await session.hold("other")
        late, early = delivery(run.run_key, "told"), delivery(other.run_key, "told")
        outcomes = await session.commit(
            transition(run, must_not_overtake=["told"]), late, early, transition(other, must_not_overtake=["told"])
        )
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied, Applied, Unread]

    async def test_a_stale_transition_is_refused_also_where_it_would_overtake(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        old = msgspec.structs.replace(run)
        await session.advance(run)
        await session.commit(delivery(run.run_key, "told"))
        assert await session.commit_one(transition(old, must_not_overtake=["told"])) == Stale(run.run_key)
