"""Bugs by which damage is read, or kept silent."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_CHAINED: Final = "P6: what is read of a history was written for this run, in this place"
_PASSED_OVER: Final = "P6: runs that cannot be read keep no other from being claimed and listed"
_TASKS: Final = "P6: a run whose task is damaged goes on with another attempt"
_REPORTED: Final = "P6: damage is reported"
_HISTORIES: Final = "sql.checking"
_OF_RUNS: Final = "sqlite.verification.runs"
_OF_TABLES: Final = "sqlite.verification.tables"


def _mutant(name: str, breaks: str, module: str, old: str, new: str, *, of: str) -> Mutant:
    return Mutant(
        name=name,
        breaks=breaks,
        module=f"perdure.stores.{module}",
        old=old,
        new=new,
        workloads=(of,),
        tool="corrupt",
    )


PLANTED: Final = (
    _mutant(
        "the chain is not checked",
        _CHAINED,
        _HISTORIES,
        "        elif digest != linked(",
        "        elif sequence < 0 and digest != linked(",
        of="history",
    ),
    _mutant(
        "a chain begins alike in all runs",
        _CHAINED,
        "sql.chain",
        "(namespace, run_id, generation))",
        '("", "", 0))',
        of="history",
    ),
    _mutant("a digest leaves out its run", _CHAINED, "sql.chain", "(beginning + digest +", "(digest +", of="history"),
    _mutant(
        "a digest leaves out the time of its event",
        _CHAINED,
        "sql.chain",
        "_ENCODE((sequence, type_name, version, at, data))",
        "_ENCODE((sequence, type_name, version, data))",
        of="history",
    ),
    _mutant(
        "a history may end before its row says",
        _CHAINED,
        _HISTORIES,
        "        if counted > self.sequence:\n",
        "        if False:\n",
        of="history",
    ),
    _mutant(
        "a message is taken though its digest differs",
        _CHAINED,
        "sqlite.rows",
        "if digest is not None and digest !=",
        "if digest is None and digest !=",
        of="inbox",
    ),
    Mutant(
        name="a damaged run is not ended by its rows",
        breaks="P6: a damaged run can be ended, and gives back its locks",
        module="perdure.execution.remains",
        old="    if isinstance(damage, DamagedHistoryError | StoreCorruptError):",
        new="    if summary is None:",
        workloads=("history",),
        tool="corrupt",
    ),
    Mutant(
        name="an end by rows keeps the locks",
        breaks="P6: a damaged run can be ended, and gives back its locks",
        module="perdure.execution.rows_of_damaged",
        old="{operation: lock async for operation, lock in _locks(store, summary)}",
        new="{}",
        workloads=("history",),
        tool="corrupt",
    ),
    Mutant(
        name="a run on a damaged page is tried for ever",
        breaks="P6: damage parks the run that it strikes",
        module="perdure.execution.claims",
        old="except (UsageError, *DAMAGE) as error:",
        new="except (UsageError, DAMAGE[1]) as error:",
        workloads=("file",),
        tool="corrupt",
    ),
    _mutant(
        "a damaged task is begun all the same",
        _TASKS,
        "sqlite.rows",
        "if digest != digest_of_task(texts):",
        "if not digest:",
        of="tasks",
    ),
    _mutant(
        "a run is told of an attempt by what is damaged",
        _TASKS,
        "task_messages",
        "attempt: int = QUEUED_ATTEMPT",
        "attempt: int = 2",
        of="tasks",
    ),
    _mutant(
        "a verification takes tasks as they are",
        _REPORTED,
        _OF_RUNS,
        "        if is_typed and sound_task(fields, digest, share=share, cost=cost) is not None:\n",
        "        if digest:\n",
        of="tasks",
    ),
    _mutant(
        "a repair tells no run of the tasks that it has lost",
        _TASKS,
        "sqlite.verification.repairs",
        "for operation, attempt in checked.lost\n",
        "for operation, attempt in checked.lost[:0]\n",
        of="tasks",
    ),
    _mutant(
        "a look for unreadable runs reads less than a list does",
        _PASSED_OVER,
        "sqlite.scanning",
        "SELECT {CLAIMED_COLUMNS} FROM (SELECT value",
        "SELECT 1, run_key FROM (SELECT value",
        of="crowd",
    ),
    _mutant(
        "a sector that cannot be read is taken for the whole disk",
        _PASSED_OVER,
        "sqlite.faults",
        "        apsw.SQLITE_IOERR_CORRUPTFS,  # what SQLite makes of EIO, among others\n",
        "",
        of="crowd",
    ),
    _mutant(
        "claims come to what cannot be read",
        _PASSED_OVER,
        "sqlite.sessions",
        "passing_over(statements.RUNS_TO_CLAIM, passing)",
        "statements.RUNS_TO_CLAIM",
        of="crowd",
    ),
    _mutant(
        "a verification takes rows as they are", _REPORTED, _OF_RUNS, "if stored != value:", "if False:", of="runs"
    ),
    _mutant(
        "a verification takes labels as they are",
        _REPORTED,
        _OF_RUNS,
        "if stored != expected:",
        "if False:",
        of="run_labels",
    ),
    _mutant(
        "a verification takes messages as they are",
        _REPORTED,
        _OF_RUNS,
        "            is_right = digest is None or",
        "            is_right = digest is not None or",
        of="inbox",
    ),
    _mutant(
        "a verification takes the lines of locks as they are",
        _REPORTED,
        _OF_RUNS,
        '_readable(checked, "locks", _lock_defects(connection, checked))',
        "()",
        of="locks",
    ),
    _mutant(
        "a verification takes schedules as they are",
        _REPORTED,
        _OF_TABLES,
        "_orphans, _requests, _agenda,",
        "_orphans, _requests,",
        of="agenda",
    ),
    _mutant(
        "a verification passes over rows of no run",
        _REPORTED,
        _OF_TABLES,
        "(_sessions, _orphans, _requests,",
        "(_sessions, _requests,",
        of="runs",
    ),
    _mutant(
        "a verification asks SQLite for a table only",
        _REPORTED,
        _OF_TABLES,
        "(_schema, *of_tables, _roots, _partial_indexes, _misplaced_pages)",
        "(_schema,)",
        of="file",
    ),
    _mutant(
        "a database with any damage is refused at its opening",
        "P6: damage quarantines only the run that it strikes",
        "sqlite.store",
        "        loop = asyncio.get_running_loop()\n        unreadable =",
        "        from perdure.errors import StoreCorruptError\n"
        "        from perdure.stores.sqlite.looking import SqliteLook\n"
        "        if self._path.exists():\n"
        "            async with SqliteLook(self._path) as look:\n"
        "                if not (await look.verify(VerificationWish(now=self.clock.now()))).is_sound:\n"
        "                    raise StoreCorruptError('damaged')\n"
        "        loop = asyncio.get_running_loop()\n        unreadable =",
        of="history",
    ),
    _mutant(
        "a verification ends at the first damage",
        _REPORTED,
        "sqlite.looking",
        "        return await Verifier(self._reader.ask, wish).verify(str(self._path))\n",
        "        from perdure.errors import StoreCorruptError\n"
        "        found = await Verifier(self._reader.ask, wish).verify(str(self._path))\n"
        "        if not found.is_sound:\n"
        "            raise StoreCorruptError('damaged')\n"
        "        return found\n",
        of="history",
    ),
)
