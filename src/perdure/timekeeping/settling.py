"""Settling a schedule: from its entry in the agenda to the change that is committed."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import msgspec

from perdure.chance import new_name
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, seed_of
from perdure.kernel.messages import CancelMessage, Message, TerminateMessage
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.ports.store import Changes
from perdure.timekeeping.decisions import Decision, decide
from perdure.timekeeping.entries import read_input
from perdure.timekeeping.keeper import Host, Outlook
from perdure.timekeeping.schedules import Plan, Schedule, Start, encode_schedule, read_schedule

__all__ = ["SCHEDULE_LABEL", "new_entry", "settle_schedule"]

SCHEDULE_LABEL: Final = "perdure.schedule"
"""The label by which the runs of a schedule are found: its value is the schedule's id."""


class Definition(Protocol):
    """What the keeper needs of a workflow."""

    @property
    def version(self) -> str:
        """Its version."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that it declares."""
        ...


async def settle_schedule(
    host: Host, entry: AgendaEntry, *, newest: Callable[[str], Definition | None]
) -> Outlook | None:
    """Do what a schedule has due now; None if another has changed it meanwhile.

    `newest` gives the newest version that this process has of a workflow, None if it has none: then the runs get that
    which the schedule was made with.
    """
    schedule = read_schedule(entry)
    namespace = entry.key.namespace
    open_runs = await _open_runs(host, namespace, schedule)
    decision = await _decide(host, entry.key, schedule, open_runs.keys())
    if decision.schedule != schedule or decision.due_at != entry.due_at or decision.waits != entry.waits:
        if not await host.store.change_agenda(_change(host, entry, decision, newest)):
            return None
        asked = decision.cancelled | decision.terminated
        run_keys = frozenset(run_key for run_id, run_key in open_runs.items() if run_id in asked)
        host.hear(Changes(run_keys=run_keys, ready=bool(asked or decision.starts)))
    waiting = decision.schedule.open_run_ids if decision.waits else ()
    return Outlook(tuple(RunRef(namespace=namespace, id=run_id) for run_id in waiting))


def new_entry(
    host: Host, key: AgendaKey, schedule: Schedule, *, due_at: Timestamp | None, inputs: tuple[Payload, ...]
) -> AgendaEntry:
    """Return a new version of a schedule's entry."""
    return AgendaEntry(
        key=key,
        version=host.store.new_run_key(),
        due_at=due_at,
        waits=bool(schedule.buffer),
        data=encode_schedule(schedule),
        inputs=inputs,
    )


async def _open_runs(host: Host, namespace: str, schedule: Schedule) -> dict[str, RunKey]:
    found: dict[str, RunKey] = {}
    for run_id in schedule.open_run_ids:
        summary = await host.store.find(RunRef(namespace=namespace, id=run_id))
        if summary is not None and not summary.status.is_closed:
            found[run_id] = summary.run_key
    return found


async def _decide(host: Host, key: AgendaKey, schedule: Schedule, open_run_ids: AbstractSet[str]) -> Decision:
    """Decide, and decide again without the starts whose runs exist already."""
    now = host.clock.now()
    taken: set[str] = set()
    while True:
        decision = decide(key.id, schedule, now=now, open_run_ids=open_run_ids, taken=taken)
        exist = {
            start.run_id
            for start in decision.starts
            if await host.store.find(RunRef(namespace=key.namespace, id=start.run_id)) is not None
        }
        if not exist:
            return decision
        taken |= exist


def _change(
    host: Host, entry: AgendaEntry, decision: Decision, newest: Callable[[str], Definition | None]
) -> AgendaChange:
    plan, key, now = decision.schedule.plan, entry.key, host.clock.now()
    definition = newest(plan.workflow)
    if definition is not None:
        plan = msgspec.structs.replace(plan, definition_version=definition.version, stages=definition.stages)
    asked: list[tuple[str, str, Message]] = [
        *((run_id, "cancelled", CancelMessage(reason=_REASON, by=key.id)) for run_id in sorted(decision.cancelled)),
        *(
            (run_id, "terminated", TerminateMessage(reason=_REASON, by=key.id))
            for run_id in sorted(decision.terminated)
        ),
    ]
    return AgendaChange(
        key=key,
        expected=entry.version,
        entry=new_entry(host, key, decision.schedule, due_at=decision.due_at, inputs=entry.inputs),
        creations=tuple(_creation(host, entry, plan, start) for start in decision.starts),
        deliveries=tuple(
            Delivery(
                target=RunRef(namespace=key.namespace, id=run_id),
                message=message,
                message_id=f"{entry.version}:{what}",
                at=now,
            )
            for run_id, what, message in asked
        ),
    )


_REASON: Final = "the next run of its schedule is due"


def _creation(host: Host, entry: AgendaEntry, plan: Plan, start: Start) -> Creation:
    ref = RunRef(namespace=entry.key.namespace, id=start.run_id)
    labels = {**plan.labels, SCHEDULE_LABEL: entry.key.id}
    limit = plan.execution_timeout_microseconds
    created = RunCreated(
        workflow=plan.workflow,
        definition_version=plan.definition_version,
        ref=ref,
        input=read_input(entry, 0),
        seed=seed_of(ref),
        call_name=new_name(),
        priority=plan.priority,
        tenant=plan.tenant,
        labels=labels,
        stages=plan.stages,
        execution_timeout_microseconds=limit,
        deadline_at=None if limit is None else Timestamp(start.at + limit),
    )
    return Creation(
        run_key=host.store.new_run_key(),
        ref=ref,
        workflow=plan.workflow,
        definition_version=plan.definition_version,
        priority=plan.priority,
        tenant=plan.tenant,
        labels=labels,
        parent_key=None,
        created=RecordedEvent(1, start.at, created),
        wake_at=start.at,
    )
