"""Writes of many runs applied by few statements.

A segment collects writes whose order among each other does not matter: no run twice, no message to a run that a later
write of the same segment changes; one that changes locks is the last, since whom it tells is known only when it is
applied (to let others follow it was measured: with a tenth of lock runs it saves 5 %). `Segment.add` says whether the
next write fits; the caller applies the segment and begins a new one when it does not. So the outcome is that of
applying all writes one after the other.

Every statement's count of changed rows is compared with the number of its rows. A difference raises `MismatchError`:
some write of the segment is to be refused, and the caller applies them again one by one (`exact`).
"""

from typing import Final

import apsw
import msgspec

from perdure.errors import InternalError
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Missing, Outcome, RunStatus, Transition
from perdure.stores.sql import ending, statements
from perdure.stores.sql import histories as history_statements
from perdure.stores.sql import inboxes as inbox_statements
from perdure.stores.sql import tasks as task_statements
from perdure.stores.sqlite.encoding import (
    ChainHead,
    Column,
    EncodedCreation,
    EncodedDelivery,
    EncodedPark,
    EncodedRelease,
    EncodedSeizure,
    EncodedTransition,
    EncodedWrite,
    beginning_of,
    fill_digests,
)
from perdure.stores.sqlite.inboxes import deliver, end_by, move_inbox
from perdure.stores.sqlite.lock_lines import apply_lock_changes
from perdure.stores.sqlite.pieces import MismatchError, execute_in_pieces

__all__ = ["KnownRuns", "MismatchError", "News", "OvertakingError", "Segment", "taker_of"]

KnownRuns = dict[RunKey, tuple[tuple[RunStatus, Priority], int, ChainHead | None]]
"""What this process last wrote of the runs it owns. Status and priority: only a hint which of two UPDATE statements to
use. The sequence of the last event, and what the next one is linked to: true as long as the run has that sequence,
since a history only grows; None: not known yet. Whoever takes back what a segment wrote forgets what it noted here."""

_EVENT_KEY_COLUMNS: Final = 2


class OvertakingError(MismatchError):
    """What does not apply is a transition that would overtake a message."""


class News:
    """What a transaction did that other processes may wait for.

    `witness` is the key of an event that it added, if any: where the event is, the transaction is. `is_ready` says that
    a run may be claimed, `is_queued` that a task may be, `is_parked` that a run was parked, `is_agenda` that the agenda
    has changed.
    """

    def __init__(self) -> None:
        """Begin with no news."""
        self.run_keys: set[RunKey] = set()
        self.is_ready = False
        self.is_queued = False
        self.is_parked = False
        self.is_agenda = False
        self.witness: list[Column] = []

    def add(self, others: "News") -> None:
        """Add what another transaction did."""
        self.run_keys |= others.run_keys
        self.is_ready |= others.is_ready
        self.is_queued |= others.is_queued
        self.is_parked |= others.is_parked
        self.is_agenda |= others.is_agenda

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return self.is_ready or self.is_queued or self.is_agenda or bool(self.run_keys)


def taker_of(connection: apsw.Connection, creation: EncodedCreation) -> tuple[RunKey, WorkerId | None] | None:
    """Return the run of this id that has taken in the request of a creation as a message, with its owner, unless that
    is known to have ended without an answer."""
    asked = (creation.ref.namespace, creation.ref.id, creation.update_request or creation.request_id)
    found = connection.execute(statements.RUN_OF_MESSAGE_REQUEST, asked).get
    return None if found is None or found[0] == creation.unanswered else found


