"""The kinds of entries of the agenda, and who settles each."""

from collections.abc import Callable, Mapping
from functools import partial

from perdure.errors import HistoryError
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaEntry
from perdure.timekeeping.debouncing import DEBOUNCE_KIND, read_burst, settle_burst
from perdure.timekeeping.deduplication import DEDUPLICATION_KIND, REQUEST_KIND, read_remembered, settle_remembered
from perdure.timekeeping.entries import read_input
from perdure.timekeeping.keeper import Settle
from perdure.timekeeping.schedules import SCHEDULE_KIND, read_schedule
from perdure.timekeeping.settling import Definition, settle_schedule
from perdure.timekeeping.singletons import SINGLETON_KIND, read_line, settle_line
from perdure.timekeeping.waiting import begun

__all__ = ["agenda_kinds", "read_whole"]


def agenda_kinds(*, newest: Callable[[str], Definition | None]) -> Mapping[str, Settle]:
    """Return what settles an entry, by its kind; `newest` finds the newest version of a workflow by its name."""
    return {
        DEBOUNCE_KIND: settle_burst,
        DEDUPLICATION_KIND: settle_remembered,
        REQUEST_KIND: settle_remembered,
        SCHEDULE_KIND: partial(settle_schedule, newest=newest),
        SINGLETON_KIND: settle_line,
    }


def read_whole(entry: AgendaEntry) -> None:
    """Read everything that an entry holds. Raises HistoryError for what cannot be read, also for an unknown kind."""
    kind = entry.key.kind
    if kind == SCHEDULE_KIND:
        read_schedule(entry)
        read_input(entry, 0)
    elif kind == DEBOUNCE_KIND:
        begun(read_burst(entry).start, read_input(entry, 0), namespace=entry.key.namespace, now=Timestamp(0))
    elif kind == SINGLETON_KIND:
        for place, start in enumerate(read_line(entry).waiting):
            begun(start, read_input(entry, place), namespace=entry.key.namespace, now=Timestamp(0))
    elif kind in (DEDUPLICATION_KIND, REQUEST_KIND):
        read_remembered(entry)
    else:
        message = f"the {kind} {entry.key.id} is of a kind that this version of Perdure does not know"
        raise HistoryError(message)
