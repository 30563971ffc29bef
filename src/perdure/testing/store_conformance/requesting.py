"""Requests and answers: a request is delivered once, for ever; a run that sends a message learns what became of it."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.lineage import CarriedUpdate
from perdure.kernel.messages import SignalMessage, request_of_update
from perdure.kernel.payload import NULL
from perdure.kernel.transition import Answers, Applied, Closed, Creation, Delivery, Missing, RunStatus
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
    """`request_id` and `unanswered` of deliveries and creations, and `Delivery.answers`."""

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
        assert await session.commit_one(delivery(RUN, request_id="r")) == Applied(run.run_key)
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

    async def test_a_repeated_request_is_answered_with_the_generation_that_took_it_in(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        following = creation(session.store.new_run_key(), generation=2)
        moved = transition(first, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
        await session.commit(moved)
        assert await session.commit_one(delivery(RUN, "again", request_id="r")) == Applied(first.run_key)
        assert await session.signals(following.run_key) == ["signal"]
        second = await session.take(following.run_key)
        assert await session.commit_one(delivery(RUN, "new", request_id="s")) == Applied(second.run_key, session.worker)
        assert await session.commit_one(delivery(first.run_key, request_id="s")) == Applied(
            second.run_key, session.worker
        )

    # --- requests that nobody has answered -------------------------------------------------------------------------

    async def test_a_request_that_an_ended_run_left_unanswered_is_made_anew_once(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        anew = delivery(RUN, "anew", request_id="r", unanswered=first.run_key)
        await session.finish(first)
        assert await session.commit_one(anew) == Closed(first.run_key, RunStatus.COMPLETED)
        second = await session.create(generation=2)
        assert await session.commit_one(delivery(RUN, "again", request_id="r")) == Applied(first.run_key)
        assert await session.commit(anew, anew) == [Applied(second)] * 2
        assert await session.commit_one(anew) == Applied(second)
        assert await session.signals(second) == ["anew"]

    async def test_a_run_is_begun_by_a_request_that_the_one_before_left_unanswered(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.hold()
        await session.commit(delivery(RUN, request_id="r"))
        await session.finish(first)
        wrong, right = (
            creation(session.store.new_run_key(), generation=2, request_id="r", unanswered=unanswered)
            for unanswered in (RunKey(first.run_key + 1), first.run_key)
        )
        assert await session.commit_one(wrong) == Applied(first.run_key)
        assert await session.commit_one(right) == Applied(right.run_key)
        again = creation(session.store.new_run_key(), generation=2, request_id="r", unanswered=first.run_key)
        assert await session.commit_one(again) == Applied(right.run_key)

    # --- updates that come with a start ----------------------------------------------------------------------------

    async def test_an_update_with_which_a_run_begins_counts_as_delivered(self, harness: StoreHarness) -> None:
        session = await harness.session()
        unborn = harness.unborn(session, "owned")
        begun = _begun_with("r", session.store.new_run_key())
        await session.commit(
            begun, transition(unborn, begins=_begun_with("s", unborn.run_key, "owned")), delivery(RUN, request_id="r")
        )
        for run_id, run_key, update_id, owner in (
            ("run", begun.run_key, "r", None),
            ("owned", unborn.run_key, "s", session.worker),
        ):
            again = delivery(RunRef(id=run_id), "again", request_id=request_of_update(update_id))
            assert await session.commit_one(again) == Applied(run_key, owner)
        assert await session.signals(begun.run_key) == ["signal"]
        assert await session.inbox(unborn.run_key) == []

    async def test_a_run_is_not_begun_by_an_update_that_the_one_before_took_in(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await session.hold()
        await session.commit(delivery(RUN, request_id=request_of_update("r")))
        await session.finish(first)
        keys = [session.store.new_run_key() for _ in range(2)]
        assert await session.commit_one(_begun_with("r", keys[0], generation=2)) == Applied(first.run_key)
        anew = _begun_with("r", keys[1], generation=2, unanswered=first.run_key)
        assert await session.commit_one(anew) == Applied(keys[1])
        again = delivery(RUN, request_id=request_of_update("r"), unanswered=first.run_key)
        assert await session.commit_one(again) == Applied(keys[1])
        assert await session.inbox(keys[1]) == []

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


def _begun_with(
    update_id: str, run_key: RunKey, run_id: str = "run", *, generation: int = 1, unanswered: RunKey | None = None
) -> Creation:
    """Return the creation of a run that begins with an update, by its request."""
    update = CarriedUpdate(update_id=update_id, name="update", body=NULL)
    return creation(
        run_key, run_id, generation=generation, request_id=update_id, unanswered=unanswered, updates=(update,)
    )


def _asking(sender: Held, target: RunRef, name: str, *, refusals_only: bool = False) -> Delivery:
    answers = Answers(
        run_key=sender.run_key,
        delivered=None if refusals_only else SignalMessage(name="delivered"),
        missing=SignalMessage(name="missing"),
        closed=SignalMessage(name="closed"),
    )
    return delivery(target, name, answers=answers)
