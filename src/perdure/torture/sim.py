"""``sim``: the deterministic simulation. With ``--ci`` or ``--long`` it also tries itself on planted bugs."""

import time
from math import ceil
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
    progress = Progress("sim", ceil(count / options.part.count))
    campaign = run_campaign(
        count=count,
        seed=options.seed,
        processes=options.processes,
        workloads=options.workloads,
        part=options.part,
        stops_at_first=options.stops_at_first,
        on_progress=progress.show,
    )
    progress.end()
    report = Report(
        name="sim",
        runs=campaign.done,
        violations=[str(violation) for violation in campaign.violations],
        seconds=time.monotonic() - begun,
        seed=options.seed,
    )
    if options.shows_coverage:
        report.details = [*campaign.coverage.lines()]
        report.coverage = campaign.coverage.plain()
    if campaign.done >= _CI and not options.workloads:
        report.survivors = [f"struck by nothing: {gap}" for gap in campaign.coverage.gaps()]
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs this module in other processes

        mutants.add_controls(report, options)
    return report


_USUALLY: Final = 2_000
_CI: Final = 20_000
_LONG: Final = 1_000_000
