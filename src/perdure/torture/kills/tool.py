"""``kill``: the tool's entry; see the package."""

import asyncio
from typing import Final

from perdure.torture.kills.campaign import KillReport, run_kills
from perdure.torture.options import Options
from perdure.torture.report import Progress

__all__ = ["run"]


def run(options: Options) -> KillReport:
    """Kill as many processes as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    progress = Progress("kill", count)
    report = asyncio.run(run_kills(count=count, seed=options.seed, on_progress=progress.show))
    progress.end()
    return report


_USUALLY: Final = 200
_CI: Final = 500
_LONG: Final = 20_000
