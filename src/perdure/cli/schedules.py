"""`perdure schedules ...`: schedules listed, shown, made, changed and steered; durable when the command returns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.cli.collecting import collect
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.listing import labels_of
from perdure.cli.printing import make_table, print_for_people, print_json, printable, status_text, words
from perdure.cli.schedule_values import (
    Revision,
    changes_of,
    keeping_zone,
    options_of,
    require_when,
    schedule_for_programs,
    times_for_programs,
    when_text,
    zone_of_when,
)
from perdure.cli.starting import arguments_of, find_workflow
from perdure.cli.times import read_moment, show_duration, show_moment
from perdure.client.schedule_reports import ScheduleDescription
from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from perdure.timekeeping.schedules import Overlap

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = [
    "NewSchedule",
    "Revision",
    "backfill_schedule",
    "create_schedule",
    "delete_schedule",
    "list_schedules",
    "pause_schedule",
    "resume_schedule",
    "show_next_times",
    "show_schedule",
    "trigger_schedule",
    "update_schedule",
]

_MOST_TIMES: Final = 1_000


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """What a new schedule shall start, as the arguments say it; `revision` says the rest."""

    workflow: str
    arguments: tuple[str, ...]
    apps: tuple[str, ...]
    start_at: str | None
    labels: tuple[str, ...]
    tenant: str
    is_paused: bool
    revision: Revision


async def list_schedules(place: Place, *, as_json: bool) -> int:
    """Print all schedules. Raises NoDatabaseError, StoreErrors; those that cannot be read, after the others."""
    async with as_client(place) as engine:
        found, unreadable = await collect(engine.schedules.all())
    if found or unreadable is None or as_json:
        _print_list(found, as_json=as_json)
    if unreadable is not None:
        raise unreadable
    return ExitCode.OK


def _print_list(found: list[ScheduleDescription], *, as_json: bool) -> None:
    if as_json:
        print_json({"schedules": [schedule_for_programs(described) for described in found]})
    elif not found:
        print("There are no schedules.")
    else:
        table = make_table("id", "workflow", "when", "state", "next", ">started", ">skipped", "note")
        for described in found:
            table.add_row(
                words(described.id, "bold"),
                words(described.plan.workflow),
                words(when_text(described.plan)),
                words(*_state(described)),
                next(_local_times(described), "never"),
                str(described.started),
                str(described.skipped),
                words(described.note),
            )
        print_for_people(table)


async def show_schedule(place: Place, schedule_id: str, *, as_json: bool) -> int:
    """Print one schedule. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        described = await (await engine.schedules.get(schedule_id)).describe()
        now = engine.worker.clock.now()
    if as_json:
        print_json(schedule_for_programs(described))
    else:
        print_for_people(*_parts(described, now=now))
    return ExitCode.OK


async def show_next_times(place: Place, schedule_id: str, *, count: int, as_json: bool) -> int:
    """Print the next nominal times. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors, UsageError."""
    if not 1 <= count <= _MOST_TIMES:
        message = f"--count is {count}; allowed is 1 to {_MOST_TIMES}"
        raise InvalidArgumentError(message)
    async with as_client(place) as engine:
        described = await (await engine.schedules.get(schedule_id)).describe(times=count)
    if as_json:
        print_json({"id": described.id, "paused": described.is_paused, "next": list(times_for_programs(described))})
    elif not described.next_times:
        print(f"The schedule {printable(schedule_id)} has come to its end: there are no more times.")
    else:
        print_for_people(_next_times(described))
        if described.is_paused:
            print("It is paused: times are skipped until it is resumed.")
    return ExitCode.OK


async def create_schedule(place: Place, schedule_id: str, new: NewSchedule, *, as_json: bool) -> int:
    """Make a schedule. Raises ScheduleExistsError, NoDatabaseError, StoreErrors, UsageError."""
    when, options = require_when(new.revision.when), options_of(new.revision)
    workflow = find_workflow(new.workflow, apps=new.apps)
    arguments = arguments_of(workflow, new.arguments)
    start_at = None if new.start_at is None else read_moment(new.start_at, "--start-at")
    async with as_client(place) as engine:
        schedule = await engine.schedules.create(
            schedule_id,
            workflow,
            *arguments,
            when=when,
            start_at=start_at,
            labels=labels_of(new.labels),
            tenant=new.tenant,
            paused=new.is_paused,
            **options,
        )
        described = await schedule.describe()
    _tell(described, f"The schedule {printable(schedule_id)} is made", as_json=as_json)
    return ExitCode.OK


async def update_schedule(place: Place, schedule_id: str, revision: Revision, *, as_json: bool) -> int:
    """Change a schedule. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors, UsageError."""
    changes = changes_of(revision)
    if not changes:
        message = "nothing is to be changed; say what, for example --cron '0 4 * * *' or --overlap buffer_one"
        raise InvalidArgumentError(message)
    async with as_client(place) as engine:
        schedule = await engine.schedules.get(schedule_id)
        before = await schedule.describe(times=0)
        await schedule.update(**keeping_zone(changes, revision, of=before.plan.when))
        described = await schedule.describe()
    _tell(described, f"The schedule {printable(schedule_id)} is changed", as_json=as_json)
    return ExitCode.OK


