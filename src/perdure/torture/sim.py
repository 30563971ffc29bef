"""``sim``: the deterministic simulation. With ``--ci`` or ``--long`` it also tries itself on planted bugs."""

import time
from typing import Final

from perdure.torture.options import Options
from perdure.torture.report import Progress, Report
from perdure.torture.simulation.campaign import examine, run_campaign
from perdure.torture.simulation.plans import parse_plan

__all__ = ["run"]


def run(options: Options) -> Report:
    """Examine as many plans as `options` say, or the one plan they name."""
    begun = time.monotonic()
    if options.plan:
        violation = examine(parse_plan(options.plan))
        violations = [] if violation is None else [str(violation)]
        return Report(name="sim", runs=1, violations=violations, seconds=time.monotonic() - begun, seed=options.seed)
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    progress = Progress("sim", count)
    done, found = run_campaign(
        count=count,
        seed=options.seed,
        processes=options.processes,
        workloads=options.workloads,
        stops_at_first=options.stops_at_first,
        on_progress=progress.show,
    )
    progress.end()
    report = Report(
        name="sim",
        runs=done,
        violations=[str(violation) for violation in found],
        seconds=time.monotonic() - begun,
        seed=options.seed,
    )
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs this module in other processes

        mutants.add_controls(report, options)
    return report


_USUALLY: Final = 2_000
_CI: Final = 20_000
_LONG: Final = 1_000_000