class Segment:
    """Writes that can be applied together. `is_exact` trusts no hint: for a single write after a mismatch."""

    def __init__(self, *, known: KnownRuns, news: News, is_exact: bool = False) -> None:
        self._known: Final = known
        self._news: Final = news
        self._is_exact: Final = is_exact
        self._outcomes: list[Outcome] = []
        # Where among the outcomes that of a delivery belongs, and which delivery it is.
        self._awaited: list[tuple[int, int]] = []
        self._run_keys: set[RunKey] = set()
        self._targets: set[RunKey] = set()
        self._has_named_targets = False
        # Whether a new generation came whose predecessor must have been closed before this segment.
        self._uses_closed_ids = False
        self._first_generations: list[Column] = []
        self._later_generations: list[EncodedCreation] = []
        # Requests of updates with which runs begin, and these.
        self._requests: list[tuple[str, RunKey]] = []
        self._seizures: list[EncodedSeizure] = []
        self._advances: list[Column] = []
        self._changes: list[Column] = []
        self._releases: list[Column] = []
        self._parks: list[Column] = []
        self._history: list[Column] = []
        # Transitions that follow an event which this process did not write, and where their events begin.
        self._unchained: list[tuple[int, EncodedTransition]] = []
        self._labels: list[Column] = []
        self._consumed: list[Column] = []
        self._deliveries: list[EncodedDelivery] = []
        self._guarded: list[Transition] = []
        self._moves: list[Transition] = []
        self._relabelled: list[Transition] = []
        self._withdrawn: list[Column] = []
        self._tasks: list[Column] = []
        self._ends: dict[RunKey, int] = {}
        # The last write here, if it changes locks: which runs that concerns is known only when it is applied.
        self._locking: Transition | None = None

    def add(self, write: EncodedWrite) -> bool:
        """Let a write join; return False, and change nothing, if its order among those here matters."""
        if self._locking is not None:
            return False
        if type(write) is EncodedTransition:
            return self._add_transition(write)
        match write:
            case EncodedCreation():
                if not self._is_free(write.run_key):
                    return False
                self._uses_closed_ids |= write.ref.generation > 1
                self._add_creation(write)
                self._outcomes.append(Applied(write.run_key))
            case EncodedRelease():
                if not self._is_free(write.run_key):
                    return False
                self._run_keys.add(write.run_key)
                self._known.pop(write.run_key, None)
                self._releases += write.row
                self._news.is_ready = True
                self._outcomes.append(Applied(write.run_key))
            case EncodedPark():
                if not self._is_free(write.run_key):
                    return False
                self._add_park(write)
            case EncodedSeizure():
                if not self._is_free(write.run_key):
                    return False
                self._run_keys.add(write.run_key)
                self._known.pop(write.run_key, None)
                self._seizures.append(write)
                self._news.run_keys.add(write.run_key)
                self._outcomes.append(write.outcome)
            case EncodedDelivery():
                self._awaited.append((len(self._outcomes), len(self._deliveries)))
                self._outcomes.append(Missing(write.target))
                self._add_delivery(write)
        return True

    def apply(self, connection: apsw.Connection) -> list[Outcome]:
        """Write all; return the outcomes in the order of adding. Raises MismatchError and apsw's errors."""
        execute_in_pieces(connection, statements.INSERT_RUNS, self._first_generations)
        for seizure in self._seizures:
            _seize(connection, seizure)
        execute_in_pieces(connection, statements.ADVANCE_RUNS, self._advances)
        execute_in_pieces(connection, statements.CHANGE_RUNS, self._changes)
        execute_in_pieces(connection, statements.RELEASE_RUNS, self._releases)
        execute_in_pieces(connection, statements.PARK_RUNS, self._parks)
        for creation in self._later_generations:
            _insert_later_generation(connection, creation)
        for request in self._requests:
            connection.execute(statements.PUT_REQUEST, request)
        end_by(connection, self._ends)
        execute_in_pieces(connection, statements.INSERT_LABELS, self._labels)
        for start, encoded in self._unchained:
            self._chain(connection, encoded, start)
        if self._history:
            execute_in_pieces(connection, history_statements.INSERT_HISTORY, self._history)
            self._news.witness = self._history[:_EVENT_KEY_COLUMNS]
        for transition in self._guarded:
            _demand_its_turn(connection, transition)
        execute_in_pieces(connection, inbox_statements.DELETE_MESSAGES, self._consumed, is_counted=False)
        execute_in_pieces(connection, task_statements.DELETE_TASKS, self._withdrawn, is_counted=False)
        execute_in_pieces(connection, task_statements.INSERT_TASKS, self._tasks)
        for transition in self._relabelled:
            _relabel(connection, transition)
        for transition in self._moves:
            _demand_own_successor(connection, transition)
            move_inbox(connection, transition)
        if self._deliveries:
            delivered = deliver(connection, self._deliveries, news=self._news, is_exact=self._is_exact)
            for place, delivery in self._awaited:
                self._outcomes[place] = delivered[delivery]
        if self._locking is not None:
            self._change_locks(connection, self._locking)
        return self._outcomes

    def _chain(self, connection: apsw.Connection, encoded: EncodedTransition, start: int) -> None:
        """Give events their digests by that of the event before them, as it is stored."""
        write = encoded.write
        statement = history_statements.NO_DIGEST_BEFORE if write.is_unlinked else history_statements.DIGEST_BEFORE
        before = connection.execute(statement, (write.run_key, write.expected_sequence)).get
        if before is None and self._is_exact:
            raise InternalError(f"event {write.expected_sequence} of run {write.run_key} is missing")
        if before is None:
            raise MismatchError
        *ref, digest = before
        beginning, _ = head = beginning_of(*ref)
        if digest is not None:  # else an older Perdure wrote it
            head = beginning, digest
        head = fill_digests(self._history, encoded.frames, head, start=start)
        known = self._known.get(write.run_key)
        if known is not None:
            self._known[write.run_key] = (*known[:2], head)

    def _change_locks(self, connection: apsw.Connection, write: Transition) -> None:
        told, has_woken = apply_lock_changes(connection, write)
        outcome = self._outcomes[-1]
        assert isinstance(outcome, Applied)
        self._outcomes[-1] = msgspec.structs.replace(outcome, told=told)
        self._news.run_keys.update(told)
        self._news.is_ready |= has_woken

    def _is_free(self, run_key: RunKey) -> bool:
        return not (self._has_named_targets or run_key in self._run_keys or run_key in self._targets)

    def _add_park(self, write: EncodedPark) -> None:
        self._run_keys.add(write.run_key)
        self._known.pop(write.run_key, None)
        self._parks += write.row
        self._news.run_keys.add(write.run_key)
        self._news.is_ready = self._news.is_parked = True
        self._outcomes.append(Applied(write.run_key))

    def _add_transition(self, encoded: EncodedTransition) -> bool:
        write = encoded.write
        key = write.run_key
        if not self._is_free(key) or (self._uses_closed_ids and write.row.closed_at is not None):
            return False
        if not encoded.is_plain and not all(self._is_free(creation.run_key) for creation in encoded.creations):
            return False
        self._run_keys.add(key)
        self._news.run_keys.add(key)
        self._outcomes.append(encoded.outcome)
        row = write.row
        standing = (row.status, row.priority)
        known = None if self._is_exact else self._known.get(key)
        head = self._add_events(
            encoded, known[2] if known is not None and known[1] == write.expected_sequence else None
        )
        if encoded.update:
            is_advance = row.closed_at is None and known is not None and known[0] == standing
            rows = self._advances if is_advance else self._changes
            rows += encoded.update
        if row.closed_at is None:
            self._known[key] = (standing, row.sequence, head)
        else:
            self._known.pop(key, None)
        if not encoded.is_plain:
            self._add_consequences(encoded)
        return True

    def _add_events(self, encoded: EncodedTransition, head: ChainHead | None) -> ChainHead | None:
        """Let events join, by what is before them; return what is then the last, None if that is known when applied."""
        start = len(self._history)
        self._history += encoded.history
        if encoded.creation is not None:
            ref = encoded.creation.ref
            head = beginning_of(ref.namespace, ref.id, ref.generation)
        if head is None:
            self._unchained.append((start, encoded))
            return None
        return fill_digests(self._history, encoded.frames, head, start=start)

    def _add_consequences(self, encoded: EncodedTransition) -> None:
        write = encoded.write
        if encoded.creation is not None:
            self._uses_closed_ids |= encoded.creation.ref.generation > 1
            self._add_creation(encoded.creation)
        for position in write.consumed:
            self._consumed += (position, write.run_key)
        for creation in encoded.creations:
            self._uses_closed_ids |= creation.ref.generation > 1 and creation.run_key != write.moves_inbox_to
            self._add_creation(creation)
        for delivery in encoded.deliveries:
            self._add_delivery(delivery)
        if write.must_not_overtake:
            self._guarded.append(write)
        self._note_end(write.run_key, write.end_at)
        if write.labels:
            self._relabelled.append(write)
        if write.moves_inbox_to is not None:
            self._moves.append(write)
        if write.withdrawn or encoded.tasks:
            self._add_tasks(encoded)
        if write.locks:
            self._locking = write

    def _add_tasks(self, encoded: EncodedTransition) -> None:
        write = encoded.write
        self._withdrawn += (column for operation in write.withdrawn for column in (write.run_key, operation))
        self._tasks += encoded.tasks
        self._news.is_queued |= bool(encoded.tasks)

    def _add_creation(self, creation: EncodedCreation) -> None:
        self._run_keys.add(creation.run_key)
        if creation.ref.generation == 1:
            self._first_generations += creation.row
        else:
            self._later_generations.append(creation)
        if creation.update_request:
            self._requests.append((creation.update_request, creation.run_key))
        self._note_end(creation.run_key, creation.end_at)
        self._labels += creation.labels
        self._history += creation.history
        self._news.is_ready = True

    def _note_end(self, run_key: RunKey, end_at: int | None) -> None:
        if end_at is not None:
            self._ends[run_key] = min(self._ends.get(run_key, end_at), end_at)

    def _add_delivery(self, delivery: EncodedDelivery) -> None:
        self._deliveries.append(delivery)
        if isinstance(delivery.target, RunRef):
            self._has_named_targets = True
        else:
            self._targets.add(delivery.target)


