"""Whether a run that was read from a file is one that `perdure verify` would call sound.

Its lines may be as they were written, and lie.
"""

from collections.abc import Iterable

import msgspec

from perdure.errors import HistoryError, PerdureError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.state import RunState
from perdure.ports.keeping import WholeRun

__all__ = ["demand_sound"]


def demand_sound(run: WholeRun) -> None:
    """Raise HistoryError for a run whose history no kernel wrote, or whose row says otherwise than its history."""
    state = _folded(run.history)
    row = {**msgspec.structs.asdict(run.summary), **msgspec.structs.asdict(run.summary.ref)}
    for name, value in {**state.facts(), "labels": state.labels}.items():
        if row[name] != value:
            message = f"it is damaged: its row says of {name} {row[name]!r:.60}, and its history {value!r:.60}"
            raise HistoryError(message)


def _folded(history: Iterable[RecordedEvent]) -> RunState:
    state = RunState()
    try:
        for recorded in history:
            state.record(recorded.event, recorded.at)
    except Exception as error:  # what no kernel wrote may break the fold anywhere
        words = str(error) if isinstance(error, PerdureError) else repr(error)
        message = f"it is damaged: event {state.sequence + 1} does not fit those before it: {words}"
        raise HistoryError(message) from error
    return state
