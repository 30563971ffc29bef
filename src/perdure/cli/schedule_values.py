"""Schedules as a command line names them: times, bounds and policies, in both directions."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec

from perdure.cli.times import iso, parse_duration, read_moment, show_duration
from perdure.client.schedule_reports import ScheduleDescription
from perdure.client.schedules import ScheduleChanges, ScheduleOptions
from perdure.errors import InvalidArgumentError
from perdure.kernel.time import timestamp_from_datetime
from perdure.timekeeping.schedules import Overlap, Plan, Skip
from perdure.timekeeping.specs import Calendar, Cron, Every, When
from perdure.timekeeping.zones import zone_of

if TYPE_CHECKING:
    from perdure.cli.schedule_application import WhenArguments

__all__ = [
    "Revision",
    "changes_of",
    "keeping_zone",
    "options_of",
    "require_when",
    "schedule_for_programs",
    "times_for_programs",
    "when_text",
    "zone_of_when",
]

T = TypeVar("T")


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule shall become, as the arguments say it; None: nothing is said of it."""

    when: "WhenArguments"
    overlap: Overlap | None
    catch_up: str | None
    jitter: str | None
    end_at: str | None
    limit: str | None
    note: str | None


def changes_of(revision: Revision) -> ScheduleChanges:
    """Return the changes that the arguments ask for. Raises InvalidArgumentError."""
    when = _when(revision.when)
    options = options_of(revision)
    return cast("ScheduleChanges", options) if when is None else {**options, "when": when}


def keeping_zone(changes: ScheduleChanges, revision: Revision, *, of: When) -> ScheduleChanges:
    """Return the changes with other times in the zone of those that they replace, where no zone is named."""
    when = changes.get("when")
    if revision.when.tz is None and isinstance(when, Cron | Calendar) and isinstance(of, Cron | Calendar):
        return {**changes, "when": msgspec.structs.replace(when, tz=of.tz)}
    return changes


def options_of(revision: Revision) -> ScheduleOptions:
    """Return what the arguments say besides the times. Raises InvalidArgumentError."""
    changes: ScheduleOptions = {}
    if revision.overlap is not None:
        changes["overlap"] = revision.overlap
    if revision.catch_up is not None:
        changes["catch_up"] = _unless("unlimited", parse_duration, revision.catch_up)
    if revision.jitter is not None:
        changes["jitter"] = parse_duration(revision.jitter)
    if revision.end_at is not None:
        changes["end_at"] = _unless("never", lambda text: read_moment(text, "--end-at"), revision.end_at)
    if revision.limit is not None:
        changes["limit"] = _unless("none", _count, revision.limit)
    if revision.note is not None:
        changes["note"] = revision.note
    return changes


def require_when(said: "WhenArguments") -> When:
    """Return the times, which a new schedule needs. Raises InvalidArgumentError."""
    when = _when(said)
    if when is None:
        message = "say when: --cron '0 3 * * *', --every 15m or --at 09:30 (may be repeated)"
        raise InvalidArgumentError(message)
    return when


def _when(said: "WhenArguments") -> When | None:
    chosen = [name for name, value in (("--cron", said.cron), ("--every", said.every), ("--at", said.at)) if value]
    if len(chosen) > 1:
        message = f"{' and '.join(chosen)} exclude each other: a schedule has one kind of times"
        raise InvalidArgumentError(message)
    _refuse_alone(said, chosen)
    if said.cron is not None:
        return Cron(said.cron, tz=said.tz or "UTC")
    if said.every is not None:
        offset = timedelta(0) if said.offset is None else parse_duration(said.offset)
        return Every(parse_duration(said.every), offset=offset)
    if said.at:
        return Calendar(
            times=[_read(time.fromisoformat, text, "--at", "09:30") for text in said.at],
            weekdays=[text.lower() for text in said.weekday or ()],
            months=said.month or [],
            days=said.day or [],
            exclusions=[_read(date.fromisoformat, text, "--exclude", "2026-12-25") for text in said.exclude or ()],
            tz=said.tz or "UTC",
        )
    return None


