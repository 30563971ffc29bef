"""Requests and answers: a request is delivered once, for ever; a run that sends a message learns what became of it."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

from perdure.kernel.identity import RunRef
from perdure.kernel.messages import SignalMessage
from perdure.kernel.transition import Answers, Applied, Closed, Delivery, Missing, RunStatus
from perdure.testing.store_conformance.harness import (
    Held,
    StoreHarness,
    creation,
    delivery,
    later,
    transition,
)

RUN = RunRef(id="run")


class RequestingConformance:
    """`Delivery.request_id` and `Delivery.answers`."""

    # --- requests ------------------------------------------------------------------------------------------------

    async def test_a_request_is_delivered_once_also_when_its_message_was_consumed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        for name in ("first", "second"):
            answered = await session.commit_one(delivery(RUN, name, request_id="r"))
            assert answered == Applied(run.run_key, session.worker)
        assert await session.signals(run.run_key) == ["first"]
        (entry,) = await session.inbox(run.run_key)
        await session.advance(run, consumed=[entry.position])
        for target in (RUN, run.run_key):
            again = await session.commit_one(delivery(target, "third", request_id="r"))
            assert again == Applied(run.run_key, session.worker)
        assert await session.inbox(run.run_key) == []

    async def test_a_request_that_comes_twice_at_once_is_delivered_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        twice = [
            delivery(RUN, "first", request_id="r"),
            delivery(RUN, "second", request_id="r"),
            delivery(RUN, "third"),
        ]
        assert await session.commit(*twice) == [Applied(run.run_key, session.worker)] * 3
        assert await session.signals(run.run_key) == ["first", "third"]

    async def test_a_request_is_known_when_the_run_has_ended(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        await session.finish(run)
        assert await session.commit_one(delivery(RUN, request_id="r")) == Applied(run.run_key)
        assert await session.commit_one(delivery(RUN, request_id="s")) == Closed(run.run_key, RunStatus.COMPLETED)
        assert await session.commit_one(delivery(RUN, request_id="s")) == Closed(run.run_key, RunStatus.COMPLETED)

    async def test_a_request_is_known_to_later_generations(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        await session.finish(run)
        second = await session.create(generation=2)
        assert await session.commit_one(delivery(RUN, request_id="r")) == Applied(second)
        assert await session.inbox(second) == []

    async def test_a_request_of_one_run_or_namespace_is_not_that_of_another(self, harness: StoreHarness) -> None:
        session = await harness.session()
        keys = [await session.create("run"), await session.create("other")]
        keys += [await session.create("run", namespace="elsewhere")]
        targets = [RUN, RunRef(id="other"), RunRef(namespace="elsewhere", id="run")]
        for target, run_key in zip(targets, keys, strict=True):
            assert await session.commit_one(delivery(target, request_id="r")) == Applied(run_key)
            assert len(await session.inbox(run_key)) == 1

    async def test_a_request_to_nobody_is_not_remembered(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.commit_one(delivery(RUN, request_id="r")) == Missing(RUN)
        run_key = await session.create()
        assert await session.commit_one(delivery(RUN, request_id="r")) == Applied(run_key)
        assert len(await session.inbox(run_key)) == 1

    async def test_a_request_outlives_its_session(self, harness: StoreHarness) -> None:
        first = await harness.session()
        run_key = await first.create()
        await first.commit(delivery(RUN, request_id="r"))
        await harness.end(first)
        second = await harness.session()
        assert await second.commit_one(delivery(RUN, request_id="r")) == Applied(run_key)
        assert len(await second.inbox(run_key)) == 1

    async def test_a_run_is_not_begun_again_by_a_request_that_was_delivered_to_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        await session.finish(run)
        again = creation(session.store.new_run_key(), generation=2, request_id="r")
        assert await session.commit_one(again) == Applied(run.run_key)
        other = creation(session.store.new_run_key(), generation=2, request_id="s")
        assert await session.commit_one(other) == Applied(other.run_key)

    # --- answers -------------------------------------------------------------------------------------------------

    async def test_a_run_learns_what_became_of_what_it_sent(self, harness: StoreHarness) -> None:
        session = await harness.session()
        sender, open_run, ended = await session.hold("sender"), await session.hold("open"), await session.hold("ended")
        await session.finish(ended)
        targets = ["open", "nobody", "ended"]
        await session.advance(sender, deliveries=[_asking(sender, RunRef(id=target), target) for target in targets])
        assert await session.signals(sender.run_key) == ["delivered", "missing", "closed"]
        assert await session.signals(open_run.run_key) == ["open"]

    async def test_a_run_that_wants_to_know_of_refusals_only_hears_of_nothing_else(self, harness: StoreHarness) -> None:
        session = await harness.session()
        sender = await session.hold("sender")
        await session.hold("open")
        sent = [_asking(sender, RunRef(id=target), target, refusals_only=True) for target in ("open", "nobody")]
        await session.advance(sender, deliveries=sent)
        assert await session.signals(sender.run_key) == ["missing"]

    async def test_a_run_that_ends_with_what_it_sent_gets_no_answer(self, harness: StoreHarness) -> None:
        session = await harness.session()
        sender = await session.hold("sender")
        await session.commit(
            transition(sender, status=RunStatus.COMPLETED, deliveries=[_asking(sender, RunRef(id="nobody"), "nobody")])
        )
        assert await session.inbox(sender.run_key) == []

    async def test_an_answer_makes_a_run_due_that_is_given_back(self, harness: StoreHarness) -> None:
        session = await harness.session()
        sender = await session.hold("sender")
        await session.advance(sender, deliveries=[_asking(sender, RunRef(id="nobody"), "nobody")])
        await session.give_back(sender, wake_at=later(100), now=later(1))
        assert len(await session.claim(now=later(1))) == 1

    async def test_what_is_refused_has_no_answer(self, harness: StoreHarness) -> None:
        session = await harness.session()
        sender = await session.hold("sender")
        stale = Held(
            run_key=sender.run_key,
            ref=sender.ref,
            owner=sender.owner,
            fencing_token=sender.fencing_token,
            sequence=sender.sequence + 7,
        )
        await session.commit(transition(stale, deliveries=[_asking(sender, RunRef(id="nobody"), "nobody")]))
        assert await session.signals(sender.run_key) == []


def _asking(sender: Held, target: RunRef, name: str, *, refusals_only: bool = False) -> Delivery:
    answers = Answers(
        run_key=sender.run_key,
        delivered=None if refusals_only else SignalMessage(name="delivered"),
        missing=SignalMessage(name="missing"),
        closed=SignalMessage(name="closed"),
    )
    return delivery(target, name, answers=answers)
