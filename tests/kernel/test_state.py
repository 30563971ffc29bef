"""The laws of the fold, tried on generated legal histories."""

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HistoryError, IllegalTransitionError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent, decode_event, encode_event
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.state import RunState, apply, fitting, fold
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import CLOSED_STATUSES, OPEN_STATUSES, RunStatus
from tests.kernel.histories import histories, write_history

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
FAILURE = Failure(type="ValueError", message="no")


def live(history: list[RecordedEvent]) -> RunState:
    """Return the state as the run's owner keeps it: one record after another, in place."""
    state = RunState()
    for recorded in history:
        state.record(recorded.event, recorded.at)
    return state


def after(*events: e.Event) -> RunState:
    return live([RecordedEvent(number, Timestamp(number), event) for number, event in enumerate(events, 1)])


# --- the six laws ------------------------------------------------------------------------------------------------


@given(histories())
def test_law_1_the_same_events_give_the_same_state(history: list[RecordedEvent]) -> None:
    assert fold(RunState(), history) == fold(RunState(), history)


@given(histories(longest=30))
def test_law_2_the_state_rebuilt_from_the_log_is_the_live_state_at_every_prefix(history: list[RecordedEvent]) -> None:
    state = RunState()
    for number, recorded in enumerate(history, 1):
        state.record(recorded.event, recorded.at)
        rows = [encode_event(earlier) for earlier in history[:number]]
        assert fold(RunState(), [decode_event(*row) for row in rows]) == state


@given(histories(), st.data())
def test_law_3_a_checkpoint_and_the_rest_give_what_all_gives(history: list[RecordedEvent], data: st.DataObject) -> None:
    whole = fold(RunState(), history)
    split = data.draw(st.integers(0, len(history)))
    checkpoint = fold(RunState(), history[:split])
    kept = fold(RunState(), history[:split])
    assert fold(checkpoint, history[split:]) == whole
    assert checkpoint == kept


@given(histories(), st.data())
def test_law_4_after_a_crash_the_state_is_that_of_the_last_acknowledged_event_or_later(
    history: list[RecordedEvent], data: st.DataObject
) -> None:
    """A log is cut at a whole event at or after the last acknowledged one; nothing of a later event is half there."""
    acknowledged = data.draw(st.integers(0, len(history)))
    survived = data.draw(st.integers(acknowledged, len(history)))
    recovered = fold(RunState(), history[:survived])
    assert recovered.sequence == survived >= acknowledged
    assert recovered == live(history[:survived])
    assert fold(recovered, history[survived:]) == live(history)


@given(histories(), st.lists(st.integers(0, 60), max_size=4))
def test_law_5_folding_a_concatenation_is_folding_its_parts_in_order(
    history: list[RecordedEvent], cuts: list[int]
) -> None:
    state, begin = RunState(), 0
    for cut in [*sorted(min(cut, len(history)) for cut in cuts), len(history)]:
        state, begin = fold(state, history[begin:cut]), cut
    assert state == fold(RunState(), history)


@given(histories())
def test_law_6_progress_never_falls_and_is_1_exactly_at_completion(history: list[RecordedEvent]) -> None:
    state, before = RunState(), 0.0
    for recorded in history:
        state.record(recorded.event, recorded.at)
        assert before <= state.progress <= 1.0
        assert (state.progress == 1.0) is (state.status is RunStatus.COMPLETED)
        before = state.progress


# --- what else holds for every history -------------------------------------------------------------------------------


@given(histories(longest=30))
def test_applying_an_event_leaves_the_given_state_as_it_was(history: list[RecordedEvent]) -> None:
    state = RunState()
    for number, recorded in enumerate(history):
        kept = live(history[:number])
        following = apply(state, recorded.event, recorded.at)
        assert state == kept
        assert following.sequence == state.sequence + 1
        state = following


