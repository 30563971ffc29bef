"""The inboxes in memory: putting messages in, taking them out, and waking the runs that they are for."""

from contextlib import suppress

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import Message, decode_message, wakes_parked
from perdure.kernel.time import Timestamp
from perdure.ports.store import InboxEntry
from perdure.stores.memory.tables import Entry, MemoryDatabase, News, Run, wake

__all__ = ["inbox_of", "put", "rest_of_inbox", "wake_for"]


def inbox_of(database: MemoryDatabase, run_key: RunKey, *, after: int = 0) -> list[InboxEntry]:
    """Return the messages of an inbox behind a position, in order. Raises HistoryError for what is none."""
    try:
        return [_read(*found) for found in _in_order(database, run_key) if found[0] > after]
    except msgspec.DecodeError as error:
        raise HistoryError(f"the inbox of run {run_key} holds what is no message: {error}") from error


def rest_of_inbox(database: MemoryDatabase, run_key: RunKey) -> list[InboxEntry]:
    """Return those messages of an inbox that can be decoded."""
    rest: list[InboxEntry] = []
    for found in _in_order(database, run_key):
        with suppress(msgspec.DecodeError):
            rest.append(_read(*found))
    return rest


def _in_order(database: MemoryDatabase, run_key: RunKey) -> list[tuple[int, Entry]]:
    return sorted(database.inboxes.get(run_key, {}).items())


def _read(position: int, entry: Entry) -> InboxEntry:
    return InboxEntry(position=position, message=decode_message(entry.data), message_id=entry.message_id, at=entry.at)


def put(database: MemoryDatabase, run: Run, entry: Entry) -> bool:
    """Put a message into an inbox; return False if it is there already."""
    if (run.run_key, entry.message_id) in database.message_ids:
        return False
    position = database.next_position()
    database.inboxes.setdefault(run.run_key, {})[position] = entry
    if entry.message_id:
        database.message_ids[run.run_key, entry.message_id] = position
    return True


def wake_for(database: MemoryDatabase, run: Run, message: Message, at: Timestamp, news: News) -> None:
    """Make a run due for a message that it has got, unless somebody owns it or it is parked; let others hear of it."""
    if run.owner is None and (run.parked is None or wakes_parked(message)):
        wake(database, run, at, news)
    news.run_keys.add(run.run_key)
