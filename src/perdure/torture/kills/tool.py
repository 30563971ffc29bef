"""``kill``: the tool's entry; see the package."""

import asyncio
from pathlib import Path
from typing import Final

from perdure.torture.kills.campaign import KillReport, run_kills
from perdure.torture.kills.process import Order, live
from perdure.torture.options import Options
from perdure.torture.processes.nursery import NURSERY, be_the_nursery
from perdure.torture.report import Progress, Report

__all__ = ["run"]


def run(options: Options) -> Report:
    """Kill as many processes as `options` say."""
    if options.plan == NURSERY:
        return be_the_nursery("kill", Order, live)
    if options.history:
        report = KillReport(name="kill", runs=1, seed=options.seed)
        report.judge(Path(options.history))
        return report
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    progress = Progress("kill", count)
    has_controls = not options.stops_at_first
    report = asyncio.run(
        run_kills(count=count, seed=options.seed, has_controls=has_controls, on_progress=progress.show)
    )
    progress.end()
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


_USUALLY: Final = 200
_CI: Final = 500
_LONG: Final = 20_000
