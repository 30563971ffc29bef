"""`perdure schedules ...`: the commands of schedules with all their arguments, and nothing of what they do."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import App, Parameter

from perdure.cli.arguments import HERE, AppModules, DatabaseArguments, Json
from perdure.timekeeping.schedules import Overlap

__all__ = ["make_schedule_application"]


def make_schedule_application() -> App:
    """Return the parser of the commands."""
    application = App(
        name="schedules",
        help="Look at, make, change and steer schedules, which start runs at set times.",
        help_format="plaintext",
    )
    for command in (list_, show, next_, create, update, pause, resume, trigger, backfill, delete):
        application.command(command, name=command.__name__.rstrip("_"))
    return application


# --- arguments that several commands share ---------------------------------------------------------------------------


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WhenArguments:
    """At which times: one of a cron expression, an interval, or times of the day."""

    cron: Annotated[str | None, Parameter(help="A cron expression, such as '0 3 * * mon-fri'.")] = None
    every: Annotated[str | None, Parameter(help="An interval, such as 15m, counted from 1970 in UTC.")] = None
    offset: Annotated[str | None, Parameter(help="Moves the times of --every by so much.")] = None
    at: Annotated[
        list[str] | None, Parameter(help="A time of the day, such as 09:30; may be repeated.", negative="")
    ] = None
    weekday: Annotated[
        list[str] | None, Parameter(help="With --at: only on this weekday, such as mon; may be repeated.", negative="")
    ] = None
    month: Annotated[
        list[int] | None, Parameter(help="With --at: only in this month, 1 to 12; may be repeated.", negative="")
    ] = None
    day: Annotated[
        list[int] | None,
        Parameter(help="With --at: only on this day of the month, -1 the last; may be repeated.", negative=""),
    ] = None
    exclude: Annotated[
        list[str] | None, Parameter(help="With --at: not on this date; may be repeated.", negative="")
    ] = None
    tz: Annotated[
        str | None,
        Parameter(help="Time zone of --cron and --at, such as Europe/Berlin; that of the schedule, or UTC, otherwise."),
    ] = None


_UNSAID: Final = WhenArguments()

ScheduleId = Annotated[str, Parameter(name="ID", help="Id of the schedule.")]
Note = Annotated[str, Parameter(help="Why; shown with the schedule.")]
OverlapChoice = Annotated[
    Overlap | None, Parameter(help="What happens while a run is still open; skip unless told otherwise.")
]
CatchUp = Annotated[
    str | None,
    Parameter(help="How late a time may still be acted on, as after downtime: 1d unless told otherwise; 'unlimited'."),
]
Jitter = Annotated[str | None, Parameter(help="Act on each time up to so much later.")]
EndAt = Annotated[str | None, Parameter(help="No times after this date and time in ISO 8601; 'never' lifts it.")]
Limit = Annotated[str | None, Parameter(help="So many runs in all; 'none' lifts it.")]

# --- the commands ----------------------------------------------------------------------------------------------------


def list_(*, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """List all schedules, in the order of their ids."""
    from perdure.cli.schedules import list_schedules

    return asyncio.run(list_schedules(database.place(), as_json=json))


def show(id: ScheduleId, /, *, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Show a schedule: its plan, its next times, its latest runs and how they ended, skipped times with reasons."""
    from perdure.cli.schedules import show_schedule

    return asyncio.run(show_schedule(database.place(), id, as_json=json))


