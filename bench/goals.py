"""The goals, each judged from the rows of one run. Pure.

A goal whose subjects were not in the run has no row: a figure of another day is not compared. What is compared with
dura, which has no subject here, is not judged at all. Of Restate the best of its repeats counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.summary import Summary

RESTATE: Final = "restate"
RAW: Final = "raw-sqlite"
ROWS_A_STEP: Final = 2  # scheduled and completed
_THROUGHPUT: Final = "throughput"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One row of the goal table."""

    goal: str
    measured: str
    must: str
    stretch: str  # empty: none is set
    met_must: bool
    met_stretch: bool | None  # None: none is set

    def as_record(self) -> dict[str, object]:
        return {
            "goal": self.goal,
            "measured": self.measured,
            "must": self.must,
            "stretch": self.stretch,
            "met must?": self.met_must,
            "met stretch?": self.met_stretch,
        }


def judge(summary: Summary) -> list[Verdict]:
    """Judge every goal whose subjects were measured, in the order of the goal table."""
    return [verdict for goal in _GOALS if (verdict := goal(summary)) is not None]


_Goal = Callable[[Summary], Verdict | None]


def _at_least(goal: str, value: float | None, must: float, stretch: float, form: str) -> Verdict | None:
    if value is None:
        return None
    return Verdict(
        goal=goal,
        measured=form.format(value),
        must=f"≥ {form.format(must)}",
        stretch=f"≥ {form.format(stretch)}",
        met_must=value >= must,
        met_stretch=value >= stretch,
    )


def _at_most(goal: str, value: float | None, must: float, stretch: float | None, form: str) -> Verdict | None:
    """Judge a value as it is printed: 1.004x is 1.00x."""
    if value is None:
        return None
    shown = form.format(value)
    return Verdict(
        goal=goal,
        measured=shown,
        must=f"≤ {form.format(must)}",
        stretch="" if stretch is None else f"≤ {form.format(stretch)}",
        met_must=value <= must or shown == form.format(must),
        met_stretch=None if stretch is None else value <= stretch or shown == form.format(stretch),
    )


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """A subject of Perdure's, and DBOS on the same database. `at`: what is added to the names of its goals."""

    perdure: str
    dbos: str
    at: str = ""


_SQLITE: Final = _Sides(perdure="perdure-sqlite", dbos="dbos-sqlite")
_POSTGRES: Final = _Sides(perdure="perdure-postgres", dbos="dbos-postgres", at=", PostgreSQL")


def _against_dbos(sides: _Sides, workload: str, must: float, stretch: float) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        ours, theirs = (summary.value(workload, subject, _THROUGHPUT) for subject in (sides.perdure, sides.dbos))
        return _at_least(f"{workload} against {sides.dbos}", _ratio(ours, theirs), must, stretch, "{:.1f}x")

    return judged


def _against_restate(sides: _Sides, workload: str, must: float, stretch: float) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        best = summary.row(workload, RESTATE, _THROUGHPUT)
        ratio = None if best is None else _ratio(summary.value(workload, sides.perdure, _THROUGHPUT), best.highest)
        return _at_least(f"{workload} against best {RESTATE}{sides.at}", ratio, must, stretch, "{:.1f}x")

    return judged


def _against_raw_rows(summary: Summary) -> Verdict | None:
    steps = summary.value("W2", _SQLITE.perdure, _THROUGHPUT)
    ratio = _ratio(steps, summary.value("W2", RAW, "rows, 100 per transaction"))
    percent = None if ratio is None else 100 * ROWS_A_STEP * ratio
    return _at_least("W2 against raw SQLite rows/s at 100 (2 rows a step)", percent, 8, 20, "{:.1f} %")


def _cpu(sides: _Sides, goal: str, workload: str, must: float, stretch: float) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        cpu = summary.cpu(workload, sides.perdure, _THROUGHPUT)
        worker = f"{sides.at}, the worker's" if sides.at else ""
        return _at_most(f"CPU per {goal} ({workload}){worker}", cpu, must, stretch, "{:.0f} µs")

    return judged


def _against_raw_commit(sides: _Sides) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        ratio = _ratio(*(summary.value("W4", sides.perdure, metric) for metric in ("p50", "raw commit p50")))
        return _at_most(f"W4 p50 against raw commits in turns with it, p50{sides.at}", ratio, 3, 2.3, "{:.2f}x")

    return judged


