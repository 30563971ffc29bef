"""``kill``: the tool's entry; see the package."""

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

from perdure.torture.kills.campaign import KillReport, run_kills
from perdure.torture.kills.portfolio import WORKLOADS
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
    sizes = _ON_POSTGRES if options.on_postgres else _IN_A_FILE
    count = options.how_many(usually=sizes.usually, ci=sizes.ci, long=sizes.long)
    progress = Progress("kill", count)
    report = asyncio.run(
        run_kills(
            count=count,
            seed=options.seed,
            on_postgres=options.on_postgres,
            workloads=options.workloads_of(WORKLOADS),
            has_controls=not options.stops_at_first,
            on_progress=progress.show,
        )
    )
    progress.end()
    if (options.is_ci or options.is_long) and not options.stops_at_first:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


class _Sizes(NamedTuple):
    """How many kills there are, unless the options say."""

    usually: int
    ci: int
    long: int


_IN_A_FILE: Final = _Sizes(usually=200, ci=500, long=20_000)
_ON_POSTGRES: Final = _Sizes(usually=40, ci=100, long=2_000)
