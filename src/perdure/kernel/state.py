"""The state of a run: what its history, folded, says.

`apply(state, event, at)` is the fold's step and is pure; `fold` folds many events and copies the state only once.
`RunState.record` is the same step in place, for the one owner of a state that is kept in memory from transition to
transition. Completed things leave the state, so that its size follows what is pending, not the length of the history.

Progress is what is known: the share of declared stages that are finished, or, without declared stages, finished
activities among those scheduled so far, of which those given up do not count; either plus the one unknown that may
still come. It never falls, and is 1 only when the run completed.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec import Struct, structs

from perdure.errors import DamagedHistoryError, HistoryError, PerdureError, StoreError
from perdure.kernel import events as e
from perdure.kernel.deadline import Deadline
from perdure.kernel.effects import STEPS
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef, WorkerId
from perdure.kernel.lifecycle import UpdatePhase, illegal
from perdure.kernel.mappings import NOTHING
from perdure.kernel.payload import Payload
from perdure.kernel.pending import Deferral, OpenChild, OpenLock, PendingActivity
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import OPEN_STATUSES, RunRow, RunStatus

__all__ = ["OpenChild", "PendingActivity", "RunState", "apply", "demand_own", "fold"]

_BEGINNING: Final = Timestamp(0)


class RunState(Struct, kw_only=True, gc=False):
    """A run as of event number `sequence`, which happened at `updated_at`.

    What most runs have none of, and no run has many of, is never changed in place, so that all can share an empty one.
    """

    sequence: int = 0
    updated_at: Timestamp = _BEGINNING
    status: RunStatus = RunStatus.CREATED
    created: e.RunCreated | None = None
    created_at: Timestamp = _BEGINNING
    deadline: Deadline | None = None
    started_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    closing: e.Event | None = None
    priority: Priority = Priority.NORMAL
    progress: float = 0.0
    stages: Mapping[int, str] = NOTHING
    finished_stages: frozenset[str] = frozenset()
    activities: dict[int, PendingActivity] = {}
    activities_scheduled: int = 0
    activities_finished: int = 0
    timers: dict[int, Timestamp] = {}
    retries: dict[int, Timestamp] = {}
    deferrals: dict[int, Deferral] = {}
    sticky: Mapping[str, WorkerId] = NOTHING
    children: dict[int, OpenChild] = {}
    keys: dict[str, Payload] = {}
    labels: Mapping[str, str] = NOTHING
    patches: frozenset[str] = frozenset()
    updates: dict[str, UpdatePhase] = {}
    locks: Mapping[int, OpenLock] = NOTHING
    interventions: Mapping[int, e.InterventionRequested] = NOTHING
    compensations: Mapping[int, int] = NOTHING
    compensations_failed: int = 0
    recoveries: int = 0
    signals_received: Mapping[str, int] = NOTHING
    cancel: e.RunCancelRequested | None = None
    forked: e.RunForked | None = None
    forked_at: int = 0
    renewed_at: Timestamp | None = None
    last_operation: int = 0

    @property
    def stage(self) -> str:
        """The innermost phase the run is in, or an empty string."""
        return [*self.stages.values()][-1] if self.stages else ""

    @property
    def is_closed(self) -> bool:
        """Whether the run has ended."""
        return self.closed_at is not None

    @property
    def fresh_fork(self) -> e.RunForked | None:
        """The fork that this run is, as long as nothing has happened since; None for all others."""
        return self.forked if self.forked_at == self.sequence else None

    def call_name(self, run_key: int) -> str:
        """Return what names the run of this key in the idempotency keys of its calls: the same in every database that
        it comes to, and no other's. Only of one that an older Perdure began it is the key, as it was then."""
        return (self.created and self.created.call_name) or f"{run_key:x}"

    def record(self, event: e.Event, at: Timestamp) -> None:
        """Apply the next event in place. Raises IllegalTransitionError for one that this state does not allow."""
        kind = type(event)
        step = STEPS[self.status].get(kind)
        if step is None or (self.sequence == 0) is not (kind is e.RunCreated):
            raise illegal(self.status if self.sequence else "not created", kind, subject="the run")
        following, effect = step
        if following is not None:
            self.status = following
            if following not in OPEN_STATUSES:
                self.closed_at = at
                self.closing = event
        if effect is not None:
            effect(self, event, at)
        self.sequence += 1
        self.updated_at = at

    def row(self) -> RunRow:
        """Return what of this stands in the run's row."""
        return RunRow(
            sequence=self.sequence,
            status=self.status,
            stage=self.stage,
            progress=self.progress,
            priority=self.priority,
            updated_at=self.updated_at,
            started_at=self.started_at,
            closed_at=self.closed_at,
        )

    def facts(self) -> dict[str, object]:
        """Return all that the run's row says and its history knows: all but what concerns its owner and its next claim.

        There must be a history.
        """
        created = self.created
        assert created is not None
        return {
            "namespace": created.ref.namespace,
            "id": created.ref.id,
            "generation": created.ref.generation,
            "workflow": created.workflow,
            "definition_version": created.definition_version,
            "tenant": created.tenant,
            "parent_key": None if created.parent is None else created.parent.run_key,
            "created_at": self.created_at,
            **structs.asdict(self.row()),
        }

    def copy(self) -> "RunState":
        """Return an independent state."""
        twin = copy.copy(self)
        for name in _CONTAINERS:
            setattr(twin, name, copy.copy(getattr(self, name)))
        twin.activities = {operation: copy.copy(pending) for operation, pending in self.activities.items()}
        twin.children = {operation: copy.copy(child) for operation, child in self.children.items()}
        return twin

    def next_wake_at(self, now: Timestamp) -> Timestamp | None:
        """Return when something comes due without anybody's doing: the start, a timer, a retry after `now`, a
        limit of a deferred attempt, the deadline, the end of a grace. Retries of activities that run are in the past;
        to count all, say 0."""
        due = list(self.timers.values())
        due += [moment for moment in self.retries.values() if moment > now]
        if self.deferrals:
            due += [moment for deferral in self.deferrals.values() for moment in deferral.limits.values()]
        created = self.created
        if self.deadline is not None:
            due.append(self.deadline.at)
        if created is not None and created.start_at is not None and self.status is RunStatus.CREATED:
            due.append(created.start_at)
        if self.cancel is not None and self.cancel.grace_until is not None:
            due.append(self.cancel.grace_until)
        return min(due, default=None)


