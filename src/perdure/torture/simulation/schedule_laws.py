"""The laws of schedules: each nominal time has one run or one reason, none early, none twice."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from perdure.kernel.time import Timestamp
from perdure.timekeeping.decisions import next_times
from perdure.timekeeping.schedules import SCHEDULE_KIND, Overlap, Schedule, read_schedule, run_id_of
from perdure.timekeeping.settling import SCHEDULE_LABEL

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["broken_schedule_laws"]


def broken_schedule_laws(trial: "Trial") -> Iterator[str]:
    """Yield a sentence for each law that a schedule of the trial broke."""
    for entry in trial.database.agenda.entries():
        if entry.key.kind == SCHEDULE_KIND:
            for what in _laws(trial, entry.key.id, read_schedule(entry)):
                yield f"schedule {entry.key.id}: {what}"


def _laws(trial: "Trial", name: str, schedule: Schedule) -> Iterator[str]:
    runs = [run for run in trial.database.runs.values() if run.labels.get(SCHEDULE_LABEL) == name]
    if len(runs) != schedule.started:
        yield f"it counts {schedule.started} starts and has {len(runs)} runs"
    if schedule.buffer or schedule.requests or schedule.backfills:
        yield "something still waits to be started"
    for nominal_at in _past_times(schedule):
        is_started = trial.database.generations.get(("default", run_id_of(name, nominal_at))) is not None
        is_skipped = any(skip.first <= nominal_at <= skip.last for skip in schedule.skips)
        if is_started == is_skipped:
            yield f"the nominal time {nominal_at} has {'a run and a reason' if is_started else 'no run and no reason'}"
    for start in schedule.starts:
        if start.at < start.nominal_at and not trial.world.has_shown(start.nominal_at):
            yield f"the run {start.run_id} was started early"
    if schedule.plan.overlap is not Overlap.ALLOW_ALL:
        spans = sorted(trial.times.span(run.run_key, trial.tables.history(run.run_key)) for run in runs)
        if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
            yield "two of its runs were open at once"


def _past_times(schedule: Schedule) -> list[Timestamp]:
    """Return the nominal times from its creation to its cursor."""
    plan = type(schedule.plan)(when=schedule.plan.when, workflow="", definition_version="")
    fresh = Schedule(plan=plan, created_at=schedule.created_at, cursor=schedule.created_at)
    times = next_times(fresh, now=schedule.created_at, count=_MANY)
    return [moment for moment in times if moment <= schedule.cursor]


_MANY = 1_000
