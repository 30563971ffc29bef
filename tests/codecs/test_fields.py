"""Where payloads stand: found in every record that can hold one."""

import typing

import msgspec
import pytest

from perdure.codecs import fields
from perdure.codecs.fields import transform
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp

ONE = Operation(1)
FAILURE = Failure(type="A", message="why", traceback="where", cause=Failure(type="B", message="because"))

RECORDS: list[tuple[msgspec.Struct, list[bytes], list[str]]] = [
    (
        e.RunCreated(
            workflow="w",
            ref=RunRef(id="r"),
            input=Payload(b"1"),
            seed=1,
            carried_state={"a": Payload(b"2"), "b": Payload(b"3")},
            carried_signals=(e.CarriedSignal(name="s", body=Payload(b"4")),),
        ),
        [b"1", b"2", b"3", b"4"],
        [],
    ),
    (e.ActivityCompleted(operation=ONE, result=Payload(b"5")), [b"5"], []),
    (
        e.ActivityAttemptFailed(
            operation=ONE, attempt=1, failure=FAILURE, next_attempt_at=Timestamp(1), heartbeat=Payload(b"6")
        ),
        [b"6"],
        ["why", "where", "because"],
    ),
    (e.TimerFired(operation=ONE), [], []),
    (e.CompensationStepCompleted(operation=ONE, compensates=ONE), [], []),
    (m.SignalMessage(name="s", body=Payload(b"7")), [b"7"], []),
    (m.SuspendMessage(reason="no payload"), [], []),
]


@pytest.mark.parametrize(("record", "payloads", "texts"), RECORDS, ids=lambda value: type(value).__name__)
def test_payloads_and_texts_of_failures_are_found_and_replaced(
    record: msgspec.Struct, payloads: list[bytes], texts: list[str]
) -> None:
    found: list[bytes] = []
    said: list[str] = []

    def on_payload(payload: Payload) -> Payload:
        found.append(bytes(payload))
        return Payload(b"[" + bytes(payload) + b"]")

    def on_text(text: str) -> str:
        said.append(text)
        return text.upper()

    replaced = transform(record, on_payload, on_text)
    assert (sorted(found), sorted(said)) == (sorted(payloads), sorted(texts))
    assert transform(record, lambda payload: payload, lambda text: text) is record
    if not payloads and not texts:
        assert replaced is record
        return
    wrapped = [b"[" + payload + b"]" for payload in found]
    found.clear()
    transform(replaced, on_payload, on_text)
    assert found == wrapped


def test_no_field_of_an_event_or_message_that_is_declared_as_a_payload_is_overlooked() -> None:
    kinds: list[type[msgspec.Struct]] = [*e.EVENT_NAMES, *typing.get_args(m.Message)]
    overlooked = [
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in msgspec.structs.fields(kind)
        if "Raw" in str(field.type) and field.name not in dict(fields._walks(kind))
    ]
    assert overlooked == []
