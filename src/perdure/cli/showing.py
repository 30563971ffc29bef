"""`perdure show`: one run, where it stands, what it waits for and what went wrong last."""

from typing import TYPE_CHECKING

from perdure.cli.database import Place, as_client, store_of
from perdure.cli.exits import ExitCode
from perdure.cli.failing import failure_for_programs
from perdure.cli.listing import starting_text, summary_for_programs
from perdure.cli.locking import lock_for_programs, locks_of_run, locks_table
from perdure.cli.payload_text import payload_text
from perdure.cli.printing import (
    make_table,
    print_for_people,
    print_json,
    printable,
    progress_bar,
    status_text,
    words,
)
from perdure.cli.queueing import run_task_for_programs, run_tasks_table, tasks_of_run
from perdure.cli.run_report import FailureReport, RunReport, find_run, read_report
from perdure.cli.times import iso, show_duration, show_moment
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunRef
from perdure.kernel.lifecycle import LockPhase
from perdure.kernel.messages import Message, SignalMessage, UpdateMessage
from perdure.kernel.payload import Payload
from perdure.kernel.pending import PendingActivity
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking
from perdure.ports.store import InboxEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["show_run"]


async def show_run(place: Place, run_id: str, *, generation: int | None, as_json: bool) -> int:
    """Print one run. Raises RunNotFoundError, NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        store = store_of(engine)
        now = engine.worker.clock.now()
        ref = RunRef(namespace=place.namespace, id=run_id, generation=generation or 1)
        report = await read_report(store, await find_run(store, ref, latest=generation is None))
        inbox = await store.read_inbox(report.summary.run_key)
        locks = await locks_of_run(store, report.summary)
        tasks = await tasks_of_run(store, report, inbox, now=now)
    if as_json:
        more = {"locks": [lock_for_programs(lock) for lock in locks], "tasks": list(map(run_task_for_programs, tasks))}
        print_json({**report_for_programs(report, inbox), **more})
        return ExitCode.OK
    print_for_people(*_parts(report, inbox, now=now))
    if tasks:
        print_for_people(run_tasks_table(tasks, now=now))
    if locks:
        print_for_people(locks_table(locks, now=now))
    return ExitCode.OK


def report_for_programs(report: RunReport, inbox: list[InboxEntry]) -> dict[str, object]:
    """Return a run whole, for programs."""
    state = report.state
    created = state.created
    return {
        **summary_for_programs(report.summary),
        "input": None if created is None else created.input,
        "result": state.closing.result if isinstance(state.closing, e.RunCompleted) else None,
        "failure": failure_for_programs(_closing_failure(report)),
        "stage_reached": report.stage_reached or None,
        "recoveries": state.recoveries,
        "attempts": report.attempts,
        "retries": report.retries,
        "activities": {
            "scheduled": state.activities_scheduled,
            "finished": state.activities_finished,
            "pending": [_pending_for_programs(pending) for pending in state.activities.values()],
        },
        "undone": report.undone,
        "timers": [{"operation": operation, "due_at": iso(due)} for operation, due in state.timers.items()],
        "signals_received": dict(state.signals_received),
        "inbox": [{"message": entry.message, "at": iso(entry.at)} for entry in inbox],
        "children": [
            {"id": child.ref.id, "workflow": child.workflow, "outcome": child.outcome}
            for child in report.children.values()
        ],
        "state": state.keys,
        "forked": state.forked,
        "last_failure": None
        if report.last_failure is None
        else {
            "subject": report.last_failure.subject,
            "at": iso(report.last_failure.at),
            **(failure_for_programs(report.last_failure.failure) or {}),
        },
    }


def _pending_for_programs(pending: PendingActivity) -> dict[str, object]:
    return {
        "operation": pending.operation,
        "activity": pending.activity,
        "attempt": pending.attempt,
        "scheduled_at": iso(pending.scheduled_at),
        "next_attempt_at": iso(pending.next_attempt_at),
        "deadline_at": iso(pending.deadline_at),
        "input": pending.input,
        "last_failure": failure_for_programs(pending.last_failure),
    }


def _closing_failure(report: RunReport) -> Failure | None:
    closing = report.state.closing
    return closing.failure if isinstance(closing, e.RunFailed | e.RunContinued) else None


# --- for people ------------------------------------------------------------------------------------------------------


def _parts(report: RunReport, inbox: list[InboxEntry], *, now: Timestamp) -> "Iterator[RenderableType]":
    yield _facts(report, now=now)
    state = report.state
    if state.activities:
        yield _pending_activities(report, now=now)
    if state.timers:
        timers = make_table(">operation", "due", "in", title="Timers")
        for operation, due in sorted(state.timers.items(), key=lambda timer: timer[1]):
            timers.add_row(str(operation), show_moment(due, now=now), _until(due, now=now))
        yield timers
    if state.signals_received or inbox:
        signals = make_table("name", "state", title="Signals and other messages")
        for name, count in state.signals_received.items():
            signals.add_row(words(name), f"received {count} times" if count > 1 else "received")
        for entry in inbox:
            signals.add_row(words(_title(entry.message)), f"in the inbox since {show_moment(entry.at, now=now)}")
        yield signals
    if report.children:
        children = make_table("id", "workflow", "outcome", title="Child runs")
        for child in report.children.values():
            children.add_row(words(child.ref.id), words(child.workflow), status_text(child.outcome))
        yield children
    if report.summary.parked is not None:
        yield from _parking(report.summary.parked, now=now)
    if report.last_failure is not None:
        yield from _last_failure(report.last_failure, now=now)


def _facts(report: RunReport, *, now: Timestamp) -> "Table":
    from rich.table import Table

    summary, state = report.summary, report.state
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    took = (summary.closed_at or now) - summary.created_at
    generation = f" (generation {summary.ref.generation})" if summary.ref.generation > 1 else ""
    table.add_row("run", words(f"{summary.ref.id}{generation}", "bold"))
    table.add_row("workflow", words(f"{summary.workflow} (version {summary.definition_version})"))
    table.add_row("status", status_text(summary.status if summary.parked is None else "parked"))
    if summary.damage:
        table.add_row("damaged", words(summary.damage, "bold red"))
    if summary.stage or report.stage_reached:
        table.add_row("stage", words(summary.stage or f"{report.stage_reached} (the last one entered)"))
    table.add_row("progress", progress_bar(summary.progress, width=20))
    table.add_row(
        "created",
        f"{show_moment(summary.created_at, now=now)}, {'took' if summary.closed_at else 'for'} {show_duration(took)}",
    )
    table.add_row("activities", _activities_line(report))
    if state.recoveries:
        times = "once" if state.recoveries == 1 else f"{state.recoveries} times"
        table.add_row("recovered", f"{times}: its worker died, another went on")
    if state.forked is not None:
        table.add_row("goes on from", words(_fork_line(state.forked)))
    if isinstance(state.closing, e.RunReset):
        table.add_row("reset", words(f"it goes on as generation {state.closing.next_generation}"))
    if report.undone:
        table.add_row("undone by", words(", ".join(report.undone)))
    if summary.status.is_closed is False:
        table.add_row("runs on", f"session {summary.owner}" if summary.owner else _waiting_line(report, now=now))
    if summary.labels:
        table.add_row("labels", words("  ".join(f"{name}={value}" for name, value in sorted(summary.labels.items()))))
    if summary.tenant:
        table.add_row("tenant", words(summary.tenant))
    for heading, payload in _payloads(report):
        table.add_row(heading, words(payload_text(payload)))
    failure = _closing_failure(report)
    if failure is not None:
        table.add_row("failed with", words(failure.explanation, "red"))
    if state.cancel is not None:
        table.add_row(
            "cancel asked", words(f"by {state.cancel.by or 'a client'}: {state.cancel.reason or 'no reason given'}")
        )
    return table


def _fork_line(fork: e.RunForked) -> str:
    why = f": {fork.reason}" if fork.reason else ""
    by = f" by {fork.by}" if fork.by else ""
    return f"event {fork.sequence} of {fork.origin} ({fork.cause}{by}{why})"


def _activities_line(report: RunReport) -> str:
    state = report.state
    retries = f", {report.retries} attempts failed and were retried" if report.retries else ""
    return f"{state.activities_finished} of {state.activities_scheduled} finished{retries}"


def _waiting_line(report: RunReport, *, now: Timestamp) -> str:
    wake_at = report.summary.wake_at
    if report.summary.parked is not None:
        return "no worker: it is parked until there is code that fits, and is tried again when it is resumed"
    awaited = [lock.key for lock in report.state.locks.values() if lock.phase is LockPhase.REQUESTED]
    if wake_at is None and awaited:
        return f"no worker: it waits for {'locks' if len(awaited) > 1 else 'the lock'} {printable(', '.join(awaited))}"
    if wake_at is None:
        return "no worker: it waits for a message"
    if starting := starting_text(report.summary, now=now):
        return f"no worker: it {starting}"
    if wake_at <= now:
        return "no worker: it is due and waits for one"
    return f"no worker: it is due in {_until(wake_at, now=now)}"


def _payloads(report: RunReport) -> "Iterator[tuple[str, Payload]]":
    if report.state.created is not None:
        yield "input", report.state.created.input
    if isinstance(report.state.closing, e.RunCompleted):
        yield "result", report.state.closing.result
    for key, value in report.state.keys.items():
        yield f"state {printable(key)}", value


def _pending_activities(report: RunReport, *, now: Timestamp) -> "Table":
    table = make_table(">operation", "activity", ">attempt", "since", "next attempt", "last failure", title="Pending")
    for pending in report.state.activities.values():
        waits = pending.next_attempt_at is not None and pending.next_attempt_at > now
        failure = pending.last_failure
        table.add_row(
            str(pending.operation),
            words(pending.activity),
            str(pending.attempt),
            show_moment(pending.scheduled_at, now=now),
            f"in {_until(pending.next_attempt_at, now=now)}" if waits else "now",
            words("" if failure is None else str(failure)),
        )
    return table


def _parking(parked: Parking, *, now: Timestamp) -> "Iterator[RenderableType]":
    yield words("")
    yield words(f"Parked since {show_moment(parked.since, now=now)}: {parked.reason}", "bold red")
    for line in (parked.reason.traceback or "").splitlines():
        yield words(f"  {line}", "dim")


def _last_failure(report: FailureReport, *, now: Timestamp) -> "Iterator[RenderableType]":
    yield words("")
    yield words(f"Last failure: {report.subject}, at {show_moment(report.at, now=now)}", "bold")
    failure: Failure | None = report.failure
    text = report.failure.traceback or str(report.failure)
    for line in text.rstrip().splitlines():
        yield words(f"  {line}", "dim")
    while failure is not None and failure.cause is not None:
        failure = failure.cause
        yield words(f"  caused by {failure}", "dim")


def _title(message: Message) -> str:
    """Return a message's own name, or its kind: a cancellation has none."""
    if isinstance(message, SignalMessage | UpdateMessage):
        return message.name
    return str(message.__struct_config__.tag)


def _until(moment: Timestamp | None, *, now: Timestamp) -> str:
    return show_duration(max((moment or now) - now, 0))