def _seize(connection: apsw.Connection, write: EncodedSeizure) -> None:
    """Take an open run from whoever owns it. Raises MismatchError where it has ended, or was claimed meanwhile."""
    connection.execute(ending.SEIZE_RUN, write.row)
    if connection.changes() != 1:
        raise MismatchError


def _demand_its_turn(connection: apsw.Connection, write: Transition) -> None:
    """Raise OvertakingError if a message that a transition must not overtake is in its run's inbox."""
    for message_id in write.must_not_overtake:
        if connection.execute(inbox_statements.HAS_MESSAGE, (write.run_key, message_id)).get:
            raise OvertakingError


def _insert_later_generation(connection: apsw.Connection, creation: EncodedCreation) -> None:
    ref = creation.ref
    if creation.request_id and taker_of(connection, creation) is not None:
        raise MismatchError
    connection.execute(statements.SUPERSEDE_RUN, (ref.namespace, ref.id, ref.generation - 1))
    if connection.changes() != 1:
        raise MismatchError
    execute_in_pieces(connection, statements.INSERT_RUNS, creation.row)


def _demand_own_successor(connection: apsw.Connection, transition: Transition) -> None:
    """Let a run go on as the next generation of its own id, and of no other. Raises MismatchError."""
    keys = (transition.run_key, transition.moves_inbox_to)
    is_created = any(creation.run_key == transition.moves_inbox_to for creation in transition.creations)
    if is_created and connection.execute(statements.IS_SUCCESSOR, keys).get is None:
        raise MismatchError


def _relabel(connection: apsw.Connection, transition: Transition) -> None:
    assert transition.labels is not None
    for name, value in transition.labels.items():
        if value is None:
            connection.execute(statements.DELETE_LABEL, (transition.run_key, name))
        else:
            connection.execute(statements.PUT_LABEL, (name, value, transition.run_key))
