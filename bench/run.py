"""Measure Perdure beside its peers and beside the bare database, in one run.

    uv run --group bench python bench/run.py --workloads W1,W2 --subjects perdure-sqlite,dbos-sqlite,raw-sqlite

Subjects take turns (A B C A B C ...), each measurement in its own process on a fresh database; what is reported is the
median of the repeats, with the machine's fsync rate, its load and the CPU time beside it. README.md says the rest.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console  # noqa: E402 - needs the path above
from rich.markup import escape  # noqa: E402

from bench import display  # noqa: E402
from bench.conditions import memory_file_system  # noqa: E402
from bench.goals import judge  # noqa: E402
from bench.measurement import Measurement, MeasurementError, default_directory, loop_by_default  # noqa: E402
from bench.peer_environments import PeerEnvironmentError, interpreter  # noqa: E402
from bench.records import Reading  # noqa: E402
from bench.summary import busy_workloads, summarise, uneven_workloads  # noqa: E402
from bench.workloads import SUBJECTS, WORKLOADS, size_for  # noqa: E402

FAILED = 1
USAGE = 2
GOAL_MISSED = 3
_WIDTH_OF_A_FILE = 190


@dataclass
class Findings:
    """What a run has brought so far; it is shown even if the run is interrupted."""

    readings: list[Reading] = field(default_factory=list)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    complaint = _complaint(options)
    if complaint is not None:
        console.print(complaint, style="red")
        return USAGE
    findings = Findings()
    try:
        _prepare_peers(options, console)
        _measure_all(options, console, findings)
    except PeerEnvironmentError as error:
        console.print(escape(str(error)), style="red")
        return FAILED
    except KeyboardInterrupt:
        console.print("interrupted; this is what was measured until now", style="red")
        findings.failures.append("interrupted")
    return _report(options, console, findings)


def _parser() -> argparse.ArgumentParser:
    names = ", ".join
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workloads", type=_names, default=[*WORKLOADS], help=f"of {names(WORKLOADS)} (default: all)")
    parser.add_argument(
        "--subjects",
        type=_names,
        default=["perdure-sqlite", "dbos-sqlite", "raw-sqlite"],
        help=f"of {names(SUBJECTS)}\n(default: perdure-sqlite,dbos-sqlite,raw-sqlite)",
    )
    parser.add_argument("--repeat", type=int, help="measurements of each (default: 5, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not for figures")
    parser.add_argument(
        "--baseline", type=_names, help="the subjects of the ratios (default: the peers, else the second subject)"
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        action="append",
        default=[],
        metavar="SUBJECT=FACTOR",
        help="do this much of every workload that can be scaled, e.g. dbos-sqlite=1 or perdure-sqlite=10",
    )
    parser.add_argument("--directory", type=Path, default=default_directory(), help="where databases are made, on disk")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default=loop_by_default(), help="of all subjects")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one process (default: 600)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append a line per figure")
    parser.add_argument(
        "--require-goals", action="store_true", help=f"end with status {GOAL_MISSED} if a must is missed"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _scale(text: str) -> tuple[str, float]:
    subject, _, factor = text.partition("=")
    return subject, float(factor)


def _complaint(options: argparse.Namespace) -> str | None:
    """Say what is wrong with the command, or None."""
    for kind, given, known in (
        ("workload", options.workloads, WORKLOADS),
        ("subject", [*options.subjects, *(options.baseline or ()), *(name for name, _ in options.scale)], SUBJECTS),
    ):
        for name in given:
            if name not in known:
                return f"there is no {kind} {name!r}; there are {', '.join(known)}"
    if not options.workloads or not options.subjects or (options.repeat is not None and options.repeat < 1):
        return "nothing to measure: name at least one workload, one subject and one repeat"
    options.directory.mkdir(parents=True, exist_ok=True)
    in_memory = memory_file_system(options.directory)
    if in_memory is not None:
        return f"{options.directory} is a {in_memory}: a sync costs nothing there; give a --directory on a disk"
    return None


def _prepare_peers(options: argparse.Namespace, console: Console) -> None:
    peers = {peer for name in options.subjects if (peer := SUBJECTS[name].peer) is not None}
    for peer in sorted(peers):
        with console.status(f"environment of {peer}"):
            interpreter(peer)


def _measure_all(options: argparse.Namespace, console: Console, findings: Findings) -> None:
    todo = list(_measurements(options))
    repeats = max((measurement.repeat for measurement in todo), default=0)
    with (
        options.json.open("a", encoding="utf-8") if options.json else _nowhere() as lines,
        display.progress(console) as bar,
    ):
        task = bar.add_task("", total=len(todo))
        for measurement in todo:
            name = f"{measurement.workload.name} {measurement.subject.name}"
            bar.update(task, description=f"{name} {measurement.repeat}/{repeats}")
            try:
                result = measurement.run()
            except MeasurementError as error:
                findings.failures.append(str(error))
                console.print(escape(str(error)), style="red", highlight=False)
            else:
                findings.readings.extend(result.readings)
                findings.facts.setdefault(measurement.subject.name, {}).update(result.facts)
                lines.writelines(f"{reading.as_json_line()}\n" for reading in result.readings)
                lines.flush()
                console.print(escape(display.line_of(result.readings, repeats)), highlight=False, soft_wrap=True)
            bar.advance(task)


def _nowhere() -> TextIO:
    return Path("/dev/null").open("w", encoding="utf-8")


def _measurements(options: argparse.Namespace) -> Iterator[Measurement]:
    """Yield all measurements in order: per workload, the subjects take turns."""
    given = dict(options.scale)
    for workload in (WORKLOADS[name] for name in options.workloads):
        for repeat in range(1, (options.repeat or (1 if options.quick else 5)) + 1):
            for subject in (SUBJECTS[name] for name in options.subjects):
                if workload.name not in subject.workloads:
                    continue
                scale = given.get(subject.name, (subject.scale or {}).get(workload.name, 1.0))
                yield Measurement(
                    workload=workload,
                    subject=subject,
                    size=size_for(workload, scale, quick=options.quick),
                    repeat=repeat,
                    loop=options.loop,
                    directory=options.directory,
                    timeout_seconds=options.timeout,
                )


def _report(options: argparse.Namespace, console: Console, findings: Findings) -> int:
    """Print the tables, and under them what one must know to read them; give the exit status."""
    summary = summarise(findings.readings)
    verdicts = judge(summary)
    peers = [name for name in options.subjects if SUBJECTS[name].peer is not None]
    baselines = options.baseline or peers or options.subjects[1:2]
    console.print()
    if summary.rows:
        console.print(display.figures_table(summary, baselines))
        console.print(display.legend(options.workloads), highlight=False)
        console.print(
            f"event loop: {options.loop}; databases under {options.directory}", highlight=False, soft_wrap=True
        )
    for line in display.reduced_sizes(summary):
        console.print(line, highlight=False)
    for subject, facts in findings.facts.items():
        if facts:
            console.print(f"{subject}: " + ", ".join(f"{k} {v}" for k, v in facts.items()), highlight=False)
    for workload in uneven_workloads(summary):
        console.print(
            f"{workload}: the disk was far slower for one subject than for another; measure again", style="yellow"
        )
    busy = busy_workloads(summary, os.cpu_count() or 1)
    if busy:
        message = f"{', '.join(busy)}: the machine was busy with other work; compare only CPU times, and measure again"
        console.print(message, style="yellow")
    if options.quick:
        console.print("--quick: the sizes are too small for figures that mean anything", style="yellow")
    if verdicts:
        console.print(display.goals_table(verdicts))
    for failure in findings.failures:
        console.print(escape(f"failed: {failure.splitlines()[0]}"), style="red", highlight=False)
    if findings.failures:
        return FAILED
    return GOAL_MISSED if options.require_goals and not all(verdict.met_must for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
