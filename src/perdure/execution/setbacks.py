"""Setbacks: how often in a row runs could not go on, and after what pause they are tried anew.

An error that tells of damage, or of a store that is unavailable, does not say whose rows are: a page that many runs
share may have been read wrongly once, a disk may come back. So what failed is tried again, unaided; the pause doubles
with each setback, so that what lasts costs little.
"""

from typing import Final

from perdure.configuration import REMEMBERED_REASONS, Settings
from perdure.kernel.identity import RunKey

__all__ = ["Setbacks", "doubled", "pause_after"]


class Setbacks:
    """Counts in this process how often in a row runs could not go on; so many runs are remembered."""

    def __init__(self) -> None:
        """Begin with none."""
        self._met: Final[dict[RunKey, tuple[int, int]]] = {}

    def count(self, run_key: RunKey, sequence: int) -> int:
        """Count that a run with so many events could not go on; return how often in a row it could not from there."""
        stood_at, times = self._met.pop(run_key, (sequence, 0))
        times = times + 1 if stood_at == sequence else 1
        if len(self._met) >= REMEMBERED_REASONS:
            del self._met[next(iter(self._met))]
        self._met[run_key] = (sequence, times)
        return times

    def forget(self, run_key: RunKey) -> None:
        """Note that a run could go on."""
        self._met.pop(run_key, None)


def pause_after(failures: int, settings: Settings) -> float:
    """Return after how many seconds something is asked of the store again that it has refused so often in a row, though
    not for want of a store (`perdure.execution.committer`): at most a lease."""
    return doubled(settings.retry_store_maximum_seconds, failures, most=settings.lease_seconds)


def doubled(seconds: float, times: int, *, most: float) -> float:
    """Return a pause in seconds that doubles each time from the second on, up to `most`."""
    return min(seconds * 2.0 ** min(times - 1, _DOUBLINGS), most)


_DOUBLINGS: Final = 64
"""More would be no number."""
