"""True times: when events became durable and when the clock shows a moment, also in trials whose clock is set."""

from typing import Final

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.stores.memory import MemoryDatabase
from perdure.torture.simulation.plans import StrikeKind
from perdure.torture.simulation.world import World

__all__ = ["TrueTimes"]


class TrueTimes:
    """The times of a trial as a clock would show them that is never set; in most trials that is the clock there is."""

    def __init__(self, world: World, database: MemoryDatabase) -> None:
        """Take note of `database` in `world`, if its clock is set at all."""
        self._world = world
        self._database = database
        self._known: dict[RunKey, list[int]] = {}
        if world.is_skewed:
            world.on_commit.append(self._note)

    def of(self, run_key: RunKey, recorded: RecordedEvent) -> int:
        """Return when an event happened."""
        if not self._world.is_skewed:
            return recorded.at
        return self._known[run_key][recorded.sequence - 1]

    def span(self, run_key: RunKey, history: list[RecordedEvent]) -> tuple[int, int]:
        """Return when a run came to be, and when it was heard of last."""
        return self.of(run_key, history[0]), self.of(run_key, history[-1])

    def lateness(self, moment: int, *, asked_at: int, since: int, until: int, possible_at: int = 0) -> int:
        """Return by how much what happened `until` was late, negative if it was early: it was due at `moment`.

        It had been asked for when the clock showed `asked_at`, which was durable `since`, and was not to be done before
        `possible_at`.
        """
        if not self._world.is_skewed:
            return until - max(moment, possible_at)
        since = max(since, possible_at)
        if moment <= asked_at:
            return until - since
        return self._world.shown_for(moment, since=since, until=until)

    def longest_delay(self) -> int:
        """Return how many microseconds of delay the strikes, the leases that had to pass and some patience explain."""
        longest = _PATIENCE_MICROSECONDS + self._world.held_up_microseconds
        for strike in self._world.plan.strikes:
            longest += _LOOK_MICROSECONDS if strike.kind is StrikeKind.JUMP else _LEASE_MICROSECONDS
        return longest

    def _note(self) -> None:
        now = self._world.true_time()
        for run_key, rows in self._database.events.items():
            known = self._known.setdefault(run_key, [])
            known.extend([now] * (len(rows) - len(known)))


_PATIENCE_MICROSECONDS: Final = 1_000_000
_LEASE_MICROSECONDS: Final = 21_000_000
_LOOK_MICROSECONDS: Final = 7_000_000
"""How often a process looks whether the clock was set, and at the leases of others."""
