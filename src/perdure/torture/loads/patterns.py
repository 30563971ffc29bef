"""Patterns: one run of each kind as an engine has recorded it, from which any number of others are made."""

from typing import Any, Final

import msgspec

from perdure.authoring.workflow import Workflow
from perdure.engine import Engine
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId, seed_of
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Release, RunRow, Transition
from perdure.torture.loads.workflows import approval, failing, quick, reminder

__all__ = ["Name", "Pattern", "record_patterns"]


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """What distinguishes a run from the others of its pattern."""

    run_key: RunKey
    ref: RunRef
    at: Timestamp
    priority: Priority = Priority.NORMAL
    tenant: str = ""
    labels: dict[str, str] = {}
    parent_key: RunKey | None = None


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded run: its events, and its row after the last."""

    workflow: str
    version: str
    events: tuple[RecordedEvent, ...]
    row: RunRow

    def transition(self, name: Name, *, owner: WorkerId) -> Transition:
        """Return the write that makes a run like this one, owned by `owner`, with all its events."""
        shift = name.at - self.events[0].at
        events = tuple(_shifted(recorded, shift) for recorded in self.events)
        first = events[0]
        assert isinstance(first.event, e.RunCreated)
        created = msgspec.structs.replace(
            first.event,
            ref=name.ref,
            seed=seed_of(name.ref),
            priority=name.priority,
            tenant=name.tenant,
            labels=name.labels,
        )
        first = RecordedEvent(first.sequence, first.at, created)
        return Transition(
            run_key=name.run_key,
            fencing_token=FencingToken(1),
            expected_sequence=0,
            owner=owner,
            events=(first, *events[1:]),
            row=msgspec.structs.replace(
                self.row,
                priority=name.priority,
                updated_at=_later(self.row.updated_at, shift),
                started_at=_later(self.row.started_at, shift),
                closed_at=_later(self.row.closed_at, shift),
            ),
            creation=Creation(
                run_key=name.run_key,
                ref=name.ref,
                workflow=self.workflow,
                definition_version=self.version,
                priority=name.priority,
                tenant=name.tenant,
                labels=name.labels,
                parent_key=name.parent_key,
                created=first,
                wake_at=first.at,
            ),
            # What the pattern sent, made or held is not sent, made or held again: it did nothing of that.
            deliveries=(),
            creations=(),
            locks=(),
        )

    def release(self, name: Name) -> Release:
        """Return the write that gives such a run back, to be woken by its timer if it has one."""
        shift = name.at - self.events[0].at
        dues = [recorded.event.due_at for recorded in self.events if isinstance(recorded.event, e.TimerStarted)]
        return Release(
            run_key=name.run_key,
            fencing_token=FencingToken(1),
            expected_sequence=self.row.sequence,
            wake_at=_later(min(dues), shift) if dues else None,
            now=_later(self.row.updated_at, shift),
            inbox_position=0,
        )


def _later(moment: Timestamp | None, shift: int) -> Any:  # noqa: ANN401 - None for None, else a Timestamp
    return None if moment is None else Timestamp(moment + shift)


def _shifted(recorded: RecordedEvent, shift: int) -> RecordedEvent:
    event, at = recorded.event, Timestamp(recorded.at + shift)
    match event:
        case e.TimerStarted():
            event = msgspec.structs.replace(event, due_at=_later(event.due_at, shift))
        case e.ActivityCompleted():
            event = msgspec.structs.replace(event, started_at=_later(event.started_at, shift))
        case _:
            pass
    return RecordedEvent(recorded.sequence, at, event)


async def record_patterns() -> dict[str, Pattern]:
    """Let an engine run one run of each kind, as far as it goes by itself; return them by their workflows' names."""
    async with Engine("memory:") as engine:
        found = [await _recorded(engine, workflow) for workflow in (reminder, approval, quick, failing)]
    return {pattern.workflow: pattern for pattern in found}


async def _recorded(engine: Engine, workflow: Workflow[int, Any]) -> Pattern:
    run = await engine.start(workflow, 1, id=workflow.name)
    last = _LAST[workflow.name]
    async for recorded in run.watch():
        if recorded.type == last:
            break
    events = tuple([recorded async for recorded in run.history()])
    row = await run.describe()
    return Pattern(
        workflow=row.workflow,
        version=row.definition_version,
        events=events,
        row=RunRow(
            sequence=row.sequence,
            status=row.status,
            stage=row.stage,
            progress=row.progress,
            priority=row.priority,
            updated_at=row.updated_at,
            started_at=row.started_at,
            closed_at=row.closed_at,
        ),
    )


_LAST: Final = {
    reminder.name: "timer_started",
    approval.name: "activity_completed",
    quick.name: "run_completed",
    failing.name: "run_failed",
}
"""The type of the event after which nothing more comes by itself."""
