"""What is broken of digests and their verification, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

INTEGRITY: dict[str, tuple[Defect, ...]] = {
    "history.chain": (
        Defect("stores.sql.chain", "update(beginning + digest +", "update(beginning +"),
        Defect("stores.sql.chain", "(namespace, run_id, generation))", '("", "", 0))'),
        Defect("stores.sqlite.histories", "            check.demand_end(counted)\n", "            del counted\n"),
        Defect("stores.sqlite.rows", "if digest is not None and digest !=", "if digest is None and digest !="),
        Defect("stores.sqlite.agenda", 'damage = "" if digest in', 'damage = "" if digest not in'),
    ),
    "history.damaged": (
        Defect("execution.claims", "            demand_open(state, summary)\n", ""),
        Defect("execution.loading", "    if created.workflow != workflow.name:\n", "    if False:\n"),
    ),
    "history.damaged.ended": (
        Defect(
            "execution.rows_of_damaged",
            "    await _demand_room(store, summary)\n    state",
            "    raise HistoryError\n    state",
        ),
        Defect("execution.rows_of_damaged", "policy=link.policy", "policy=e.ParentClosePolicy.ABANDON"),
        Defect(
            "execution.remains",
            "        return await store.read_rest_of_inbox(run_key), error",
            "        return [], error",
        ),
    ),
    "history.damaged.page": (
        Defect(
            "execution.claims", "except (UsageError, *DAMAGE) as error:", "except (UsageError, DAMAGE[1]) as error:"
        ),
    ),
    "history.damaged.rows": (
        Defect("stores.sql.passing", " if run_keys else statement", " if False else statement"),
        Defect(
            "stores.sqlite.opened",
            "            if not _narrow(connection, unreadable, error, passed=passed, now=now):\n",
            "            if True:\n",
        ),
        Defect("stores.sql.sessions", "WHERE worker_id = ?1 AND NOT EXISTS", "WHERE worker_id = ?1 OR NOT EXISTS"),
        Defect(
            "stores.sqlite.scanning",
            "SELECT {CLAIMED_COLUMNS} FROM (SELECT value",
            "SELECT 1, run_key FROM (SELECT value",
        ),
    ),
    "engine.verify": (
        Defect("stores.sqlite.verification.runs", "        if stored != value:\n", "        if False:\n"),
        Defect(
            "stores.sqlite.verification.tables",
            "(_schema, *of_tables, _roots, _partial_indexes, _misplaced_pages)",
            "()",
        ),
    ),
    "engine.verify.repair": (
        Defect(
            "stores.sqlite.verification.repairs",
            "    _write_labels(connection, checked)\n",
            "    connection.execute(_TOUCH)\n",
        ),
        Defect("stores.sqlite.verification.repairs", " or _is_owned(connection, checked)", ""),
    ),
    "engine.verify.accept_older_tables": (
        Defect(
            "stores.sqlite.verification.indexes",
            "not accepts_older and names_others(reading, table)",
            "names_others(reading, table)",
        ),
    ),
    "engine.verify.quarantine": (
        Defect("stores.sqlite.verification.repairs", "connection.execute(_PARK, (parking, damage.run_key))", "pass"),
    ),
    "run.fork.damaged": (Defect("client.forking", "limit=error.event - 1)", "limit=error.event)"),),
}
