"""``pg``: a server whose connections end, that is stopped, or crashes; see the package."""

from typing import Final

from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.severed.outages import strike_server

__all__ = ["run"]


def run(options: Options) -> Report:
    """Strike as often as `options` say."""
    return strike_server("pg", options, count=options.how_many(usually=_USUALLY, ci=_CI, long=_LONG))


_USUALLY: Final = 20
_CI: Final = 115
_LONG: Final = 5000
