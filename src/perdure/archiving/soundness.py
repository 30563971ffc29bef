"""Whether a run that was read from a file is one that `perdure verify` would call sound.

Its lines may be as they were written, and lie.
"""

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.state import RunState, fitting
from perdure.ports.keeping import WholeRun

__all__ = ["demand_sound"]


def demand_sound(run: WholeRun) -> None:
    """Raise HistoryError for a run whose history no kernel wrote, or whose row says otherwise than its history."""
    state = RunState()
    with fitting(state):
        for recorded in run.history:
            state.record(recorded.event, recorded.at)
    row = {**msgspec.structs.asdict(run.summary), **msgspec.structs.asdict(run.summary.ref)}
    for name, value in {**state.facts(), "labels": state.labels}.items():
        if row[name] != value:
            message = f"its row says of {name} {row[name]!r:.60}, and its history {value!r:.60}"
            raise HistoryError(message)
