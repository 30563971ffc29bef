"""Bugs of the stores: the tables in memory that the simulation runs on, and SQLite's, which it checks beside them."""

from typing import Final

from perdure.torture.planted.mutant import Mutant, Patch

__all__ = ["PLANTED"]


def _mutant(name: str, breaks: str, module: str, old: str, new: str, *workloads: str) -> Mutant:
    return Mutant(name=name, breaks=breaks, module=f"perdure.stores.{module}", old=old, new=new, workloads=workloads)


_TABLES: Final = "memory.tables"
_INBOXES: Final = "memory.inboxes"
_WRITES: Final = "memory.writes"
_OWNERSHIP: Final = "memory.ownership"
_LEASES: Final = "memory.sessions"
_STATEMENTS: Final = "sql.statements"
_SEGMENT: Final = "sqlite.segment"
_IN_INBOXES: Final = "sqlite.inboxes"
_APPLICATION: Final = "sqlite.application"
_SESSIONS: Final = "sqlite.sessions"

_CHECKS_OF_A_WRITE: Final = (
    "        and run.fencing_token == write.fencing_token\n        and run.sequence == write.expected_sequence\n"
    "        and run.owner == write.owner\n    ):\n        return None"
)

_IN_MEMORY: Final = (
    _mutant(
        "fencing is ignored",
        "P5: single writer",
        _WRITES,
        _CHECKS_OF_A_WRITE,
        "        and run.sequence == write.expected_sequence\n    ):\n        return None",
        "sequential",
        "timers",
    ),
    _mutant(
        "a request that is made again has an effect again",
        "P2: one request, one effect",
        _WRITES,
        "    first = _taker(database, request, unanswered=write.unanswered)\n",
        "    first = None\n",
        "held",
        "adding_up",
    ),
    _mutant(
        "a run is begun again by an update that another has answered",
        "P2: one request, one effect",
        _WRITES,
        "        asked = (write.ref.namespace, write.ref.id, write.update_request or write.request_id)\n",
        "        asked = (write.ref.namespace, write.ref.id, write.request_id)\n",
        "adding_up",
    ),
    _mutant(
        "the sequence is not checked",
        "P6: gapless, append-only",
        _WRITES,
        _CHECKS_OF_A_WRITE,
        "    ):\n        return None",
        "told",
    ),
    _mutant(
        "the fencing token does not grow with a claim",
        "P5: single writer",
        _LEASES,
        "run.fencing_token = FencingToken(run.fencing_token + 1)",
        "run.fencing_token = FencingToken(run.fencing_token + 0)",
    ),
    _mutant(
        "a lease that has not passed is taken",
        "P5: single writer",
        _LEASES,
        "return session.lease_until is not None and session.lease_until <= now",
        "return session.lease_until is not None",
    ),
    _mutant(
        "the runs of a dead worker are never freed",
        "P13: progress resumes within the lease",
        _LEASES,
        "if other.is_dead or _has_passed(other, now)}",
        "if False}",
        "sequential",
    ),
    _mutant(
        "inbox rows are not deleted",
        "P9: consumed once",
        _TABLES,
        "            entry = inbox.pop(position, None)\n",
        "            entry = None\n",
        "signals",
        "players",
    ),
    _mutant(
        "a message id that waits is delivered again",
        "P2: one request, one effect",
        _INBOXES,
        "    if (run.run_key, entry.message_id) in database.message_ids:\n        return False\n",
        "",
        "doubled",
    ),
    _mutant(
        "a release that meets a message loses the wake-up",
        "P9: consumed, not only kept",
        _OWNERSHIP,
        "    if database.inboxes.get(run.run_key):\n",
        "    if False:\n",
        "late_signals",
        "self_suspended",
        "crowd",
    ),
    _mutant(
        "a message to a run that nobody owns does not wake it",
        "P9: consumed, not only kept",
        _INBOXES,
        "    if run.owner is None and (run.parked is None or wakes_parked(message)):\n        wake(",
        "    if False:\n        wake(",
        "late_signals",
        "children",
    ),
)

