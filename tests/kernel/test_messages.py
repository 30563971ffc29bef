"""Messages as inbox rows."""

import msgspec
import pytest

from perdure.kernel import messages as m
from perdure.kernel.events import ChildOutcome, SignalOutcome, TimeoutKind
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.locking import LockWait
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from tests.kernel.lives import BROKEN, RETRIED, json

MESSAGES = [
    m.SignalMessage(name="go", body=json({"a": [1]}), message_id="x"),
    m.UpdateMessage(update_id="u", name="add", body=json([1])),
    m.CancelMessage(reason="why", by="ann", grace_until=Timestamp(5), grace_microseconds=4, parent_key=3),
    m.TerminateMessage(reason="why", by="ann", parent_key=3),
    m.SuspendMessage(reason="why", by="ann"),
    m.ResumeMessage(by="ann"),
    m.PriorityMessage(new=Priority.HIGH, reason="why", by="ann"),
    m.ChildCompletedMessage(operation=Operation(1), result=json(5)),
    m.ChildFailedMessage(operation=Operation(1), outcome=ChildOutcome.TERMINATED, failure=BROKEN),
    m.SignalAnswerMessage(operation=Operation(1), generation=2, outcome=SignalOutcome.CLOSED),
    m.LockGrantedMessage(operation=Operation(1), generation=2, token=5),
    m.LockDeniedMessage(operation=Operation(1), cycle=(LockWait(run=RunRef(id="r"), key="k"),)),
    m.CompleteActivityMessage(operation=Operation(1), attempt=2, generation=3, result=json(5), request_id="r"),
    m.FailActivityMessage(operation=Operation(1), attempt=2, failure=BROKEN, request_id="r", retry=RETRIED),
    m.HeartbeatMessage(operation=Operation(1), attempt=2, details=json("half")),
    m.StartActivityMessage(operation=Operation(1), attempt=2, worker="w", at_most_once=True),
    m.TimeOutActivityMessage(
        operation=Operation(1), attempt=2, timeout=TimeoutKind.HEARTBEAT, started_at=Timestamp(4), heartbeat=json(1)
    ),
    m.DeferActivityMessage(
        operation=Operation(1), attempt=2, started_at=Timestamp(4), limits={TimeoutKind.HEARTBEAT: Timestamp(5)}
    ),
    m.PublishMessage(operation=Operation(1), attempt=2, stream="frames", value=json(1)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_its_row_as_it_was(message: m.Message) -> None:
    row = m.encode_message(message)
    assert m.decode_message(row) == message
    assert m.decode_message(row.decode()) == message


def test_there_is_a_case_for_every_message() -> None:
    assert {type(message) for message in MESSAGES} == set(m.Message.__args__)


@pytest.mark.parametrize("row", [b"", b"{}", b'{"kind":"explode"}', b'{"kind":"signal"}', b"[]"])
def test_anything_else_is_refused(row: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        m.decode_message(row)