def _refuse_alone(said: "WhenArguments", chosen: list[str]) -> None:
    """Refuse what goes with another kind of times, or with none that is given."""
    for name, value, partners in (
        ("--offset", said.offset, ["--every"]),
        ("--weekday", said.weekday, ["--at"]),
        ("--month", said.month, ["--at"]),
        ("--day", said.day, ["--at"]),
        ("--exclude", said.exclude, ["--at"]),
        ("--tz", said.tz, ["--cron", "--at"]),
    ):
        if value and not set(partners) & set(chosen):
            message = f"{name} goes with {' or '.join(partners)}"
            raise InvalidArgumentError(message)


def _unless(word: str, read: Callable[[str], T], text: str) -> T | None:
    return None if text == word else read(text)


def _count(text: str) -> int:
    return _read(int, text, "--limit", "10 or none")


def _read(read: Callable[[str], T], text: str, subject: str, example: str) -> T:
    try:
        return read(text)
    except ValueError:
        message = f"{subject} {text!r} cannot be read; write for example {example}"
        raise InvalidArgumentError(message) from None


# --- for programs and people -----------------------------------------------------------------------------------------


def schedule_for_programs(described: ScheduleDescription) -> dict[str, object]:
    """Return a schedule whole, for programs."""
    plan = described.plan
    return {
        "id": described.id,
        "workflow": plan.workflow,
        "when": _when_for_programs(plan.when),
        "overlap": plan.overlap,
        "catch_up_seconds": _seconds(plan.catch_up_microseconds),
        "jitter_seconds": _seconds(plan.jitter_microseconds),
        "start_at": iso(plan.start_at),
        "end_at": iso(plan.end_at),
        "limit": plan.limit,
        "priority": plan.priority.name.lower(),
        "tenant": plan.tenant or None,
        "labels": plan.labels,
        "paused": described.is_paused,
        "note": described.note or None,
        "created_at": _iso(described.created_at),
        "next": list(times_for_programs(described)),
        "waiting": described.waiting,
        "started": described.started,
        "skipped": described.skipped,
        "runs": [
            {
                "id": run.id,
                "nominal_at": _iso(run.nominal_at),
                "started_at": _iso(run.started_at),
                "cause": run.cause,
                "status": run.status,
            }
            for run in described.runs
        ],
        "skips": [_skip_for_programs(skip) for skip in described.skips],
    }


def _skip_for_programs(skip: Skip) -> dict[str, object]:
    return {"first": iso(skip.first), "last": iso(skip.last), "count": skip.count, "reason": skip.reason}


def times_for_programs(described: ScheduleDescription) -> Iterator[dict[str, object]]:
    """Yield the next nominal times: each in UTC, and as the clocks of its zone show it."""
    zone = zone_of_when(described.plan.when)
    for moment in described.next_times:
        yield {"utc": _iso(moment), "local": moment.astimezone(zone).isoformat()}


def _when_for_programs(when: When) -> dict[str, object]:
    match when:
        case Cron():
            return {"cron": when.expression, "tz": when.tz}
        case Every():
            return {"every_seconds": when.every.total_seconds(), "offset_seconds": when.offset.total_seconds()}
        case Calendar():
            return {
                "at": [moment.isoformat() for moment in when.times],
                "weekdays": when.weekdays,
                "months": when.months,
                "days": when.days,
                "exclusions": [day.isoformat() for day in when.exclusions],
                "tz": when.tz,
            }


def when_text(plan: Plan) -> str:
    """Return the times of a plan in one line, for people."""
    when = plan.when
    match when:
        case Cron():
            return f"{when.expression} ({when.tz})"
        case Every():
            offset = f", {show_duration(when.offset // _MICROSECOND)} later" if when.offset else ""
            return f"every {show_duration(when.every // _MICROSECOND)}{offset}"
        case Calendar():
            parts = [", ".join(moment.isoformat("minutes") for moment in when.times), ", ".join(when.weekdays)]
            parts += [f"{name} {', '.join(map(str, values))}" for name, values in _dates(when) if values]
            return f"at {'; '.join(filter(None, parts))} ({when.tz})"


def _dates(when: Calendar) -> tuple[tuple[str, list[int] | list[date]], ...]:
    return (("months", when.months), ("days", when.days), ("not on", when.exclusions))


def zone_of_when(when: When) -> tzinfo:
    """Return the time zone in which times are meant; an interval is meant in UTC."""
    return UTC if isinstance(when, Every) else zone_of(when.tz)


def _iso(moment: datetime) -> str | None:
    return iso(timestamp_from_datetime(moment))


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000


_MICROSECOND: Final = timedelta(microseconds=1)
