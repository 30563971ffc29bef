"""Warm runs: code of runs that others own, replayed up to where it is known that their histories stand.

A warm run has only a replay that is not finished: nothing that its code asks for is more than compared with what was
recorded. It is `finish`ed when this worker owns the run, and then is what a loading would have made.
"""

from collections.abc import Iterator
from typing import Final

from perdure.authoring.registry import Registry
from perdure.configuration import REMEMBERED_REASONS
from perdure.errors import HistoryError
from perdure.execution.loading import begin_replay
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.program import Feed
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState
from perdure.ports.following import BEGINNING, HistoryPart

__all__ = ["WarmRun", "WarmRuns"]


class WarmRun:
    """A run's code at a `place` of its history, of which `size_bytes` were read. `code` names what drives it."""

    __slots__ = ("_replay", "code", "moved_at", "place", "size_bytes", "workflow")

    def __init__(self, workflow: WorkflowVersion, *, code: str) -> None:
        """Begin before the first event."""
        self.workflow: Final = workflow
        self.code: Final = code
        self.place = BEGINNING
        self.size_bytes = 0
        self.moved_at = 0.0
        self._replay: Replay | None = None

    def go_on(self, registry: Registry, part: HistoryPart) -> None:
        """Replay what comes next. Raises what `load_run` does; then the run is to be closed."""
        if part.events:
            if self._replay is None:
                self._replay = begin_replay(registry, part.run_key, self.workflow, part.events)
            self._replay.take(part.events)
        self.place = part.place
        self.size_bytes += part.size_bytes

    def finish(self) -> tuple[RunState, Feed]:
        """Return what `load_run` returns. Raises what that does; then the run is to be closed."""
        if self._replay is None:
            raise HistoryError("nothing is known yet of the history of a warm run")
        return self._replay.finish()

    def close(self) -> None:
        """Let go of the code."""
        if self._replay is not None:
            self._replay.feed.program.close()


class WarmRuns:
    """At most so many warm runs, and bytes that were read of them; the last moved are at the end.

    When it is full the least recently moved makes room, but for a newcomer only one that has not moved for
    `rest_seconds`: where more runs move than there is room for, none would stay long enough to be of use. Runs that do
    not move have `places` as long as there are some, and displace none: they would take turns, each copied anew. Of one
    for which there was no room its size is remembered: it has no place before that much is free.
    """

    def __init__(self, *, most: int, most_bytes: int, rest_seconds: float) -> None:
        """Begin with none."""
        self.most: Final = most
        self.most_bytes: Final = most_bytes
        self._rest_seconds: Final = rest_seconds
        self._runs: dict[RunKey, WarmRun] = {}
        self._size_bytes = 0
        self._left_out: dict[RunKey, int] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._runs)

    def __iter__(self) -> Iterator[RunKey]:
        """Go through their keys, the least recently moved first."""
        return iter(self._runs)

    def __contains__(self, run_key: RunKey) -> bool:
        """Whether there is a warm run of this key."""
        return run_key in self._runs

    def find(self, run_key: RunKey) -> WarmRun | None:
        """Return a warm run, which stays here."""
        return self._runs.get(run_key)

    @property
    def places(self) -> int:
        """How many more may come that do not move. Of the bytes they leave some: how long one is shows as it comes."""
        return self.most - len(self._runs) if self._size_bytes <= _FILLED * self.most_bytes else 0

    @property
    def room_bytes(self) -> int:
        """How long one may be that does not move."""
        return self.most_bytes - self._size_bytes if self.places > 0 else 0

    @property
    def left_out(self) -> int:
        """Of how many runs it is remembered how long they are, for there was no room for them."""
        return len(self._left_out)

    def bytes_needed(self, run_key: RunKey) -> int:
        """Return how long a run is at least that is not here."""
        return self._left_out.get(run_key, 1)

    def has_room(self, now: float) -> bool:
        """Whether another one that has moved may come."""
        if len(self._runs) < self.most and self._size_bytes < self.most_bytes:
            return True
        oldest = next(iter(self._runs.values()), None)
        return oldest is not None and oldest.moved_at + self._rest_seconds <= now

    def put(self, run_key: RunKey, run: WarmRun, now: float, *, has_moved: bool) -> bool:
        """Keep a run that has moved, and as many others as fit beside it; one that has not, if it fits beside them all.

        Return whether it is kept; else it is closed.
        """
        self.take(run_key)
        self._left_out.pop(run_key, None)
        run.moved_at = now
        self._runs[run_key] = run
        self._size_bytes += run.size_bytes
        while len(self._runs) > self.most or self._size_bytes > self.most_bytes:
            self._leave_out(next(iter(self._runs)) if has_moved else run_key)
        return run_key in self._runs

    def _leave_out(self, run_key: RunKey) -> None:
        self._left_out[run_key] = self._runs[run_key].size_bytes
        self.discard(run_key)
        if len(self._left_out) > REMEMBERED_REASONS:
            del self._left_out[next(iter(self._left_out))]

    def take(self, run_key: RunKey) -> WarmRun | None:
        """Return a warm run, which is the caller's from now on."""
        run = self._runs.pop(run_key, None)
        if run is not None:
            self._size_bytes -= run.size_bytes
        return run

    def discard(self, run_key: RunKey) -> None:
        """Let go of a run."""
        run = self.take(run_key)
        if run is not None:
            run.close()

    def clear(self) -> None:
        """Let go of all."""
        for run_key in list(self._runs):
            self.discard(run_key)
        self._left_out.clear()


_FILLED: Final = 7 / 8
