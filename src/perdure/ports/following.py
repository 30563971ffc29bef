"""Following: what a store tells whoever keeps up with the histories of runs that others advance."""

from collections.abc import Sequence
from typing import Final

import msgspec

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, WorkflowVersion

__all__ = ["BEGINNING", "BYTES_AT_ONCE", "HistoryPart", "HistoryPlace", "Standing"]


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an open run stands that another session owns: `sequence` counts its events so far."""

    run_key: RunKey
    workflow: WorkflowVersion
    sequence: int


class HistoryPlace(msgspec.Struct, frozen=True, gc=False):
    """Up to where a history is known: the number of its last known event, and that event's digest.

    Two histories of a run that agree on a place agree on all before it, where the store keeps digests (`None`: of this
    event there is none).
    """

    sequence: int
    digest: bytes | None


BEGINNING = HistoryPlace(0, None)
"""Where nothing is known yet."""

BYTES_AT_ONCE: Final = 8 * 2**20
"""About so much of histories is read on at once; what is stored as one may be longer."""


class HistoryPart(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next in a history: the `events`, of `size_bytes` as they are stored, and the `place` behind them.

    `is_last`: there was nothing more behind them. `inbox_position` is that of the last message in the run's inbox at
    that moment, 0 if none was there.
    """

    run_key: RunKey
    events: Sequence[RecordedEvent]
    place: HistoryPlace
    size_bytes: int
    is_last: bool
    inbox_position: int
