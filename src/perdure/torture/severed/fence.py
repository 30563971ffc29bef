"""``fence``: workers that stand still for longer than their leases; see the package."""

from typing import Final

from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.severed.absences import stand_still

__all__ = ["run"]


def run(options: Options) -> Report:
    """Strike as often as `options` say."""
    return stand_still("fence", options, count=options.how_many(usually=_USUALLY, ci=_CI, long=_LONG))


_USUALLY: Final = 20
_CI: Final = 50
_LONG: Final = 1000
