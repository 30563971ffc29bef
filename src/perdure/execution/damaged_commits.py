"""Damage that commits of runs meet: the run's own, or something that was wrong for a moment.

An error that tells of damage does not say whose rows are: a page that many runs share may have been read wrongly once.
So a run all of whose rows can be read is given back, to be tried anew after a pause that doubles. Only one that has met
damage at the same event many times is taken for damaged.
"""

from typing import Final

from perdure.configuration import REMEMBERED_REASONS, Settings
from perdure.kernel.identity import RunKey

__all__ = ["DamagedCommits"]


class DamagedCommits:
    """Counts in this process how often in a row runs met damage; so many runs are remembered."""

    def __init__(self, settings: Settings) -> None:
        """Begin with none; the pauses are those after failed commits."""
        self._settings: Final = settings
        self._met: Final[dict[RunKey, tuple[int, int]]] = {}

    def pause_after(self, run_key: RunKey, sequence: int) -> float | None:
        """Count that a run with so many events met damage; return after what pause in seconds it is to be tried anew,
        None if it has been tried often enough."""
        stood_at, times = self._met.pop(run_key, (sequence, 0))
        if stood_at != sequence:
            times = 0
        if times >= _TIMES:
            return None
        if len(self._met) >= REMEMBERED_REASONS:
            del self._met[next(iter(self._met))]
        self._met[run_key] = (sequence, times + 1)
        return min(self._settings.retry_store_seconds * 2.0**times, self._settings.retry_store_maximum_seconds)


_TIMES: Final = 8