@given(histories())
def test_a_run_is_closed_exactly_while_its_status_is_a_closed_one(history: list[RecordedEvent]) -> None:
    state = RunState()
    for recorded in history:
        state.record(recorded.event, recorded.at)
        assert state.is_closed is state.status.is_closed is (state.status in CLOSED_STATUSES)
        assert (state.closing is None) is (state.status in OPEN_STATUSES)
        assert state.updated_at == recorded.at


@given(histories())
def test_a_retry_is_awaited_exactly_where_an_activity_says_so(history: list[RecordedEvent]) -> None:
    state = live(history)
    awaited = {op: a.next_attempt_at for op, a in state.activities.items() if a.next_attempt_at is not None}
    assert awaited == state.retries


@given(histories(longest=25), st.integers(0, 2**32))
def test_an_illegal_event_leaves_the_state_as_it_was(history: list[RecordedEvent], seed: int) -> None:
    """Every event of other histories is tried on this state: it is taken whole or refused without a trace."""
    state = live(history)
    for recorded in write_history(random.Random(seed).randrange, length=40):
        tried = state.copy()
        with suppress(IllegalTransitionError):
            tried.record(recorded.event, recorded.at)
        assert tried == state or tried.sequence == state.sequence + 1


def test_the_generated_histories_hold_every_event_type() -> None:
    seen = {
        type(recorded.event)
        for seed in range(60)
        for recorded in write_history(random.Random(seed).randrange, length=120)
    }
    assert seen == set(e.EVENT_NAMES)


# --- progress ----------------------------------------------------------------------------------------------------


def scheduled(operation: int) -> e.ActivityScheduled:
    return e.ActivityScheduled(operation=Operation(operation), activity="a", input=NULL)


def staged(*names: str) -> list[e.Event]:
    """Return a run's first events that declare stages one and two, then pass these."""
    events: list[e.Event] = [msg_replace(CREATED, stages=("one", "two")), e.RunStarted()]
    for operation, name in enumerate(names, 1):
        events.append(e.StageStarted(operation=Operation(operation), name=name))
        events.append(e.StageCompleted(operation=Operation(operation)))
    return events


def msg_replace(event: e.RunCreated, **changes: Any) -> e.RunCreated:
    from msgspec.structs import replace

    return replace(event, **changes)


def test_progress_of_declared_stages_is_their_finished_share() -> None:
    assert after(*staged("one")).progress == pytest.approx(1 / 3)
    assert after(*staged("one", "two")).progress == pytest.approx(2 / 3)


def test_a_stage_that_is_passed_again_or_was_not_declared_is_no_progress() -> None:
    assert after(*staged("one", "one", "one")).progress == pytest.approx(1 / 3)
    assert after(*staged("other")).progress == 0


def test_a_failed_stage_is_no_progress() -> None:
    failed = e.StageFailed(operation=Operation(1), failure=FAILURE)
    assert after(*staged()[:2], e.StageStarted(operation=Operation(1), name="one"), failed).progress == 0


def test_progress_without_declared_stages_is_the_share_of_finished_activities() -> None:
    one_of_two = [CREATED, e.RunStarted(), scheduled(1), scheduled(2), e.ActivityCompleted(operation=Operation(1))]
    assert after(*one_of_two).progress == pytest.approx(1 / 3)


def test_an_activity_given_up_is_neither_progress_nor_work_to_do() -> None:
    given_up = [CREATED, e.RunStarted(), scheduled(1), scheduled(2), e.ActivityCancelled(operation=Operation(1))]
    assert after(*given_up).progress == 0
    assert after(*given_up, e.ActivityCompleted(operation=Operation(2))).progress == pytest.approx(1 / 2)


# --- single rules ------------------------------------------------------------------------------------------------


def test_a_history_with_a_gap_is_refused() -> None:
    with pytest.raises(HistoryError, match="gap: event 3 follows event 1"):
        fold(RunState(), [RecordedEvent(1, Timestamp(1), CREATED), RecordedEvent(3, Timestamp(1), e.RunStarted())])


