"""Writes of many runs applied by few statements.

A segment collects writes whose order among each other does not matter: no run twice, no message to a run that a later
write of the same segment changes; one that changes locks is the last, since whom it tells is known only when it is
applied (to let others follow it was measured: with a tenth of lock runs it saves 5 %). `Segment.add` says whether the
next write fits; the caller applies the segment and begins a new one when it does not. So the outcome is that of
applying all writes one after the other.

Every statement's count of changed rows is compared with the number of its rows. A difference raises `MismatchError`:
some write of the segment is to be refused, and the caller applies them again one by one (`exact`).
"""

from collections.abc import Iterable
from typing import Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.transition import Applied, Closed, Missing, Outcome, RunStatus, Transition
from perdure.stores.sql import ending, statements
from perdure.stores.sql.statements import ROW_COUNTS, RowsStatement
from perdure.stores.sqlite.encoding import (
    Column,
    EncodedCreation,
    EncodedDelivery,
    EncodedPark,
    EncodedRelease,
    EncodedSeizure,
    EncodedTransition,
    EncodedWrite,
)
from perdure.stores.sqlite.lock_lines import apply_lock_changes
from perdure.stores.sqlite.rows import status_of

__all__ = ["KnownRuns", "MismatchError", "News", "OvertakingError", "Segment"]

KnownRuns = dict[RunKey, tuple[RunStatus, Priority]]
"""Status and priority of runs as this process last wrote them: only a hint which of two UPDATE statements to use."""

_ENCODER: Final = msgspec.json.Encoder()
_EVENT_KEY_COLUMNS: Final = 2


class MismatchError(Exception):
    """Some write of the segment does not apply; nothing of the segment may stay."""


class OvertakingError(MismatchError):
    """What does not apply is a transition that would overtake a message."""


class News:
    """What a transaction did that other processes may wait for.

    `witness` is the key of an event that it added, if any: where the event is, the transaction is. `is_parked` says
    that a run was parked, `is_agenda` that the agenda has changed.
    """

    def __init__(self) -> None:
        """Begin with no news."""
        self.run_keys: set[RunKey] = set()
        self.is_ready = False
        self.is_parked = False
        self.is_agenda = False
        self.witness: list[Column] = []

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return self.is_ready or self.is_agenda or bool(self.run_keys)


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
        self._seizures: list[EncodedSeizure] = []
        self._advances: list[Column] = []
        self._changes: list[Column] = []
        self._releases: list[Column] = []
        self._parks: list[Column] = []
        self._history: list[Column] = []
        self._labels: list[Column] = []
        self._consumed: list[Column] = []
        self._deliveries: list[EncodedDelivery] = []
        self._guarded: list[Transition] = []
        self._moves: list[Transition] = []
        self._relabelled: list[Transition] = []
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
        _execute(connection, statements.INSERT_RUNS, self._first_generations)
        for seizure in self._seizures:
            _seize(connection, seizure)
        _execute(connection, statements.ADVANCE_RUNS, self._advances)
        _execute(connection, statements.CHANGE_RUNS, self._changes)
        _execute(connection, statements.RELEASE_RUNS, self._releases)
        _execute(connection, statements.PARK_RUNS, self._parks)
        for creation in self._later_generations:
            _insert_later_generation(connection, creation)
        _end_by(connection, self._ends)
        _execute(connection, statements.INSERT_LABELS, self._labels)
        if self._history:
            _execute(connection, statements.INSERT_HISTORY, self._history)
            self._news.witness = self._history[:_EVENT_KEY_COLUMNS]
        for transition in self._guarded:
            _demand_its_turn(connection, transition)
        _execute(connection, statements.DELETE_MESSAGES, self._consumed, is_counted=False)
        for transition in self._relabelled:
            _relabel(connection, transition)
        for transition in self._moves:
            _move_inbox(connection, transition)
        if self._deliveries:
            delivered = _deliver(connection, self._deliveries, news=self._news, is_exact=self._is_exact)
            for place, delivery in self._awaited:
                self._outcomes[place] = delivered[delivery]
        if self._locking is not None:
            self._change_locks(connection, self._locking)
        return self._outcomes

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
        self._history += encoded.history
        row = write.row
        standing = (row.status, row.priority)
        if encoded.update:
            is_advance = row.closed_at is None and not self._is_exact and self._known.get(key) == standing
            rows = self._advances if is_advance else self._changes
            rows += encoded.update
        if row.closed_at is None:
            self._known[key] = standing
        else:
            self._known.pop(key, None)
        if not encoded.is_plain:
            self._add_consequences(encoded)
        return True

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
        if write.locks:
            self._locking = write

    def _add_creation(self, creation: EncodedCreation) -> None:
        self._run_keys.add(creation.run_key)
        if creation.ref.generation == 1:
            self._first_generations += creation.row
        else:
            self._later_generations.append(creation)
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
        if connection.execute(statements.HAS_MESSAGE, (write.run_key, message_id)).get:
            raise OvertakingError


