"""The laws of starts by a key and of starts for later: nothing early, nothing twice, nothing lost, one at a time."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from perdure.kernel.events import RunCreated, RunStarted
from perdure.stores.memory.tables import Run
from perdure.torture.simulation.workloads.keyed import (
    DEBOUNCED,
    DEDUPLICATED,
    SINGLE,
    WAIT,
    WINDOW,
    asked_by,
)

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["broken_keyed_laws"]


def broken_keyed_laws(trial: "Trial") -> Iterator[str]:
    """Yield a sentence for each law that starts of the trial broke."""
    yield from _delay_laws(trial)
    for name in (DEBOUNCED, DEDUPLICATED, SINGLE):
        if runs := _runs(trial, name):
            yield from _order_laws(trial, name)
            yield from _LAWS[name](trial, runs)


def _runs(trial: "Trial", name: str) -> list[Run]:
    """Return the runs of a workflow in the order in which they were created."""
    return [run for run in trial.database.runs.values() if run.workflow == name]


def _delay_laws(trial: "Trial") -> Iterator[str]:
    for run_key, run in trial.database.runs.items():
        created, *others = trial.tables.history(run_key)
        begun = next((recorded for recorded in others if isinstance(recorded.event, RunStarted)), None)
        start_at = created.event.start_at if isinstance(created.event, RunCreated) else None
        if begun is None or start_at is None:
            continue
        since, until = trial.times.of(run_key, created), trial.times.of(run_key, begun)
        late = trial.times.lateness(start_at, asked_at=created.at, since=since, until=until)
        if late < 0:
            yield f"run {run.ref} began {-late} microseconds early"


def _order_laws(trial: "Trial", name: str) -> Iterator[str]:
    numbers = [asked.number for asked in asked_by(trial.tables, name)]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice and name != DEDUPLICATED:  # there the window decides: a process may stand still between the two
        yield f"starts {twice} of {name} gave more than one run"
    if numbers != sorted(numbers):
        yield f"starts of {name} began in the order {numbers}"


def _debounce_laws(trial: "Trial", runs: list[Run]) -> Iterator[str]:
    asked = list(asked_by(trial.tables, DEBOUNCED))
    if asked[-1].number != len(trial.calls) - 1:
        yield f"the last start has no run; the last that has is {asked[-1].number}"
    wait = WAIT.total_seconds() * 1_000_000 - trial.world.set_back_microseconds
    for run, one in zip(runs, asked, strict=True):
        if run.created_at < one.at + wait:
            yield f"run {run.ref} did not wait for silence after start {one.number}"


def _window_laws(trial: "Trial", runs: list[Run]) -> Iterator[str]:
    """Find runs that are less than a window apart, but for what a process stood still after it had read the clock."""
    apart = WINDOW.total_seconds() * 1_000_000 - trial.world.disturbed_microseconds
    for before, after in pairwise(runs):
        if after.created_at < before.created_at + apart:
            yield f"runs {before.ref} and {after.ref} were both started within one window"


def _singleton_laws(trial: "Trial", runs: list[Run]) -> Iterator[str]:
    for before, after in pairwise(runs):
        last, first = trial.tables.history(before.run_key)[-1], trial.tables.history(after.run_key)[0]
        is_open = before.closed_at is None
        if is_open or trial.times.of(after.run_key, first) < trial.times.of(before.run_key, last):
            yield f"runs {before.ref} and {after.ref} of one singleton were open at once"
    asked = list(asked_by(trial.tables, SINGLE))
    last_replacing = max((one.number for one in asked if one.replaces), default=0)
    expected = set(range(last_replacing, len(trial.calls)))
    if lost := sorted(expected - {one.number for one in asked}):
        yield f"starts {lost}, which nothing replaced, have no run"


_LAWS = {DEBOUNCED: _debounce_laws, DEDUPLICATED: _window_laws, SINGLE: _singleton_laws}
