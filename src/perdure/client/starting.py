"""Starting runs: ids and what to do when one is taken, and the value that creates a run."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypedDict

import msgspec

from perdure.authoring.arguments import require_choice, require_duration, require_moment, require_text, require_texts
from perdure.authoring.workflow import Workflow
from perdure.chance import new_name, new_uuid
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, seed_of
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation

__all__ = ["IdPolicy", "StartOptions", "StartRequest", "make_creation", "require_id"]

LONGEST_ID_CHARACTERS = 500


class IdPolicy(StrEnum):
    """What `Engine.start` does when a run of the id exists.

    `return_existing`: return that run, open or closed. `fail`: raise RunExistsError. `restart_closed`: if it has ended,
    start a new run under the id; return it if it is open. `replace`: terminate it if it is open, then start a new one;
    this waits until the worker that has the run (or can claim it) has ended it.
    """

    RETURN_EXISTING = "return_existing"
    FAIL = "fail"
    RESTART_CLOSED = "restart_closed"
    REPLACE = "replace"


class StartOptions(TypedDict, total=False):
    """The options of a start, but for the id; see `Client.start`."""

    id_policy: IdPolicy | str
    version: str | None
    priority: Priority | None
    tenant: str
    labels: dict[str, str] | None
    start_at: datetime | None
    start_after: timedelta | None
    execution_timeout: timedelta | None
    request_id: str
    trace_context: dict[str, str] | None


class StartRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The options of a start as one value, on their way to where they are looked at."""

    id_policy: IdPolicy | str = IdPolicy.RETURN_EXISTING
    version: str | None = None
    priority: Priority | None = None
    tenant: str = ""
    labels: dict[str, str] | None = None
    start_at: datetime | None = None
    start_after: timedelta | None = None
    execution_timeout: timedelta | None = None
    request_id: str = ""
    trace_context: dict[str, str] | None = None


def require_id(id: str | None) -> str:
    """Return the id, or a new random one for None. Raises InvalidArgumentError for one that cannot be used."""
    if id is None:
        return new_uuid()
    if not require_text(id, "the id of a run") or len(id) > LONGEST_ID_CHARACTERS:
        message = f"the id of a run is {id!r:.60}; it must be a text of 1 to {LONGEST_ID_CHARACTERS} characters"
        raise InvalidArgumentError(message)
    return id


def make_creation(
    workflow: "Workflow[*tuple[Any, ...], Any]",
    payload: Payload,
    request: StartRequest,
    *,
    ref: RunRef,
    run_key: RunKey,
    now: Timestamp,
    signals: tuple[e.CarriedSignal, ...] = (),
    updates: tuple[e.CarriedUpdate, ...] = (),
) -> Creation:
    """Return the value that creates a run of `workflow` with the encoded arguments `payload`, as `request` asks, and
    with it what it finds when it begins: `signals` and `updates`.

    Raises InvalidArgumentError for a value that is not allowed.
    """
    begin_at = _begin_at(request.start_at, request.start_after, now=now)
    wake_at = begin_at or now
    limit = (
        workflow.execution_timeout_microseconds
        if request.execution_timeout is None
        else require_duration(request.execution_timeout, "execution_timeout")
    )
    chosen = workflow.priority if request.priority is None else require_choice(request.priority, Priority, "priority")
    given_labels = {} if request.labels is None else require_texts(request.labels, "labels")
    require_text(request.tenant, "tenant")
    require_text(request.request_id, "request_id")
    created = e.RunCreated(
        workflow=workflow.name,
        definition_version=workflow.version,
        ref=ref,
        input=payload,
        seed=seed_of(ref),
        call_name=new_name(),
        priority=chosen,
        tenant=request.tenant,
        labels=given_labels,
        stages=workflow.stages,
        trace_context={} if request.trace_context is None else require_texts(request.trace_context, "trace_context"),
        execution_timeout_microseconds=limit,
        deadline_at=None if limit is None else Timestamp(wake_at + limit),
        start_at=begin_at,
    )
    if signals or updates:  # in a call of their own: one with more than 15 keywords packs them into a dict first
        created = msgspec.structs.replace(created, carried_signals=signals, carried_updates=updates)
    return Creation(
        run_key=run_key,
        ref=ref,
        workflow=workflow.name,
        definition_version=workflow.version,
        priority=chosen,
        tenant=request.tenant,
        labels=given_labels,
        parent_key=None,
        created=RecordedEvent(1, now, created),
        wake_at=wake_at,
        request_id=request.request_id,
    )


def _begin_at(start_at: datetime | None, start_after: timedelta | None, *, now: Timestamp) -> Timestamp | None:
    """Return the time before which a run does not begin; None: it may begin at once."""
    if start_at is not None and start_after is not None:
        message = "start_at and start_after exclude each other: both say when the run begins"
        raise InvalidArgumentError(message)
    if start_after is not None:
        return Timestamp(now + require_duration(start_after, "start_after", may_be_zero=True))
    return None if start_at is None else max(now, require_moment(start_at, "start_at"))
