"""A look into the tables of a trial, past the engine: rows, decoded histories, states folded from them."""

from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import LockDeniedMessage, LockGrantedMessage, SignalMessage, decode_message
from perdure.kernel.state import RunState
from perdure.ports.agenda import AgendaEntry
from perdure.stores.memory import MemoryDatabase
from perdure.stores.memory.tables import Run
from perdure.timekeeping.deduplication import DEDUPLICATION_KIND, REQUEST_KIND
from perdure.timekeeping.singletons import SINGLETON_KIND

__all__ = ["Tables", "lived"]


class Tables:
    """The tables of one database. Decoded events are kept, so that looking often is cheap.

    `removed` are the ids of runs that retention has removed, by their keys, be they back since or not.
    """

    def __init__(self, database: MemoryDatabase) -> None:
        """Look at `database`."""
        self.database = database
        self.removed: dict[RunKey, str] = {}
        self._histories: dict[RunKey, list[RecordedEvent]] = {}
        self._states: dict[RunKey, RunState] = {}

    def forget(self) -> None:
        """Decode everything anew, after the tables were changed by hand."""
        self._histories.clear()
        self._states.clear()

    def generations(self, run_id: str) -> list[Run]:
        """Return the rows of a run, oldest generation first."""
        found = self.database.generations.get(("default", run_id), {})
        return [self.database.runs[key] for _, key in sorted(found.items())]

    def history(self, run_key: RunKey) -> list[RecordedEvent]:
        """Return all events of one generation."""
        rows = self.database.events.get(run_key, [])
        known = self._histories.setdefault(run_key, [])
        for row in rows[len(known) :]:
            known.append(decode_event(*row))
        return known

    def events(self, run_id: str) -> list[e.Event]:
        """Return all events that a run has lived, over all its generations: what a fork has copied does not count."""
        return [recorded.event for run in self.generations(run_id) for recorded in lived(self.history(run.run_key))]

    def count(self, run_id: str, kind: type[e.Event], *, name: str | None = None) -> int:
        """Return how many events of a kind (with this `name`) a run has."""
        return sum(
            1
            for event in self.events(run_id)
            if type(event) is kind and (name is None or getattr(event, "name", None) == name)
        )

    def is_closed(self, run_id: str) -> bool:
        """Whether a run exists and its last generation has ended."""
        generations = self.generations(run_id)
        return bool(generations) and generations[-1].status.is_closed

    def reached_by_parent(self, run_id: str) -> e.Event | None:
        """Return what a run has recorded because its parent told it to end."""
        asked = (event for event in self.events(run_id) if isinstance(event, e.RunCancelRequested | e.RunTerminated))
        return next((event for event in asked if event.by == "parent"), None)

    def open_ids(self) -> list[str]:
        """Return the ids of the runs that have not ended."""
        return [run.ref.id for run in self.database.runs.values() if not run.status.is_closed]

    def are_closed(self) -> bool:
        """Whether every run has ended, and none is to come."""
        return not self.open_ids() and not any(map(_brings_runs, self.database.agenda.entries()))

    def signal_copies(self, run_id: str, message_id: str) -> int:
        """Return how often a signal of this id stands in a run's histories and inboxes: once if all is well."""
        received = sum(
            1 for event in self.events(run_id) if type(event) is e.SignalReceived and event.message_id == message_id
        )
        return received + sum(
            1
            for run in self.generations(run_id)
            for entry in self.database.inboxes.get(run.run_key, {}).values()
            if _names(entry.data, message_id)
        )

    def has_mail(self, run_id: str) -> bool:
        """Whether an inbox of a run holds anything but the store's own news of locks."""
        return any(
            not isinstance(decode_message(entry.data), LockGrantedMessage | LockDeniedMessage)
            for run in self.generations(run_id)
            for entry in self.database.inboxes.get(run.run_key, {}).values()
        )

    def state_at(self, run_key: RunKey, sequence: int) -> RunState:
        """Return the state folded from the first `sequence` events."""
        state = self._states.get(run_key)
        if state is None or state.sequence > sequence:
            state = self._states[run_key] = RunState()
        for recorded in self.history(run_key)[state.sequence : sequence]:
            state.record(recorded.event, recorded.at)
        return state


def lived(history: list[RecordedEvent]) -> list[RecordedEvent]:
    """Return what a generation has lived itself: all from its last fork on."""
    copied = max((n for n, recorded in enumerate(history) if type(recorded.event) is e.RunForked), default=0)
    return history[copied:] if copied else history


def _brings_runs(entry: AgendaEntry) -> bool:
    """Whether an entry of the agenda may start a run that nobody asks for any more."""
    is_only_remembered = entry.key.kind in (DEDUPLICATION_KIND, REQUEST_KIND, SINGLETON_KIND)
    return entry.waits or (entry.due_at is not None and not is_only_remembered)


def _names(data: bytes, message_id: str) -> bool:
    message = decode_message(data)
    return isinstance(message, SignalMessage) and message.message_id == message_id
