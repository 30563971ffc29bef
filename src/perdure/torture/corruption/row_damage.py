"""Damage of rows: a column that holds what another row's does, or a little more; rows lost, doubled, or exchanged."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from perdure.kernel.identity import RunKey

__all__ = ["TABLES", "columns_of_any_type", "damage_rows"]

TABLES: Final = (
    "history", "history", "history", "runs", "runs", "inbox", "inbox", "run_labels", "locks", "tasks", "tasks",
    "agenda", "message_requests", "task_shares",
)  # fmt: skip
"""The tables whose rows are damaged, each as often as it stands here."""


def damage_rows(path: Path, chance: random.Random, *, tables: Sequence[str] = TABLES) -> tuple[frozenset[RunKey], str]:
    """Change a row of one of the tables somehow; return the runs whose rows are other ones now, and what was done.

    If none of these tables has a row, it is one of another table.
    """
    with closing(apsw.Connection(str(path))) as connection:
        filled = [table for table in tables if _has_rows(connection, table)] or TABLES
        while True:
            table = chance.choice(filled)
            doing = chance.choice((_change, _change, _change, _retype, _delete, _double, _exchange))
            connection.execute("BEGIN")
            before = connection.total_changes()
            try:
                done = doing(connection, table, chance)
            except (apsw.ConstraintError, apsw.MismatchError, OverflowError):
                done = None
            if done is not None and connection.total_changes() > before:
                connection.execute("COMMIT")
                return done
            connection.execute("ROLLBACK")


def _has_rows(connection: apsw.Connection, table: str) -> bool:
    return connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').get is not None  # noqa: S608


Done = tuple[frozenset[RunKey], str]


def _change(connection: apsw.Connection, table: str, chance: random.Random) -> Done | None:
    row = _some_row(connection, table, chance)
    if row is None:
        return None
    column = chance.choice(list(row))
    other = _some_row(connection, table, chance)
    value = chance.choice(_instead(row[column], None if other is None else other[column]))
    if value == row[column]:
        return None
    connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE {_IS_ROW[table]}', (value, *_names(table, row)))  # noqa: S608
    touched = {row.get("run_key"), value if column == "run_key" else None}
    return _runs(connection, table, touched), f"{table}.{column} of {_names(table, row)} becomes {value!r:.60}"


def _retype(connection: apsw.Connection, table: str, chance: random.Random) -> Done | None:
    """Let a column hold what it never may, as where bits of its type have flipped."""
    row = _some_row(connection, table, chance)
    if row is None:
        return None
    column = chance.choice([name for name in row if name not in {"position", *_IDENTITY[table]}])
    value = chance.choice([other for other in _OF_ALL_TYPES if type(other) is not type(row[column])])
    update = f'UPDATE "{table}" SET "{column}" = ? WHERE {_IS_ROW[table]}'  # noqa: S608
    with columns_of_any_type(connection, table):
        connection.execute(update, (value, *_names(table, row)))
    what = f"{table}.{column} of {_names(table, row)} becomes {value!r}, which is of another type"
    return _runs(connection, table, {row.get("run_key")}), what


@contextmanager
def columns_of_any_type(connection: apsw.Connection, table: str) -> Iterator[None]:
    """Let the columns of a table take, within the block, what they never may."""
    strict = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).get
    _redefine(connection, table, strict.replace(" NOT NULL", "").replace(") STRICT", ")"))
    yield
    _redefine(connection, table, strict)


def _redefine(connection: apsw.Connection, table: str, sql: str) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))
    connection.execute("PRAGMA writable_schema = RESET").fetchall()


def _delete(connection: apsw.Connection, table: str, chance: random.Random) -> Done | None:
    row = _some_row(connection, table, chance)
    if row is None:
        return None
    connection.execute(f'DELETE FROM "{table}" WHERE {_IS_ROW[table]}', _names(table, row))  # noqa: S608
    return _runs(connection, table, {row.get("run_key")}), f"a row of {table} is lost: {_names(table, row)}"


def _double(connection: apsw.Connection, table: str, chance: random.Random) -> Done | None:
    """Let a row stand there twice, under a key that is free; of a history it becomes the next event."""
    row = _some_row(connection, table, chance)
    if row is None or table in {"run_labels", "agenda", "message_requests", "task_shares"}:
        return None
    touched = {row["run_key"]}
    row.pop("position", None)
    if table == "history":
        row["sequence"] = connection.execute(_NEXT_EVENT, (row["run_key"],)).get
    elif table == "inbox":
        row["message_id"] = f"{row['message_id']} again"
    elif table in {"locks", "tasks"}:
        row["operation"] += 1
    else:
        row["run_key"], row["generation"] = row["run_key"] + 1_000, row["generation"] + 1
        row["request_id"] = ""
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join("?" * len(row))
    connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({places})', tuple(row.values()))  # noqa: S608
    return _runs(connection, table, touched | {row["run_key"]}), f"a row of {table} stands twice: {row['run_key']}"


def _exchange(connection: apsw.Connection, table: str, chance: random.Random) -> Done | None:
    """Let two rows of a table have each other's run."""
    if table not in {"history", "inbox", "locks", "tasks"}:
        return None
    one, other = _some_row(connection, table, chance), _some_row(connection, table, chance)
    if one is None or other is None or one["run_key"] == other["run_key"]:
        return None
    if table == "history" and chance.random() < _WHOLE_SHARE:
        return _exchange_histories(connection, one["run_key"], other["run_key"])
    move = f'UPDATE "{table}" SET run_key = ? WHERE position = ?'  # noqa: S608
    connection.execute(move, (-1, one["position"]))
    connection.execute(move, (one["run_key"], other["position"]))
    connection.execute(move, (other["run_key"], one["position"]))
    both = {one["run_key"], other["run_key"]}
    return _runs(connection, table, both), f"rows of {table} are exchanged: {one['position']}, {other['position']}"