async def pause_schedule(place: Place, schedule_id: str, *, note: str, as_json: bool) -> int:
    """Pause a schedule. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        schedule = await engine.schedules.get(schedule_id)
        await schedule.pause(note)
        described = await schedule.describe()
    _tell(described, f"The schedule {printable(schedule_id)} is paused", as_json=as_json)
    return ExitCode.OK


async def resume_schedule(place: Place, schedule_id: str, *, note: str, as_json: bool) -> int:
    """Resume a schedule. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        schedule = await engine.schedules.get(schedule_id)
        await schedule.resume(note)
        described = await schedule.describe()
    _tell(described, f"The schedule {printable(schedule_id)} is resumed", as_json=as_json)
    return ExitCode.OK


async def trigger_schedule(place: Place, schedule_id: str, *, overlap: Overlap | None, as_json: bool) -> int:
    """Start one run now. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors, UsageError."""
    async with as_client(place) as engine:
        run_id = await (await engine.schedules.get(schedule_id)).trigger(overlap=overlap)
    if as_json:
        print_json({"id": schedule_id, "run_id": run_id})
    else:
        print(f"Run {printable(run_id)} is started as soon as a worker looks, if the overlap policy allows it.")
    return ExitCode.OK


async def backfill_schedule(
    place: Place, schedule_id: str, start: str, end: str, *, overlap: Overlap, as_json: bool
) -> int:
    """Make up the times of a period. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors, UsageError."""
    first, last = read_moment(start, "START"), read_moment(end, "END")
    async with as_client(place) as engine:
        await (await engine.schedules.get(schedule_id)).backfill(first, last, overlap=overlap)
    if as_json:
        print_json({"id": schedule_id, "start": first.isoformat(), "end": last.isoformat(), "overlap": overlap})
    else:
        print(f"The times from {first.isoformat()} to {last.isoformat()} that have no run yet are made up.")
    return ExitCode.OK


async def delete_schedule(place: Place, schedule_id: str, *, as_json: bool) -> int:
    """Delete a schedule. Raises ScheduleNotFoundError, NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        await (await engine.schedules.get(schedule_id)).delete()
    if as_json:
        print_json({"id": schedule_id, "deleted": True})
    else:
        print(f"The schedule {printable(schedule_id)} is deleted; its runs go on.")
    return ExitCode.OK


def _tell(described: ScheduleDescription, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(schedule_for_programs(described))
    else:
        print(f"{what}; its next time is {next(_local_times(described), 'never')}.")


# --- for people ------------------------------------------------------------------------------------------------------


def _parts(described: ScheduleDescription, *, now: Timestamp) -> "Iterator[RenderableType]":
    yield _facts(described, now=now)
    if described.next_times:
        yield _next_times(described)
    if described.runs:
        runs = make_table("run", "started", "cause", "status", title="Latest runs")
        for run in described.runs:
            started_at = show_moment(timestamp_from_datetime(run.started_at), now=now)
            runs.add_row(words(run.id), started_at, run.cause, status_text(run.status or "gone"))
        yield runs
    if described.skips:
        skips = make_table("first", "last", ">times", "reason", title="Skipped times")
        for skip in described.skips:
            skips.add_row(
                show_moment(skip.first, now=now), show_moment(skip.last, now=now), str(skip.count), skip.reason
            )
        yield skips


def _facts(described: ScheduleDescription, *, now: Timestamp) -> "Table":
    from rich.table import Table

    plan = described.plan
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("schedule", words(described.id, "bold"))
    table.add_row("workflow", words(plan.workflow))
    table.add_row("when", words(when_text(plan)))
    table.add_row("state", words(*_state(described)))
    if described.note:
        table.add_row("note", words(described.note))
    table.add_row("overlap", f"{plan.overlap}, {described.waiting} starts wait" if described.waiting else plan.overlap)
    late = plan.catch_up_microseconds
    table.add_row("catch-up", "unlimited" if late is None else f"up to {show_duration(late)} late")
    if plan.jitter_microseconds:
        table.add_row("jitter", f"up to {show_duration(plan.jitter_microseconds)} later")
    for heading, moment in (("from", plan.start_at), ("until", plan.end_at)):
        if moment is not None:
            table.add_row(heading, show_moment(moment, now=now))
    limit = "" if plan.limit is None else f" of {plan.limit}"
    table.add_row("so far", f"{described.started}{limit} runs started, {described.skipped} times skipped")
    if plan.labels:
        table.add_row("labels", words("  ".join(f"{name}={value}" for name, value in sorted(plan.labels.items()))))
    return table


def _next_times(described: ScheduleDescription) -> "Table":
    times = make_table("next", "UTC", title="Next times")
    for local, moment in zip(_local_times(described), described.next_times, strict=True):
        times.add_row(local, f"{moment:%Y-%m-%d %H:%M:%S}")
    return times


def _local_times(described: ScheduleDescription) -> Iterator[str]:
    zone = zone_of_when(described.plan.when)
    return (f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}" for moment in described.next_times)


def _state(described: ScheduleDescription) -> tuple[str, str]:
    if described.is_paused:
        return "paused", "magenta"
    return ("active", "green") if described.next_times else ("ended", "dim")
