"""Repairs: done where the answer is certain, each in a transaction that verifies once more what it repairs.

Certain is what a sound history says of its run's row and labels, and that a run may be looked at once too often; of
indexes see `perdure.stores.sqlite.verification.indexes`. What a damaged history, message or entry said is not certain:
it stays as it is, and its run is parked, which needs no second look: at worst it is tried once more.
"""

from typing import Final

import apsw
import msgspec

from perdure.errors import DamagedHistoryError
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking
from perdure.ports.verification import DamagedRun, Defect
from perdure.stores.sqlite.encoding import encode_delivery
from perdure.stores.sqlite.inboxes import deliver
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.verification.runs import CheckedRun, expected_labels, expected_row, try_run
from perdure.stores.task_messages import damage_told

__all__ = ["quarantine_run", "repair_counters", "repair_run"]


def repair_run(connection: apsw.Connection, run_key: RunKey, *, now: Timestamp) -> DamagedRun | None:
    """Repair a run that nobody owns, as far as it is certain; return what was damaged, and which of it is repaired."""
    checked = try_run(connection, run_key, now=now)
    if isinstance(checked, DamagedRun):
        return checked
    if checked is None or not checked.defects:
        return None
    damage = checked.damage()
    if not checked.is_sound or checked.check.unchained or _is_owned(connection, checked):
        return damage
    try:
        with connection:
            _write_row(connection, checked, now=now)
            _write_labels(connection, checked)
            _mend_tasks(connection, checked, now=now)
    except (apsw.CorruptError, apsw.ConstraintError):  # an index, or another run, has what must stand there
        return damage
    return msgspec.structs.replace(damage, defects=tuple(_repaired(defect) for defect in damage.defects))


def quarantine_run(connection: apsw.Connection, damage: DamagedRun, *, now: Timestamp) -> DamagedRun:
    """Park a damaged run that is open, that nobody owns, and that would be parked by whoever loads it."""
    left = [defect for defect in damage.defects if not defect.is_repaired and defect.place in _HARMFUL]
    if not left or not damage.is_open or damage.is_parked:
        return damage
    reason = Failure(type=DamagedHistoryError.__name__, message=left[0].what)
    parking = msgspec.json.encode(Parking(reason=reason, since=now, tried=())).decode()
    try:
        connection.execute(_PARK, (parking, damage.run_key))
    except apsw.CorruptError:
        return damage
    return msgspec.structs.replace(damage, is_parked=connection.changes() > 0)


def repair_counters(connection: apsw.Connection, defect: Defect) -> Defect:
    """Let the counters of positions go on behind the last position."""
    for table in ("inbox", "locks"):
        connection.execute(_PUT_COUNTER, (table, table))
        connection.execute(
            f"UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(position), 0) FROM {table})) "  # noqa: S608
            "WHERE name = ?",
            (table,),
        )
    return _repaired(defect)


def _repaired(defect: Defect) -> Defect:
    return msgspec.structs.replace(defect, is_repaired=bool(defect.repair))


def _is_owned(connection: apsw.Connection, checked: CheckedRun) -> bool:
    """Whether a process has the run in its memory, which would contradict what is written here."""
    owner = checked.row.owner
    return owner is not None and bool(connection.execute(_IS_SESSION, (owner,)).get)


def _write_row(connection: apsw.Connection, checked: CheckedRun, *, now: Timestamp) -> None:
    """Write a row as the history says. An open run is made due: whoever claims it finds out what it waits for.

    One that is parked stays so: a repair does not know why.
    """
    row, is_closed = expected_row(checked.state), checked.state.is_closed
    assignments = ", ".join(f"{name} = ?" for name in row)
    connection.execute(
        f"UPDATE runs SET {assignments}, owner = NULL, {_PARKED_OR_DUE} WHERE run_key = ?",  # noqa: S608
        (*row.values(), is_closed, is_closed, now, is_closed, now, checked.row.run_key),
    )
    for name in {(row["namespace"], row["id"]), (checked.row.namespace, checked.row.id)}:  # also that which it bore
        connection.execute(_SET_LATEST, name)


def _write_labels(connection: apsw.Connection, checked: CheckedRun) -> None:
    run_key = checked.row.run_key
    labels = expected_labels(checked.state)
    connection.execute("DELETE FROM run_labels WHERE run_key = ?", (run_key,))
    for label in labels:
        connection.execute(_PUT_LABEL, (run_key, *label))


def _mend_tasks(connection: apsw.Connection, checked: CheckedRun, *, now: Timestamp) -> None:
    """Take out of their queues what no run waits for, and tell the run of its attempts that nobody will make."""
    created = checked.state.created
    if not checked.knows_tasks or created is None:
        return
    connection.executemany("DELETE FROM tasks WHERE position = ?", [(position,) for position in checked.strays])
    run_key, generation = checked.row.run_key, created.ref.generation
    told = [
        damage_told(run_key, generation, operation, now=now, attempt=attempt) for operation, attempt in checked.lost
    ]
    deliver(connection, [encode_delivery(one, owner=_NOBODY) for one in told], news=News(), is_exact=True)


_NOBODY: Final = WorkerId(0)
_HARMFUL: Final = ("history", "inbox")
_IS_SESSION: Final = "SELECT EXISTS (SELECT 1 FROM sessions WHERE worker_id = ?)"
_PUT_LABEL: Final = "INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (?, ?, ?, ?, ?)"

# name, name
_PUT_COUNTER: Final = """
INSERT INTO sqlite_sequence (name, seq) SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)
"""

# whether the run is closed, the same, now, the same, now; whoever looks finds out when it may have to be ended
_PARKED_OR_DUE: Final = (
    "parked = iif(?, NULL, parked), wake_at = iif(? OR parked IS NOT NULL, NULL, ?), end_at = iif(?, NULL, ?)"
)

# namespace, id
_SET_LATEST: Final = """
UPDATE runs SET latest = generation = (
    SELECT max(generation) FROM runs AS other WHERE other.namespace = runs.namespace AND other.id = runs.id
) WHERE namespace = ? AND id = ?
"""

# parking, run_key
_PARK: Final = """
UPDATE runs SET parked = ?, wake_at = NULL WHERE run_key = ? AND owner IS NULL AND closed_at IS NULL AND parked IS NULL
"""