def _deliver(
    connection: apsw.Connection, deliveries: list[EncodedDelivery], *, news: News, is_exact: bool
) -> list[Outcome]:
    """Put messages into inboxes and make the runs due that nobody owns; return each delivery's outcome."""
    targets = _targets(connection, {delivery.target for delivery in deliveries})
    outcomes: list[Outcome] = []
    messages: list[Column] = []
    wakes: dict[RunKey, int] = {}
    ends: dict[RunKey, int] = {}
    for delivery in deliveries:
        found = targets.get(delivery.target)
        outcome, is_new = _outcome(connection, delivery, found)
        outcomes.append(outcome)
        if found is not None and is_new:
            run_key, status, owner, is_parked = found
            end_at = delivery.end_before_begin if status.may_be_unbegun else delivery.end_at
            message = (run_key, delivery.message_id, delivery.data, delivery.at)
            if not is_exact or _insert_message(connection, message):
                messages += message
                news.run_keys.add(run_key)
                if owner is None and (delivery.wakes_parked or not is_parked):
                    news.is_ready = True
                    wakes[run_key] = min(wakes.get(run_key, delivery.at), delivery.at)
                if end_at is not None:
                    news.is_ready = news.is_ready or owner is None
                    ends[run_key] = min(ends.get(run_key, end_at), end_at)
        if delivery.sender is not None and (answer := delivery.answers.get(type(outcome))) is not None:
            answered = (delivery.sender, f"{delivery.message_id}:answer", answer, delivery.at)
            if not is_exact or _insert_message(connection, answered):
                messages += answered
    if not is_exact:
        _execute(connection, statements.INSERT_MESSAGES, messages)
    _execute(connection, statements.WAKE_RUNS, [value for wake in wakes.items() for value in wake])
    _end_by(connection, ends)
    return outcomes


def _end_by(connection: apsw.Connection, ends: dict[RunKey, int]) -> None:
    """Note until when runs must be ended though nobody has their code, if they are open."""
    _execute(connection, ending.END_RUNS, [value for end in ends.items() for value in end], is_counted=False)


def _outcome(connection: apsw.Connection, delivery: EncodedDelivery, found: "_Target | None") -> tuple[Outcome, bool]:
    """Say what becomes of a delivery, and whether there is a message to be put into the inbox.

    Notes at once the request of one that has a name: so the next delivery finds it, be it of the same segment.
    """
    if found is None:
        return Missing(delivery.target), False
    run_key, status, owner, _ = found
    if delivery.request_id and connection.execute(statements.HAS_REQUEST, (run_key, delivery.request_id)).get:
        return Applied(run_key, owner), False
    if status.is_closed:
        return Closed(run_key, status), False
    if delivery.request_id:
        connection.execute(statements.PUT_REQUEST, (delivery.request_id, run_key))
    return Applied(run_key, owner), True


def _insert_message(connection: apsw.Connection, message: tuple[Column, ...]) -> bool:
    """Insert a message; return False if the inbox holds it already."""
    connection.execute(statements.INSERT_MESSAGES.of(1), message)
    return connection.changes() == 1


_Target = tuple[RunKey, RunStatus, WorkerId | None, bool]
"""A run, its status, its owner, and whether it is parked."""


def _targets(connection: apsw.Connection, wanted: set[RunKey | RunRef]) -> dict[RunKey | RunRef, _Target]:
    keys = [target for target in wanted if not isinstance(target, RunRef)]
    refs = [target for target in wanted if isinstance(target, RunRef)]
    found: dict[RunKey | RunRef, _Target] = {}
    if keys:
        for row in connection.execute(statements.TARGETS_BY_KEY, (_json(keys),)):
            found[row[0]] = _target(*row)
    if refs:
        names = _json([(ref.namespace, ref.id) for ref in refs])
        for place, *row in connection.execute(statements.TARGETS_BY_NAME, (names,)):
            found[refs[place]] = _target(*row)
    return found


def _target(run_key: RunKey, status: str, is_open: int, owner: WorkerId | None, is_parked: int) -> _Target:
    return run_key, status_of(status, is_open=bool(is_open)), owner, bool(is_parked)


def _insert_later_generation(connection: apsw.Connection, creation: EncodedCreation) -> None:
    ref = creation.ref
    if (
        creation.request_id
        and connection.execute(statements.RUN_OF_MESSAGE_REQUEST, (ref.namespace, ref.id, creation.request_id)).get
    ):
        raise MismatchError
    connection.execute(statements.SUPERSEDE_RUN, (ref.namespace, ref.id, ref.generation - 1))
    if connection.changes() != 1:
        raise MismatchError
    _execute(connection, statements.INSERT_RUNS, creation.row)


def _relabel(connection: apsw.Connection, transition: Transition) -> None:
    assert transition.labels is not None
    for name, value in transition.labels.items():
        if value is None:
            connection.execute(statements.DELETE_LABEL, (transition.run_key, name))
        else:
            connection.execute(statements.PUT_LABEL, (name, value, transition.run_key))


def _move_inbox(connection: apsw.Connection, transition: Transition) -> None:
    connection.execute(statements.MOVE_MESSAGES, (transition.moves_inbox_to, transition.run_key))
    if connection.changes():
        connection.execute(statements.WAKE_RUNS.of(1), (transition.moves_inbox_to, transition.row.updated_at))
        connection.execute(ending.END_AFTER_MOVE, (transition.moves_inbox_to, transition.row.updated_at))


def _execute(
    connection: apsw.Connection, statement: RowsStatement, parameters: list[Column], *, is_counted: bool = True
) -> None:
    """Run a statement on all rows, in pieces of the prepared sizes. Raises MismatchError if not every row counted."""
    if not parameters:
        return
    width = statement.width
    done = 0
    left = len(parameters) // width
    for count in ROW_COUNTS:
        while left >= count:
            end = done + count * width
            connection.execute(statement.of(count), parameters[done:end])
            if is_counted and connection.changes() != count:
                raise MismatchError
            done = end
            left -= count


def _json(values: Iterable[object]) -> str:
    return _ENCODER.encode(values).decode()
