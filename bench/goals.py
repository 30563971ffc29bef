"""The SQLite goals, each judged from the rows of one run. Pure.

A goal whose subjects were not in the run has no row: a figure of another day is not compared. What is compared with
peers that have no subject here (Restate, dura, PostgreSQL) is not judged at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.summary import Summary

PERDURE: Final = "perdure-sqlite"
DBOS: Final = "dbos-sqlite"
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


def _against_dbos(workload: str, must: float, stretch: float) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        ours, theirs = (summary.value(workload, subject, _THROUGHPUT) for subject in (PERDURE, DBOS))
        return _at_least(f"{workload} against {DBOS}", _ratio(ours, theirs), must, stretch, "{:.1f}x")

    return judged


def _against_raw_rows(summary: Summary) -> Verdict | None:
    steps = summary.value("W2", PERDURE, _THROUGHPUT)
    ratio = _ratio(steps, summary.value("W2", RAW, "rows, 100 per transaction"))
    percent = None if ratio is None else 100 * ROWS_A_STEP * ratio
    return _at_least("W2 against raw SQLite rows/s at 100 (2 rows a step)", percent, 8, 20, "{:.1f} %")


def _cpu(goal: str, workload: str, must: float, stretch: float) -> _Goal:
    def judged(summary: Summary) -> Verdict | None:
        return _at_most(goal, summary.cpu(workload, PERDURE, _THROUGHPUT), must, stretch, "{:.0f} µs")

    return judged


def _against_raw_commit(summary: Summary) -> Verdict | None:
    ratio = _ratio(summary.value("W4", PERDURE, "p50"), summary.value("W4", PERDURE, "raw commit p50"))
    return _at_most("W4 p50 against raw commits in turns with it, p50", ratio, 3, 2.3, "{:.2f}x")


def _restart_against_dbos(summary: Summary) -> Verdict | None:
    seconds = summary.value("W5", PERDURE, "restart")
    ratio = _ratio(seconds, summary.value("W5", DBOS, "restart"))
    if seconds is None or ratio is None:
        return None
    return Verdict(
        goal=f"W5 restart to all complete, against {DBOS}",
        measured=f"{seconds:.2f} s, {ratio:.3f} of {DBOS}",
        must="≤ 0.1",
        stretch="≤ 1 s",
        met_must=ratio <= 0.1,
        met_stretch=seconds <= 1.0,
    )


def _value(goal: str, metric: tuple[str, str], must: float, stretch: float | None, form: str) -> _Goal:
    workload, name = metric

    def judged(summary: Summary) -> Verdict | None:
        return _at_most(goal, summary.value(workload, PERDURE, name), must, stretch, form)

    return judged


_GOALS: Final[tuple[_Goal, ...]] = (
    _against_dbos("W1", 25, 50),
    _against_dbos("W2", 30, 60),
    _against_raw_rows,
    _cpu("CPU per sequential step (W2)", "W2", 80, 45),
    _cpu("CPU per one-step workflow (W1)", "W1", 200, 110),
    _cpu("CPU per parallel step (W3)", "W3", 40, 25),
    _against_raw_commit,
    _restart_against_dbos,
    _value("W5 acknowledged runs and steps lost", ("W5", "lost"), 0, None, "{:.0f}"),
    _value("W6 p99 lateness", ("W6", "late p99"), 50, 15, "{:.1f} ms"),
    _value("W7 p99 round trip, 50 in flight", ("W7", "p99"), 50, 15, "{:.1f} ms"),
    _value("W8 replay per step", ("W8", "replay per step"), 40, 12, "{:.1f} µs"),
    _value("W8 step cost at the end against the start", ("W8", "end to start"), 1.1, 1.0, "{:.2f}x"),
    _value("W8 step CPU at the end against the start", ("W8", "end to start, CPU"), 1.1, 1.0, "{:.2f}x"),
    _value("import CPU", ("M", "import CPU"), 150, 100, "{:.0f} ms"),
    _value("idle RSS", ("M", "idle RSS"), 40, 32, "{:.1f} MB"),
    # The goal says "about nothing, one row"; a kibibyte is far below what any object graph of a run would take.
    _value("memory per waiting run, evicted", ("M", "RSS per waiting run"), 1024, None, "{:.0f} B"),
    _value("bytes per step on disk", ("M", "bytes per step on disk"), 400, 250, "{:.0f} B"),
)
