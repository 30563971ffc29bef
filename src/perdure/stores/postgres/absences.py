"""Since when sessions are missed: those that do not show that they live."""

from collections.abc import Callable, Collection
from typing import Final

from perdure.kernel.identity import WorkerId

__all__ = ["Absences"]


class Absences:
    """What one session's looks at the others have found."""

    def __init__(self, *, absence_seconds: float, now: Callable[[], float]) -> None:
        """Begin with nobody missed. Who is at two looks, `absence_seconds` apart and at all between, is so for long."""
        self._absence_seconds: Final = absence_seconds
        self._now: Final = now
        self._since: dict[WorkerId, float] = {}

    def note(self, absent: Collection[WorkerId]) -> set[WorkerId]:
        """Note who is absent at a look; return who has been so for long."""
        now = self._now()
        self._since = {worker: self._since.get(worker, now) for worker in absent}
        return {worker for worker, since in self._since.items() if now - since >= self._absence_seconds}

    @property
    def decides_at(self) -> float | None:
        """When a look can find somebody who is missed now to be so for long; None: nobody is, or not only now."""
        now = self._now()
        moments = (since + self._absence_seconds for since in self._since.values())
        return min((moment for moment in moments if moment > now), default=None)