def _restart_against_dbos(summary: Summary) -> Verdict | None:
    seconds = summary.value("W5", _SQLITE.perdure, "restart")
    ratio = _ratio(seconds, summary.value("W5", _SQLITE.dbos, "restart"))
    if seconds is None or ratio is None:
        return None
    return Verdict(
        goal=f"W5 restart to all complete, against {_SQLITE.dbos}",
        measured=f"{seconds:.2f} s, {ratio:.3f} of {_SQLITE.dbos}",
        must="≤ 0.1",
        stretch="≤ 1 s",
        met_must=ratio <= 0.1,
        met_stretch=seconds <= 1.0,
    )


def _restart_against_restate(sides: _Sides) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        seconds, best = summary.value("W5", sides.perdure, "restart"), summary.row("W5", RESTATE, "restart")
        if seconds is None or best is None:
            return None
        return Verdict(
            goal=f"W5 restart to all complete, against best {RESTATE}{sides.at}",
            measured=f"{seconds:.2f} s",
            must=f"≤ {best.lowest:.2f} s",
            stretch="≤ 1 s",
            met_must=seconds <= best.lowest,
            met_stretch=seconds <= 1.0,
        )

    return judged


def _value(sides: _Sides, goal: str, metric: tuple[str, str], limits: tuple[float, float | None], form: str) -> _Goal:
    workload, name = metric

    def judged(summary: Summary) -> Verdict | None:
        return _at_most(f"{goal}{sides.at}", summary.value(workload, sides.perdure, name), *limits, form)

    return judged


def _two_processes(summary: Summary) -> Verdict | None:
    ratio = summary.value("W2x", _POSTGRES.perdure, "2 to 1")
    return _at_least("W2x steps/s of two processes against one", ratio, 1.6, 1.8, "{:.2f}x")


def _of_either(sides: _Sides) -> tuple[_Goal, ...]:
    """List what is judged alike on either database."""
    return (
        _against_restate(sides, "W1", 5, 10),
        _against_restate(sides, "W2", 4, 8),
        _cpu(sides, "sequential step", "W2", 80, 45),
        _cpu(sides, "one-step workflow", "W1", 200, 110),
        _against_restate(sides, "W3", 5, 10),
        _cpu(sides, "parallel step", "W3", 40, 25),
        _against_raw_commit(sides),
        _restart_against_restate(sides),
        _value(sides, "W5 acknowledged runs and steps lost", ("W5", "lost"), (0, None), "{:.0f}"),
        _value(sides, "W6 p99 lateness", ("W6", "late p99"), (50, 15), "{:.1f} ms"),
        _value(sides, "W7 p99 round trip, 50 in flight", ("W7", "p99"), (50, 15), "{:.1f} ms"),
        _value(sides, "W8 replay per step", ("W8", "replay per step"), (40, 12), "{:.1f} µs"),
        _value(sides, "W8 step cost at the end against the start", ("W8", "end to start"), (1.1, 1.0), "{:.2f}x"),
        _value(sides, "W8 step CPU at the end against the start", ("W8", "end to start, CPU"), (1.1, 1.0), "{:.2f}x"),
        _value(sides, "import CPU", ("M", "import CPU"), (150, 100), "{:.0f} ms"),
        _value(sides, "idle RSS", ("M", "idle RSS"), (40, 32), "{:.1f} MB"),
        # The goal says "about nothing, one row"; a kibibyte is far below what any object graph of a run would take.
        _value(sides, "memory per waiting run, evicted", ("M", "RSS per waiting run"), (1024, None), "{:.0f} B"),
        _value(sides, "bytes per step on disk", ("M", "bytes per step on disk"), (400, 250), "{:.0f} B"),
    )


_GOALS: Final[tuple[_Goal, ...]] = (
    _against_dbos(_SQLITE, "W1", 25, 50),
    _against_dbos(_SQLITE, "W2", 30, 60),
    _against_raw_rows,
    _restart_against_dbos,
    *_of_either(_SQLITE),
    _against_dbos(_POSTGRES, "W1", 10, 20),
    _against_dbos(_POSTGRES, "W2", 20, 40),
    *_of_either(_POSTGRES),
    _two_processes,
)
