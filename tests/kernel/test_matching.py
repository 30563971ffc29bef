"""What counts as the same when a program is replayed."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.matching import describe, is_same
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from tests.kernel.histories import histories

ONE, TWO = Operation(1), Operation(2)


def json(value: object) -> Payload:
    return msgspec.Raw(msgspec.json.encode(value))


def call(**changes: Any) -> e.ActivityScheduled:
    return replace(e.ActivityScheduled(operation=ONE, activity="pay", input=json({"amount": 5})), **changes)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(histories())
def test_every_event_is_the_same_as_itself_and_can_be_shown_on_one_line(history: list[RecordedEvent]) -> None:
    for recorded in history:
        assert is_same(recorded.event, recorded.event)
        shown = describe(recorded.event)
        assert shown.startswith(e.EVENT_NAMES[type(recorded.event)])
        assert "\n" not in shown


@pytest.mark.parametrize(
    "other",
    [
        call(operation=TWO),
        call(activity="refund"),
        call(input=json({"amount": 6})),
        call(input=json({})),
        call(input=json([5])),
        call(input=json({"amount": 5.0})),
        call(input=json({"amount": True})),
        call(options=ActivityOptions(queue="slow")),
        call(compensates=TWO),
        e.TimerStarted(operation=ONE, due_at=Timestamp(5)),
    ],
)
def test_another_call_is_not_the_same(other: e.Event) -> None:
    assert not is_same(call(), other)


@given(VALUES)
def test_a_value_said_in_other_bytes_is_the_same(value: Any) -> None:
    spaced = msgspec.Raw(msgspec.json.format(msgspec.json.encode(value), indent=3))
    assert is_same(call(input=json(value)), call(input=spaced))


def test_an_object_may_have_gained_members_at_any_depth_but_not_lost_one() -> None:
    recorded = call(input=json([{"a": {"b": 1}}]))
    gained = call(input=json([{"a": {"b": 1, "c": 2}, "d": 3}]))
    assert is_same(recorded, gained)
    assert not is_same(gained, recorded)


def test_a_list_may_not_have_gained_elements() -> None:
    assert not is_same(call(input=json([1])), call(input=json([1, 2])))


def test_an_activity_s_limit_of_time_may_change_between_deployments() -> None:
    assert is_same(call(deadline_at=Timestamp(5)), call(deadline_at=Timestamp(9)))
    assert is_same(call(deadline_at=None), call(deadline_at=Timestamp(9)))


def test_a_child_s_definition_may_change_between_deployments_but_not_the_call() -> None:
    recorded = e.ChildRequested(operation=ONE, workflow="w", child=RunRef(id="c"), input=json(1))
    newer = replace(recorded, definition_version="2", stages=("a",), execution_timeout_microseconds=5)
    assert is_same(recorded, newer)
    assert not is_same(recorded, replace(recorded, policy=e.ParentClosePolicy.ABANDON))
    assert not is_same(recorded, replace(recorded, child=RunRef(id="d")))


def test_failures_are_compared_by_their_types_alone() -> None:
    def failed(type: str, message: str, *types: str) -> e.StageFailed:
        return e.StageFailed(operation=ONE, failure=Failure(type=type, message=message, types=types))

    assert is_same(failed("KeyError", "at 0x1"), failed("KeyError", "at 0x2"))
    assert not is_same(failed("KeyError", "a"), failed("ValueError", "a"))
    assert is_same(failed("LookupError", "a"), failed("KeyError", "a", "KeyError", "LookupError"))
    assert not is_same(failed("KeyError", "a", "KeyError", "LookupError"), failed("LookupError", "a", "LookupError"))


def test_what_a_generation_hands_on_is_compared_as_payloads() -> None:
    def continued(state: object, signal: object, *, name: str = "go") -> e.RunContinued:
        return e.RunContinued(
            input=json(1),
            next_generation=2,
            next_at=Timestamp(1),
            carried_state={"k": json(state)},
            carried_signals=(e.CarriedSignal(name=name, body=json(signal)),),
        )

    recorded = continued({"a": 1}, {"b": 1})
    assert is_same(recorded, continued({"a": 1, "new": 2}, {"b": 1, "new": 2}))
    assert not is_same(recorded, continued({"a": 2}, {"b": 1}))
    assert not is_same(recorded, continued({"a": 1}, {"b": 2}))
    assert not is_same(recorded, continued({"a": 1}, {"b": 1}, name="stop"))
    assert not is_same(recorded, replace(recorded, carried_signals=()))
    assert not is_same(recorded, replace(recorded, carried_state={}))


def test_labels_are_compared_one_by_one() -> None:
    def labelled(**labels: str | None) -> e.LabelsChanged:
        return e.LabelsChanged(operation=ONE, labels=labels)

    assert is_same(labelled(a="b"), labelled(a="b"))
    assert not is_same(labelled(a="b"), labelled(a=None))
    assert not is_same(labelled(a="b"), labelled(a="b", c="d"))


def test_a_description_shows_the_fields_and_shortens_long_values() -> None:
    assert describe(call()) == 'activity_scheduled(operation=1, activity="pay", input={"amount":5})'
    assert describe(call(input=json("x" * 500))).endswith("xxx…)")
    assert len(describe(call(input=json("x" * 500)))) < 200


def test_an_event_of_a_failure_says_why_in_one_line() -> None:
    message = (
        "walk(): recorded argument 'n': expected str, got int; the recorded JSON does not fit str.\nGive it a default"
    )
    failed = e.RunFailed(operation=ONE, failure=Failure(type="PayloadDecodeError", message=message))
    assert describe(failed) == (
        "run_failed(operation=1, failure=PayloadDecodeError: walk(): recorded argument 'n': expected str, got int; the "
        "recorded JSON does not fit str. Give it a default)"
    )