def test_the_stage_shown_is_the_innermost_one() -> None:
    outer, inner = (e.StageStarted(operation=Operation(n), name=name) for n, name in ((1, "outer"), (2, "inner")))
    state = after(CREATED, e.RunStarted(), outer, inner)
    assert state.stage == "inner"
    state.record(e.StageCompleted(operation=Operation(2)), Timestamp(9))
    assert state.stage == "outer"
    state.record(e.StageCompleted(operation=Operation(1)), Timestamp(9))
    assert state.stage == ""


def test_carried_state_and_labels_are_where_a_generation_begins() -> None:
    state = after(msg_replace(CREATED, labels={"a": "b"}, carried_state={"k": NULL}))
    assert (state.labels, state.keys) == ({"a": "b"}, {"k": NULL})


def test_the_heartbeat_of_the_last_attempt_that_had_one_is_kept() -> None:
    beat = e.ActivityHeartbeatRecorded(operation=Operation(1), attempt=1, details=NULL)
    state = after(CREATED, e.RunStarted(), scheduled(1), beat)
    failed = e.ActivityAttemptFailed(
        operation=Operation(1), attempt=1, failure=FAILURE, next_attempt_at=Timestamp(50), heartbeat=NULL
    )
    state.record(failed, Timestamp(20))
    activity = state.activities[1]
    assert (activity.attempt, activity.next_attempt_at, activity.retry_delay_microseconds) == (2, 50, 30)


# --- waking ------------------------------------------------------------------------------------------------------


def test_a_run_with_nothing_to_come_never_wakes() -> None:
    assert after(CREATED, e.RunStarted()).next_wake_at(Timestamp(0)) is None


def test_a_run_wakes_for_the_earliest_of_what_may_come_due() -> None:
    created = msg_replace(CREATED, deadline_at=Timestamp(900))
    events = [
        created,
        e.RunStarted(),
        scheduled(1),
        e.ActivityAttemptFailed(operation=Operation(1), attempt=1, failure=FAILURE, next_attempt_at=Timestamp(300)),
        e.TimerStarted(operation=Operation(2), due_at=Timestamp(500)),
        e.RunCancelRequested(grace_until=Timestamp(700)),
    ]
    state = after(*events)
    now = Timestamp(0)
    assert state.next_wake_at(now) == 300
    state.record(e.ActivityCompleted(operation=Operation(1)), Timestamp(10))
    assert state.next_wake_at(now) == 500
    state.record(e.TimerFired(operation=Operation(2)), Timestamp(10))
    assert state.next_wake_at(now) == 700
    state = after(created, e.RunStarted())
    assert state.next_wake_at(now) == 900


def test_a_retry_that_is_due_is_under_way_and_wakes_nobody() -> None:
    failed = e.ActivityAttemptFailed(operation=Operation(1), attempt=1, failure=FAILURE, next_attempt_at=Timestamp(300))
    state = after(CREATED, e.RunStarted(), scheduled(1), failed)
    assert state.next_wake_at(Timestamp(300)) is None
    assert state.next_wake_at(Timestamp(0)) == 300


def test_a_run_that_has_not_begun_wakes_at_its_start() -> None:
    state = after(msg_replace(CREATED, start_at=Timestamp(400), deadline_at=Timestamp(900)))
    assert state.next_wake_at(Timestamp(0)) == 400
    state.record(e.RunStarted(), Timestamp(400))
    assert state.next_wake_at(Timestamp(0)) == 900


# --- what no kernel wrote ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("nobody"), "event 2 does not fit those before it: KeyError('nobody')"),
        (IllegalTransitionError("no", state="s", event="e"), "event 2 does not fit those before it: no"),
        (HistoryError("as it is"), "as it is"),
    ],
)
def test_what_breaks_the_reading_of_a_history_is_an_error_that_names_the_event(error: Exception, says: str) -> None:
    with pytest.raises(HistoryError) as caught, fitting(after(CREATED)):
        raise error
    assert str(caught.value) == says


def test_an_error_of_the_files_is_not_one_of_the_history() -> None:
    with pytest.raises(OSError, match="the disk"), fitting(RunState(), passing=OSError):
        raise OSError("the disk")
