"""``check``: the tool's entry; see the package."""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

import msgspec

from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.campaign import Round, run_round
from perdure.torture.checking.judgement import Judgement, judge
from perdure.torture.checking.process import Order, live
from perdure.torture.checking.records import read_records, whole_lines
from perdure.torture.disks.folders import fast_folder
from perdure.torture.options import Options
from perdure.torture.processes.nursery import NURSERY, be_the_nursery
from perdure.torture.report import Progress, Report

__all__ = ["CheckReport", "run"]


class CheckReport(Report, kw_only=True):
    """The outcome of `check`: how many processes and kills there were, and operations of unknown outcome.

    `asked` and `answered`: how many operations of each kind there were, and were answered by no error.
    """

    processes: int = 0
    kills: int = 0
    unknown: int = 0
    asked: Counter[str] = msgspec.field(default_factory=Counter)
    answered: Counter[str] = msgspec.field(default_factory=Counter)

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        return (
            f"{super().line(unit)}; {self.processes} processes, {self.kills} kills, {self.answered.total()} answers, "
            f"{self.unknown} unknown outcomes, {len(self.violations)} anomalies"
        )

    def add(self, seen: Judgement) -> None:
        """Count what was judged."""
        self.runs += seen.calls
        self.unknown += seen.unknown
        self.asked = self.asked + seen.asked
        self.answered = self.answered + seen.answered

    def unanswered(self) -> Iterator[str]:
        """Yield the kinds of operations that hardly ever come to an answer: nothing can be said of these."""
        for kind, count in self.asked.items():
            if count >= _ENOUGH_TO_TELL and self.answered[kind] < count * _LEAST_SHARE:
                again = f"python -m perdure.torture check --seed {self.seed}"
                yield f"{again}\n    {self.answered[kind]} of {count} calls of {kind} were answered without an error"


def run(options: Options) -> Report:
    """Have as many operations made as `options` say, in rounds, and judge each; or judge a history that was kept."""
    if options.plan == NURSERY:
        return be_the_nursery("check", Order, live)
    begun = time.monotonic()
    report = CheckReport(name="check", seed=options.seed, violations=[], mishaps=[], controls=[], survivors=[])
    if options.history:
        seen = judge(read_records([Path(options.history)]), may_be_unavailable=options.on_postgres)
        report.add(seen)
        report.violations += [f"{options.history}\n    {anomaly}" for anomaly in seen.anomalies]
    else:
        _run_rounds(options, report)
    report.violations += report.unanswered()
    report.seconds = time.monotonic() - begun
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


def _run_rounds(options: Options, report: CheckReport) -> None:
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    rounds = ceil(count / (_CALLS_UNTIL_FIRST if options.stops_at_first else _CALLS_IN_A_ROUND))
    progress = Progress("check", count)
    for number in range(rounds):
        done = report.runs
        with tempfile.TemporaryDirectory(prefix="perdure-check-", dir=fast_folder()) as folder:
            happened = asyncio.run(
                run_round(
                    Path(folder),
                    seed=options.seed + number,
                    calls=ceil(count / rounds),
                    on_postgres=options.on_postgres,
                    on_progress=lambda made, done=done: progress.show(done + made),  # type: ignore[misc]
                )
            )
            _add_round(report, happened, Path(folder), options.seed + number, on_postgres=options.on_postgres)
        progress.show(report.runs)
        if options.stops_at_first and (report.violations or report.mishaps or any(report.unanswered())):
            break
    progress.end()


def _add_round(report: CheckReport, happened: Round, folder: Path, seed: int, *, on_postgres: bool = False) -> None:
    """Judge what was noted in a round; keep it in a file if it is wrong."""
    notebooks = sorted(folder.glob("notes-*"))
    seen = judge(read_records(notebooks), may_be_unavailable=on_postgres)
    report.add(seen)
    report.processes += happened.processes
    report.kills += happened.kills
    report.mishaps += happened.mishaps
    anomalies = [*seen.anomalies]
    if not happened.is_settled:
        anomalies.append(Anomaly(kind="open", why="what was open has not ended, though nothing else went on any more"))
    if anomalies:
        kept = Path(tempfile.gettempdir()) / f"perdure-check-{seed}-{os.getpid()}.jsonl"
        with kept.open("wb") as file:
            for notebook in notebooks:
                file.writelines(whole_lines(notebook))
        report.violations += [
            f"python -m perdure.torture check{' --postgres' if on_postgres else ''} --history {kept}\n    {each}"
            for each in anomalies
        ]


_CALLS_IN_A_ROUND: Final = 50_000
_CALLS_UNTIL_FIRST: Final = 2_500
"""In a round of those that stop at the first violation."""
_USUALLY: Final = 10_000
_CI: Final = 200_000
_LONG: Final = 10_000_000
_ENOUGH_TO_TELL: Final = 100
_LEAST_SHARE: Final = 0.1
"""Of the calls of a kind so many are answered at least, even where a machine is very busy: some six of ten usually."""
