"""``mutants``: the control of the simulation. Each planted bug must be found by `sim` within its budget."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import msgspec

from perdure.torture import planting
from perdure.torture.options import Options
from perdure.torture.planted import PLANTED, Mutant
from perdure.torture.report import Progress, Report

__all__ = ["run"]


def run(options: Options) -> Report:
    """Try the simulation on every planted bug, or on those that `options` name."""
    begun = time.monotonic()
    chosen = [mutant for mutant in PLANTED if not options.only or mutant.name in options.only][: options.count]
    progress = Progress("mutants", len(chosen))
    report = Report(name="mutants", runs=len(chosen), seed=options.seed, controls=[], survivors=[])
    with ThreadPoolExecutor(options.processes) as pool:
        waiting = {pool.submit(_find, mutant, options.seed): mutant for mutant in chosen}
        for done, future in enumerate(as_completed(waiting), start=1):
            mutant = waiting[future]
            reason = future.result()
            if reason is None:
                report.controls.append(mutant.name)
            else:
                report.survivors.append(f"{mutant.name}: {reason}")
            progress.show(done)
    progress.end()
    report.controls.sort()
    report.survivors.sort()
    report.seconds = time.monotonic() - begun
    return report


def _find(mutant: Mutant, seed: int) -> str | None:
    """Return None if the simulation finds the bug, else why it did not."""
    patch = msgspec.json.encode({"module": mutant.module, "old": mutant.old, "new": mutant.new}).decode()
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(Path(planting.__file__)),
        patch,
        "sim",
        "--first",
        "--processes",
        "1",
    ]
    command += ["--seed", str(seed), "--count", str(_PLANS)]
    for workload in mutant.workloads:
        command += ["--workload", workload]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own command
    except subprocess.TimeoutExpired:
        return None  # an engine that never comes to rest is no less found than one that ends wrong
    if ran.returncode == planting.STALE_STATUS:
        return f"is stale: {ran.stderr.strip()}"
    if ran.returncode == 0:
        return f"survived {_PLANS} plans"
    return None


_PLANS: Final = 1_500
_SECONDS: Final = 120