def apply(state: RunState, event: e.Event, at: Timestamp) -> RunState:
    """Return the state after `event`, leaving the given one as it is. Errors as for `RunState.record`."""
    following = state.copy()
    following.record(event, at)
    return following


def fold(state: RunState, history: Iterable[RecordedEvent]) -> RunState:
    """Return the state after all of `history`. Raises HistoryError if sequence numbers have a gap."""
    following = state.copy()
    for recorded in history:
        if recorded.sequence != following.sequence + 1:
            message = f"the history has a gap: event {recorded.sequence} follows event {following.sequence}"
            raise HistoryError(message)
        following.record(recorded.event, recorded.at)
    return following


def demand_own(state: RunState, ref: RunRef) -> None:
    """Raise DamagedHistoryError for the history of another run than `ref`, by whose row it was found: what a run may
    do, and whom it may tell of it, is asked of the name that stands in its history."""
    if state.created is not None and state.created.ref != ref:
        message = f"the history of run {ref} is one of the run {state.created.ref}"
        raise DamagedHistoryError(message, run=str(ref), event=1)


@contextmanager
def fitting(state: RunState, *, passing: type[Exception] = StoreError) -> Iterator[None]:
    """Read and record the next events of a history that may be none of a kernel's, which may break both anywhere.

    What breaks them, but for errors that are `passing`, is raised as a HistoryError that names the event.
    """
    try:
        yield
    except (StoreError, passing):
        raise
    except Exception as error:
        words = str(error) if isinstance(error, PerdureError) else repr(error)
        message = f"event {state.sequence + 1} does not fit those before it: {words}"
        raise HistoryError(message) from error


_CONTAINERS: Final = ("timers", "retries", "deferrals", "keys", "updates")