def _exchange_histories(connection: apsw.Connection, one: int, other: int) -> Done:
    """Let two runs have each other's whole history, and as many events as that has."""
    counted = dict(connection.execute("SELECT run_key, sequence FROM runs WHERE run_key IN (?, ?)", (one, other)))
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE history SET run_key = ? WHERE run_key = ?", (new, old))
    for run_key, events in ((one, counted[other]), (other, counted[one])):
        connection.execute("UPDATE runs SET sequence = ? WHERE run_key = ?", (events, run_key))
    return frozenset({RunKey(one), RunKey(other)}), f"whole histories are exchanged: {one}, {other}"


def _runs(connection: apsw.Connection, table: str, keys: set[Any]) -> frozenset[RunKey]:
    """Return the runs that are touched: by a lock all that share it may be, by a run's row its other generations."""
    if table == "locks":
        keys |= {key for (key,) in connection.execute("SELECT run_key FROM runs WHERE tenant <> ''")}
    return frozenset(RunKey(key) for key in keys if isinstance(key, int))


def _some_row(connection: apsw.Connection, table: str, chance: random.Random) -> dict[str, Any] | None:
    rows = list(connection.execute(f'SELECT * FROM "{table}"'))  # noqa: S608
    if not rows:
        return None
    names = [str(column[1]) for column in connection.execute(f'PRAGMA table_info("{table}")')]
    return dict(zip(names, chance.choice(rows), strict=True))


def _names(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _IDENTITY[table])


def _instead(value: Any, others: Any) -> list[Any]:  # noqa: ANN401 - what a column holds
    """Return values that a column might hold as well."""
    found = [others, None]
    match value:
        case int() | float():
            found += [value + 1, value - 1, 0, -value, value * 2]
        case str():
            found += ["", f"{value} ", value[:-1], value.replace("1", "2"), value.swapcase()]
        case bytes():
            found += [bytes(len(value)), value[::-1], value[:-1]]
        case _:
            found += [1, ""]
    return found


_OF_ALL_TYPES: Final = (None, 7, 0.5, "7", b"\xff")
_WHOLE_SHARE: Final = 0.4
_IDENTITY: Final = {
    "history": ("position",),
    "runs": ("run_key",),
    "inbox": ("position",),
    "run_labels": ("run_key", "name"),
    "locks": ("position",),
    "tasks": ("position",),
    "task_shares": ("queue", "priority", "share"),
    "agenda": ("namespace", "kind", "id"),
    "message_requests": ("namespace", "id", "request_id"),
}
_IS_ROW: Final = {table: " AND ".join(f'"{name}" IS ?' for name in names) for table, names in _IDENTITY.items()}
_NEXT_EVENT: Final = "SELECT max(sequence) + 1 FROM history WHERE run_key = ?"