_IN_SQLITE: Final = (
    _mutant(
        "SQLite: an ordinary step is written without fencing",
        "P5: single writer",
        _STATEMENTS,
        "runs.sequence = n.column3\n    AND runs.owner = n.column12 AND runs.status",
        "runs.sequence = n.column3\n    AND runs.status",
        "sequential",
        "timers",
    ),
    _mutant(
        "SQLite: a change of status is written without fencing",
        "P5: single writer",
        _STATEMENTS,
        "WHERE runs.run_key = n.column1 AND runs.fencing_token = n.column2 AND runs.sequence = n.column3\n"
        '    AND runs.owner = n.column12\n"""',
        'WHERE runs.run_key = n.column1 AND runs.sequence = n.column3\n"""',
        "sequential",
        "timers",
    ),
    _mutant(
        "SQLite: the fencing token does not grow with a claim",
        "P5: single writer",
        _STATEMENTS,
        "fencing_token = fencing_token + 1, wake_at = NULL",
        "fencing_token = fencing_token, wake_at = NULL",
        "sequential",
    ),
    Mutant(
        name="SQLite: a run that somebody owns is claimed",
        breaks="P5: single writer",
        module="perdure.stores.sql.statements",
        old="INDEXED BY runs_to_claim\nWHERE owner IS NULL AND wake_at IS NOT NULL AND priority = ?2 AND wake_at <= ?3",
        new="NOT INDEXED\nWHERE closed_at IS NULL AND priority = ?2 AND coalesce(wake_at, 0) <= ?3",
        workloads=("sequential",),
        also=(
            Patch(
                module="perdure.stores.sql.statements",
                old='_IS_NOBODYS: Final = "owner IS NULL AND closed_at IS NULL"',
                new='_IS_NOBODYS: Final = "closed_at IS NULL"',
            ),
            Patch(
                module="perdure.stores.sql.statements",
                old="AND (wake_at <= ?2 OR end_at",
                new="AND (coalesce(wake_at, 0) <= ?2 OR end_at",
            ),
        ),
    ),
    _mutant(
        "SQLite: a run that has ended keeps its owner",
        "P5: what has ended is nobody's",
        _STATEMENTS,
        "owner = CASE WHEN n.column11 IS NULL THEN runs.owner END,",
        "owner = runs.owner,",
        "sequential",
    ),
    _mutant(
        "SQLite: a refused batch is not undone",
        "P5: a stale worker writes nothing",
        _APPLICATION,
        '        connection.execute("ROLLBACK")\n        known.clear()\n        news = News()\n'
        '        connection.execute("BEGIN IMMEDIATE")\n',
        "        known.clear()\n        news = News()\n",
        "repeated",
    ),
    _mutant(
        "SQLite: a release that meets a message loses the wake-up",
        "P9: consumed, not only kept",
        _STATEMENTS,
        "WHEN EXISTS (SELECT 1 FROM inbox INDEXED BY inbox_by_run WHERE inbox.run_key = n.column1{waking})",
        "WHEN FALSE",
        "late_signals",
        "self_suspended",
        "crowd",
    ),
    _mutant(
        "SQLite: a message does not wake a run before its timer",
        "P9: consumed, not only kept",
        _STATEMENTS,
        "SET wake_at = min(coalesce(runs.wake_at, n.column2), n.column2)",
        "SET wake_at = coalesce(runs.wake_at, n.column2)",
        "late_signals",
    ),
    _mutant(
        "SQLite: a message id that waits is delivered again",
        "P2: one request, one effect",
        _IN_INBOXES,
        "message = message_row(run_key, delivery.message_id, delivery",
        'message = message_row(run_key, f"{delivery.message_id}{len(messages)}{news.run_keys}", delivery',
        "doubled",
    ),
    _mutant(
        "SQLite: a request counts as taken in by the generation that is there now",
        "P2: one request, one answer",
        _STATEMENTS,
        "SELECT message_requests.run_key, taker.owner\n",
        "SELECT runs.run_key, runs.owner\n",
        "adding_up",
    ),
    _mutant(
        "SQLite: the update with which a run begins is not remembered",
        "P2: one request, one effect",
        _SEGMENT,
        "        if creation.update_request:\n",
        "        if False:\n",
        "adding_up",
        "updated",
    ),
    _mutant(
        "SQLite: consumed messages are not deleted",
        "P9: consumed once",
        _SEGMENT,
        "            self._consumed += (position, write.run_key)",
        "            pass",
        "players",
        "late_signals",
    ),
    _mutant(
        "SQLite: the next generation is not woken by the messages it inherits",
        "P12: messages move with the step",
        _IN_INBOXES,
        "    if moved:\n        connection.execute(statements.WAKE_RUNS.of(1)",
        "    if False:\n        connection.execute(statements.WAKE_RUNS.of(1)",
        "hasty_tries",
        "hasty_generations",
        "generations",
    ),
    _mutant(
        "SQLite: the inbox stays with the generation that ended",
        "P12: messages move with the step",
        _SEGMENT,
        "            self._moves.append(write)",
        "            pass",
        "hasty_generations",
        "generations",
    ),
    _mutant(
        "SQLite: a child whose id is taken is not reported",
        "P12: the parent learns what became of its child",
        _APPLICATION,
        "            reports.append(_taken(creation.child, parent=write))\n",
        "",
        "taken",
    ),
    _mutant(
        "SQLite: a label that was taken away stays",
        "P7: every table equal",
        _STATEMENTS,
        'DELETE_LABEL: Final = "DELETE FROM run_labels WHERE run_key = ? AND name = ?"',
        'DELETE_LABEL: Final = "DELETE FROM run_labels WHERE run_key = ? AND name = ? AND FALSE"',
        "keeping",
    ),
    _mutant(
        "SQLite: the runs of a dead worker are not marked as recovering",
        "P7: recovery is recorded",
        _STATEMENTS,
        "SET owner = NULL, wake_at = ?3, recovering = 1\n",
        "SET owner = NULL, wake_at = ?3, recovering = 0\n",
        "sequential",
    ),
    _mutant(
        "SQLite: a lease that has passed is extended",
        "P5: single writer",
        "sql.sessions",
        "WHERE worker_id = ? AND lease_until > ?",
        "WHERE worker_id = ? AND ? IS NOT NULL",
        "sharing",
    ),
    _mutant(
        "SQLite: a lease that has not passed is taken",
        "P5: single writer",
        _SESSIONS,
        "if gone or lease_until <= now:",
        "if worker_id != session.worker_id:",
    ),
    _mutant(
        "SQLite: a session that ends keeps its runs",
        "P13: progress resumes",
        _STATEMENTS,
        "SET owner = NULL, wake_at = {_DUE}\nWHERE",
        "SET owner = owner, wake_at = {_DUE}\nWHERE",
        "sequential",
        "children",
    ),
)

PLANTED: Final = (*_IN_MEMORY, *_IN_SQLITE)
