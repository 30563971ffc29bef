"""What there is of a run without its code: its state, and when it is to be ended, as far as that can be read.

Where the history is damaged, the rows around it say what an end needs (`perdure.execution.rows_of_damaged`).
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.errors import DamagedHistoryError, HistoryError, StoreCorruptError, StoreError
from perdure.execution.mail import whole_inbox
from perdure.execution.rows_of_damaged import RowsOfDamaged, rows_of_damaged
from perdure.kernel import inputs as i
from perdure.kernel.codeless import End, first_end
from perdure.kernel.identity import RunKey
from perdure.kernel.state import RunState, demand_own, fitting
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import InboxEntry, RunStore, RunSummary

__all__ = ["Remains", "look_again_at", "read_remains"]


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """A run without its code: its state, the first end that needs none as far as can be read, whether all could be
    read, and whether its last event could not."""

    state: RunState
    end: End | None
    is_whole: bool = True
    is_unlinked: bool = False

    def end_at(self, now: Timestamp) -> Timestamp | None:
        """When the run is to be ended without its code; if that cannot be read, when to look again."""
        at = None if self.end is None else self.end.at
        if self.is_whole:
            return at
        again_at = look_again_at(now)
        return again_at if at is None else min(at, again_at)


def look_again_at(now: Timestamp) -> Timestamp:
    """Return when a run is to be looked at again that may have to be ended, and cannot be now."""
    return Timestamp(now + _PAUSE_SECONDS * MICROSECONDS_PER_SECOND)


async def read_remains(worker: "Worker", summary: "RunSummary") -> Remains:
    """Read what there is of a run without its code, as far as it can be read here. Raises a StoreError."""
    store, run_key = worker.store, summary.run_key
    state, damage = await _fold(store, summary, page_size=worker.settings.history_page)
    inbox, trouble = await _inbox(store, run_key)
    trouble = damage or trouble
    if trouble is not None:
        text = "run key %s cannot be read, and may have to be ended: %s"
        worker.recurring.error(text, run_key, trouble, cause=trouble)
    arrived = [i.MessageArrived(message=one.message, message_id=one.message_id, position=one.position) for one in inbox]
    if damage is None:
        return Remains(state=state, end=first_end(state, arrived), is_whole=trouble is None)
    by_rows = await _by_rows(worker, summary, state, damage)
    end = first_end(by_rows.state, arrived)
    return Remains(state=by_rows.state, end=end, is_whole=False, is_unlinked=by_rows.is_unlinked)


async def _by_rows(worker: "Worker", summary: "RunSummary", beginning: RunState, damage: StoreError) -> RowsOfDamaged:
    """Return what the rows say of a run whose history is damaged; nothing if others may be able to read it."""
    if isinstance(damage, DamagedHistoryError | StoreCorruptError):
        try:
            return await rows_of_damaged(worker.store, summary, beginning)
        except (HistoryError, StoreCorruptError) as error:
            text = "run %s cannot be ended by its rows, either: %s"
            worker.recurring.error(text, summary.ref, error, cause=error)
    return RowsOfDamaged(RunState())


async def _inbox(store: "RunStore", run_key: RunKey) -> "tuple[list[InboxEntry], StoreError | None]":
    """Return the messages of a run; if some cannot be read, the others, and why."""
    try:
        return await whole_inbox(store, run_key), None
    except (HistoryError, StoreCorruptError) as error:
        return await store.read_rest_of_inbox(run_key), error


async def _fold(store: "RunStore", summary: "RunSummary", *, page_size: int) -> tuple[RunState, StoreError | None]:
    """Fold a history as far as it is sound, and return what is wrong with the rest."""
    state, run_key = RunState(), summary.run_key
    try:
        while await _take_page(state, store, run_key, limit=page_size) == page_size:
            pass
        demand_own(state, summary.ref)
    except DamagedHistoryError as error:
        with suppress(HistoryError, StoreCorruptError):
            await _take_page(state, store, run_key, limit=error.event - 1 - state.sequence)
        return state, error
    except (HistoryError, StoreCorruptError) as error:
        return state, error
    return state, None


async def _take_page(state: RunState, store: "RunStore", run_key: RunKey, *, limit: int) -> int:
    with fitting(state):
        page = await store.read_history(run_key, after=state.sequence, limit=limit)
        for recorded in page:
            state.record(recorded.event, recorded.at)
    return len(page)


_PAUSE_SECONDS: Final = 60
