"""Transitions: what an owner's write changes, whole or not at all."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

import msgspec

from perdure.kernel.events import ActivityCompleted, SignalReceived
from perdure.kernel.identity import FencingToken, Operation, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Exists, Missing, RunStatus, Stale, Write
from perdure.testing.store_conformance.harness import (
    START,
    Held,
    StoreHarness,
    StoreSession,
    creation,
    delivery,
    event,
    later,
    transition,
)


class AdvancingConformance:
    """`Transition`."""

    async def test_a_transition_appends_its_events_and_changes_the_row(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(labels={"old": "1", "changed": "1"})
        before = await session.row(run.run_key)
        write = transition(
            run,
            events=2,
            status=RunStatus.SUSPENDED,
            priority=Priority.CRITICAL,
            at=later(5),
            labels={"changed": "2", "new": "3", "old": None, "absent": None},
        )
        outcome = await session.commit_one(write)
        assert isinstance(outcome, Applied)
        assert outcome.run_key == run.run_key
        assert await session.row(run.run_key) == msgspec.structs.replace(
            before,
            sequence=3,
            status=RunStatus.SUSPENDED,
            stage="packing",
            progress=0.5,
            priority=Priority.CRITICAL,
            updated_at=later(5),
            started_at=START,
            labels={"changed": "2", "new": "3"},
        )
        assert (await session.store.read_history(run.run_key))[1:] == list(write.events)

    async def test_what_an_event_holds_comes_back_to_the_byte(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        for payload in (
            b"null",
            b'{"b": 1, "a": [1.50, 1e400]}',
            '"é💥\\u0000\\ud83d\\ude00"'.encode(),
            b'""',
            b"12345678901234567890123",
        ):
            what = ActivityCompleted(operation=Operation(1), result=msgspec.Raw(payload), attempt=3, started_at=START)
            await session.advance(run, what=what)
            (recorded,) = await session.store.read_history(run.run_key, after=run.sequence - 1)
            assert recorded.event == what
            assert isinstance(recorded.event, ActivityCompleted)
            assert bytes(recorded.event.result) == payload

    async def test_text_in_an_event_may_hold_any_character(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        what = SignalReceived(name="\x00 ' \" \\ \n \u2028 é e\u0301 \U0010ffff", message_id="%_")
        await session.advance(run, what=what)
        (recorded,) = await session.store.read_history(run.run_key, after=1)
        assert recorded.event == what

    async def test_a_transition_under_an_older_token_is_stale_and_changes_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        old = msgspec.structs.replace(run, fencing_token=FencingToken(run.fencing_token - 1))
        await _is_stale(session, run, old)

    async def test_a_transition_that_expects_an_older_sequence_is_stale_and_changes_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        old = msgspec.structs.replace(run)
        await session.advance(run)
        await _is_stale(session, run, old)

    async def test_a_transition_that_expects_a_later_sequence_is_stale_and_changes_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await _is_stale(session, run, msgspec.structs.replace(run, sequence=run.sequence + 1))

    async def test_a_transition_of_a_run_that_does_not_exist_is_stale(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = harness.unborn(session)
        assert await session.commit_one(transition(run)) == Stale(run.run_key)
        assert await session.store.read_history(run.run_key) == []

    async def test_a_transition_committed_twice_is_stale_the_second_time(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        write = transition(run)
        first, second = await session.commit(write, write)
        assert isinstance(first, Applied)
        assert second == Stale(run.run_key)
        assert len(await session.store.read_history(run.run_key)) == 2

    async def test_transitions_of_one_run_in_one_batch_follow_each_other(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        first = transition(run, events=2)
        run.sequence += 2
        outcomes = await session.commit(first, transition(run, status=RunStatus.COMPLETED))
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
        assert (await session.row(run.run_key)).status is RunStatus.COMPLETED
        assert [recorded.sequence for recorded in await session.store.read_history(run.run_key)] == [1, 2, 3, 4]

    async def test_a_refused_write_leaves_the_others_of_its_batch_applied(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        new = session.store.new_run_key()
        outcomes = await session.commit(
            creation(new, "new"),
            transition(msgspec.structs.replace(run, fencing_token=FencingToken(99))),
            delivery(run.run_key, "first"),
            creation(session.store.new_run_key(), "new"),
            delivery(RunRef(id="nobody"), "lost"),
            transition(run),
        )
        assert [type(outcome) for outcome in outcomes] == [Applied, Stale, Applied, Exists, Missing, Applied]
        assert await session.store.find(new) is not None
        assert await session.signals(run.run_key) == ["first"]
        assert (await session.row(run.run_key)).sequence == 2

    async def test_a_batch_with_a_write_that_cannot_be_stored_raises_and_applies_nothing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        lone_surrogate = SignalReceived(name="\ud800")
        writes: list[Write] = [
            delivery(run.run_key),
            transition(run, what=lone_surrogate),
            creation(session.store.new_run_key(), "x"),
        ]
        try:
            outcomes = await session.commit(*writes)
        except Exception:  # noqa: BLE001 - which error is the store's business; that nothing is applied is the promise
            outcomes = []
        assert outcomes == []
        assert await session.inbox(run.run_key) == []
        assert await session.store.find(RunRef(id="x")) is None
        assert (await session.row(run.run_key)).sequence == 1
        await session.advance(run)

    async def test_an_empty_batch_is_answered_with_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.commit() == []

    async def test_a_transition_without_events_may_consume_messages(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key))
        (entry,) = await session.inbox(run.run_key)
        await session.advance(run, events=0, consumed=[entry.position])
        assert await session.inbox(run.run_key) == []
        assert (await session.row(run.run_key)).sequence == 1

    async def test_consumed_messages_leave_the_inbox_and_the_others_stay(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(*(delivery(run.run_key, name) for name in "abcd"))
        entries = await session.inbox(run.run_key)
        await session.advance(run, consumed=[entries[0].position, entries[2].position])
        assert await session.signals(run.run_key) == ["b", "d"]

    async def test_a_transition_consumes_messages_of_its_own_run_only(self, harness: StoreHarness) -> None:
        session = await harness.session()
        other = await session.hold("other")
        run = await session.hold("run")
        await session.commit(delivery(other.run_key, "other's"), delivery(run.run_key, "own"))
        (entry,) = await session.inbox(other.run_key)
        await session.advance(run, consumed=[entry.position, 10**12])
        assert await session.signals(other.run_key) == ["other's"]
        assert await session.signals(run.run_key) == ["own"]

    async def test_messages_to_other_runs_arrive_with_the_transition(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, idle = await session.hold("run"), await session.hold("idle")
        await session.give_back(idle)
        await session.advance(run, deliveries=[delivery(idle.run_key, "by key"), delivery(RunRef(id="idle"), "by ref")])
        assert await session.signals(idle.run_key) == ["by key", "by ref"]
        assert [claimed.summary.run_key for claimed in await session.claim(now=START)] == [idle.run_key]

    async def test_messages_to_closed_and_missing_runs_are_dropped_without_refusing_the_transition(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run, closed, open_ = await session.hold("run"), await session.hold("closed"), await session.hold("open")
        await session.finish(closed)
        await session.advance(
            run,
            deliveries=[
                delivery(closed.run_key, "late"),
                delivery(RunRef(id="nobody"), "lost"),
                delivery(session.store.new_run_key(), "lost"),
                delivery(open_.run_key, "good"),
            ],
        )
        assert await session.signals(closed.run_key) == []
        assert await session.signals(open_.run_key) == ["good"]

    async def test_a_run_can_send_a_message_to_itself(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, deliveries=[delivery(RunRef(id="run"), "note")])
        assert await session.signals(run.run_key) == ["note"]

    async def test_a_closed_run_has_no_owner_and_is_never_due_again(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.commit(delivery(run.run_key, "unread"))
        await session.advance(run, status=RunStatus.FAILED, at=later(3))
        row = await session.row(run.run_key)
        assert (row.status, row.owner, row.wake_at, row.closed_at) == (RunStatus.FAILED, None, None, later(3))
        assert await session.claim() == []
        assert await session.signals(run.run_key) == ["unread"]

    async def test_nothing_follows_the_event_that_closed_a_run(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.finish(run)
        assert await session.commit_one(transition(run)) == Stale(run.run_key)
        assert len(await session.store.read_history(run.run_key)) == 2

    async def test_reading_a_run_that_was_given_back_takes_no_transition_from_its_last_owner(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.give_back(run, wake_at=later(100))
        assert await session.commit_one(transition(run)) == Stale(run.run_key)
        assert len(await session.store.read_history(run.run_key)) == 1

    async def test_reading_a_transition_in_the_name_of_a_session_that_does_not_own_the_run_is_stale(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("owner"), await harness.session("other")
        run = await session.hold()
        forged = msgspec.structs.replace(run, owner=other.worker)
        assert await other.commit_one(transition(forged)) == Stale(run.run_key)

    async def test_many_runs_advance_in_one_batch(self, harness: StoreHarness) -> None:
        session = await harness.session()
        created = [creation(session.store.new_run_key(), f"run {n}") for n in range(50)]
        await session.commit(*created)
        runs = [Held.of(claimed) for claimed in await session.claim()]
        outcomes = await session.commit(*(transition(run, events=4) for run in runs))
        assert [type(outcome) for outcome in outcomes] == [Applied] * 50
        assert all([(await session.row(run.run_key)).sequence == 5 for run in runs])


async def _is_stale(session: StoreSession, run: Held, old: Held) -> None:
    """Commit everything a transition can do as `old`, and demand that none of it happens."""
    await session.commit(delivery(run.run_key, "unread"))
    (entry,) = await session.inbox(run.run_key)
    before = await session.row(run.run_key), await session.store.read_history(run.run_key)
    child = creation(session.store.new_run_key(), "child", parent=run)
    write = transition(
        old,
        consumed=[entry.position],
        creations=[child],
        deliveries=[delivery(run.run_key, "sent")],
        labels={"label": "set"},
        status=RunStatus.COMPLETED,
        what=event(1).event,
    )
    assert await session.commit_one(write) == Stale(run.run_key)
    assert (await session.row(run.run_key), await session.store.read_history(run.run_key)) == before
    assert await session.signals(run.run_key) == ["unread"]
    assert await session.store.find(child.run_key) is None
