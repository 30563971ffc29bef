"""Starts that wait in the agenda: what shall be started is known and durable, the run does not exist yet.

The run's id and key are given when it is asked for, so that whoever asked can wait for its end already. Everything else
of it is its creation as it was made then, moved to the time at which it begins; its input stands in the entry's inputs.
"""

import msgspec

from perdure.chance import new_name
from perdure.errors import HistoryError
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent, decode_event, encode_event
from perdure.kernel.identity import RunKey
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation

__all__ = ["WaitingStart", "begun", "let_wait"]


class WaitingStart(msgspec.Struct, frozen=True):
    """A start that waits: the run's id and key, when it was asked for, and its first event without the input."""

    run_id: str
    run_key: RunKey
    asked_at: Timestamp
    event_type: str
    event_version: int
    event: str


def let_wait(creation: Creation) -> tuple[WaitingStart, Payload]:
    """Return a creation as a start that waits, and its input."""
    created = creation.created.event
    assert isinstance(created, RunCreated)
    bare = RecordedEvent(1, creation.created.at, msgspec.structs.replace(created, input=NULL))
    _, event_type, version, asked_at, event = encode_event(bare)
    start = WaitingStart(
        run_id=creation.ref.id,
        run_key=creation.run_key,
        asked_at=Timestamp(asked_at),
        event_type=event_type,
        event_version=version,
        event=event.decode(),
    )
    return start, created.input


def begun(start: WaitingStart, given: Payload, *, namespace: str, now: Timestamp) -> Creation:
    """Return the creation of a run that has waited long enough, in an entry of `namespace`. Raises HistoryError if it
    cannot be read, or is one of another namespace.

    Its limits of time count from now; a time before which it shall not begin still holds.
    """
    try:
        created = decode_event(1, start.event_type, start.event_version, start.asked_at, start.event).event
    except HistoryError as error:
        raise HistoryError(f"the start of the run {start.run_id} cannot be read: {error}") from error
    if not isinstance(created, RunCreated):
        message = f"the start of the run {start.run_id} holds the event {start.event_type}, which begins no run"
        raise HistoryError(message)
    if created.ref.namespace != namespace:
        message = f"the start of the run {start.run_id} in the namespace {namespace} holds that of {created.ref}"
        raise HistoryError(message)
    begin_at = None if created.start_at is None or created.start_at <= now else created.start_at
    wake_at = begin_at or now
    limit = created.execution_timeout_microseconds
    created = msgspec.structs.replace(
        created,
        input=given,
        call_name=created.call_name or new_name(),  # none stands in the entry of an older Perdure
        start_at=begin_at,
        deadline_at=None if limit is None else Timestamp(wake_at + limit),
    )
    return Creation(
        run_key=start.run_key,
        ref=created.ref,
        workflow=created.workflow,
        definition_version=created.definition_version,
        priority=created.priority,
        tenant=created.tenant,
        labels=created.labels,
        parent_key=None,
        created=RecordedEvent(1, now, created),
        wake_at=wake_at,
    )