def next_(
    id: ScheduleId,
    /,
    *,
    count: Annotated[int, Parameter(help="So many times.")] = 10,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Print the next nominal times of a schedule, in its time zone and in UTC."""
    from perdure.cli.schedules import show_next_times

    return asyncio.run(show_next_times(database.place(), id, count=count, as_json=json))


def create(
    id: ScheduleId,
    workflow: Annotated[str, Parameter(name="WORKFLOW", help="Name of the workflow.")],
    arguments: Annotated[
        tuple[str, ...], Parameter(name="ARGUMENT", help="An argument of its runs, in JSON; may be repeated.")
    ] = (),
    /,
    *,
    app: AppModules = None,
    when: WhenArguments = _UNSAID,
    overlap: OverlapChoice = None,
    catch_up: CatchUp = None,
    jitter: Jitter = None,
    start_at: Annotated[str | None, Parameter(help="No times before this date and time in ISO 8601.")] = None,
    end_at: EndAt = None,
    limit: Limit = None,
    label: Annotated[
        list[str] | None, Parameter(help="A label of its runs, as NAME=VALUE; may be repeated.", negative="")
    ] = None,
    tenant: Annotated[str, Parameter(help="Tenant of its runs.")] = "",
    paused: Annotated[bool, Parameter(negative="", help="Begin paused.")] = False,
    note: Note = "",
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Make a schedule that starts runs of a workflow; a worker that has the workflow starts and runs them."""
    from perdure.cli.schedules import NewSchedule, Revision, create_schedule

    new = NewSchedule(
        workflow=workflow,
        arguments=arguments,
        apps=tuple(app or ()),
        start_at=start_at,
        labels=tuple(label or ()),
        tenant=tenant,
        is_paused=paused,
        revision=Revision(
            when=when, overlap=overlap, catch_up=catch_up, jitter=jitter, end_at=end_at, limit=limit, note=note
        ),
    )
    return asyncio.run(create_schedule(database.place(), id, new, as_json=json))


def update(
    id: ScheduleId,
    /,
    *,
    when: WhenArguments = _UNSAID,
    overlap: OverlapChoice = None,
    catch_up: CatchUp = None,
    jitter: Jitter = None,
    end_at: EndAt = None,
    limit: Limit = None,
    note: Annotated[str | None, Parameter(help="Why; shown with the schedule.")] = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Change a schedule for its times from now on; what is not given stays as it is."""
    from perdure.cli.schedules import Revision, update_schedule

    revision = Revision(
        when=when, overlap=overlap, catch_up=catch_up, jitter=jitter, end_at=end_at, limit=limit, note=note
    )
    return asyncio.run(update_schedule(database.place(), id, revision, as_json=json))


def pause(id: ScheduleId, /, *, note: Note = "", database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Skip the times of a schedule until it is resumed; open runs go on."""
    from perdure.cli.schedules import pause_schedule

    return asyncio.run(pause_schedule(database.place(), id, note=note, as_json=json))


def resume(id: ScheduleId, /, *, note: Note = "", database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Act on the times of a schedule again; those of the pause are skipped, unless a backfill makes them up."""
    from perdure.cli.schedules import resume_schedule

    return asyncio.run(resume_schedule(database.place(), id, note=note, as_json=json))


def trigger(
    id: ScheduleId,
    /,
    *,
    overlap: Annotated[Overlap | None, Parameter(help="Overrides the schedule's policy.")] = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Start one run of a schedule now, beside its times, if the overlap policy allows it; print the run's id."""
    from perdure.cli.schedules import trigger_schedule

    return asyncio.run(trigger_schedule(database.place(), id, overlap=overlap, as_json=json))


def backfill(
    id: ScheduleId,
    start: Annotated[str, Parameter(name="START", help="First nominal time, a date and time in ISO 8601.")],
    end: Annotated[str, Parameter(name="END", help="Last nominal time, a date and time in ISO 8601.")],
    /,
    *,
    overlap: Annotated[
        Overlap, Parameter(help="What happens while a run is still open; one after the other unless told otherwise.")
    ] = Overlap.BUFFER_ALL,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Start the runs of a period's nominal times that have none yet."""
    from perdure.cli.schedules import backfill_schedule

    return asyncio.run(backfill_schedule(database.place(), id, start, end, overlap=overlap, as_json=json))


def delete(id: ScheduleId, /, *, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Delete a schedule; its open runs go on."""
    from perdure.cli.schedules import delete_schedule

    return asyncio.run(delete_schedule(database.place(), id, as_json=json))
