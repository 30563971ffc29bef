"""``mutants``: the control of other tools. Each planted bug must be found by the tool that it is for, in a budget."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from perdure.torture import planting
from perdure.torture.options import Options
from perdure.torture.planted import PLANTED, Mutant
from perdure.torture.report import Progress, Report

__all__ = ["add_controls", "run"]


def add_controls(report: Report, options: Options) -> None:
    """Try the tool that has made `report` on the bugs planted for it."""
    controls = _run(options, [mutant for mutant in PLANTED if mutant.tool == report.name])
    report.controls += controls.controls
    report.survivors += controls.survivors
    report.controls_cpu_seconds |= controls.controls_cpu_seconds


def run(options: Options) -> Report:
    """Try the tools on every planted bug, or on those that `options` name."""
    return _run(options, [mutant for mutant in PLANTED if not options.only or mutant.name in options.only])


def _run(options: Options, chosen: list[Mutant]) -> Report:
    begun = time.monotonic()
    progress = Progress("mutants", len(chosen))
    report = Report(
        name="mutants", runs=len(chosen), seed=options.seed, controls=[], survivors=[], controls_cpu_seconds={}
    )
    with ThreadPoolExecutor(options.processes) as pool:
        waiting = {pool.submit(_try, mutant, options.seed): mutant for mutant in chosen}
        for done, future in enumerate(as_completed(waiting), start=1):
            mutant, outcome = waiting[future], future.result()
            (report.controls if outcome.is_found else report.survivors).append(f"{mutant}: {outcome.what}")
            report.controls_cpu_seconds[mutant.name] = outcome.cpu_seconds
            progress.show(done)
    progress.end()
    report.controls.sort()
    report.survivors.sort()
    report.seconds = time.monotonic() - begun
    return report


class _Outcome(NamedTuple):
    """Whether a tool has found a bug, what it said, and how long its processes worked."""

    is_found: bool
    what: str
    cpu_seconds: float = 0.0


def _try(mutant: Mutant, seed: int) -> _Outcome:
    """Return whether its tool finds the bug.

    Only a finding counts: a process that breaks, or does not come to an end, has found nothing.
    """
    patches = msgspec.json.encode(mutant.patches).decode()
    command = [sys.executable, "-W", "ignore", str(Path(planting.__file__)), patches, mutant.tool, "--json", "--first"]
    command += ["--processes", "1", "--seed", str(seed), "--count", str(_BUDGETS[mutant.tool])]
    for workload in mutant.workloads:
        command += ["--workload", workload]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own command
    except subprocess.TimeoutExpired:
        return _Outcome(is_found=False, what=f"it did not end within {_SECONDS} s")
    if ran.returncode == planting.STALE_STATUS:
        return _Outcome(is_found=False, what=f"it is stale: {ran.stderr.strip()}")
    if not ran.stdout:
        return _Outcome(is_found=False, what=f"it broke: {ran.stderr.strip()[-_LONGEST_CHARACTERS:]}")
    report = msgspec.json.decode(ran.stdout.splitlines()[-1])
    return _Outcome(*_verdict(report), report["cpu_seconds"])


def _verdict(report: dict[str, Any]) -> tuple[bool, str]:
    if findings := report.get("findings"):
        again, _, what = findings[0].partition("\n")
        return True, f"trial {report['runs']}: {(what or again).strip().splitlines()[0][:_LONGEST_CHARACTERS]}"
    if mishaps := report.get("mishaps"):
        return False, f"it broke: {mishaps[0].strip()[-_LONGEST_CHARACTERS:]}"
    return False, f"it survived {report['runs']} trials"


_BUDGETS: Final = {
    "copies": 15_000,
    "corrupt": 2_000,
    "sim": 1_500,
    "stateful": 500,
    "powerloss": 20_000,
    "fsyncgate": 12_000,
    "ioerr": 3_000,
    "fuzz": 12_000,
    "load": 20_000,
    "skew": 600,
    "unknown": 400,
    "replay": 1,
    "check": 20_000,
    "kill": 40,
}
"""How much each tool may try until it has found a bug."""
_SECONDS: Final = 900
_LONGEST_CHARACTERS: Final = 160
