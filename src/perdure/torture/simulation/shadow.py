"""The shadow: the SQLite store's tables, moved by the same calls as those in memory, whose answers must be the same.

The trial runs on the memory store, whose every step is its own. Beside it the shadow does each step once more with the
functions that the SQLite store does its work with, on a database without a file. As long as all answers are equal, the
engine takes the same course on either; the first that is not is a finding, and so is a row that differs in the end.

Not shadowed: threads, files, locks and notices, which the tests of the store and the `kill` tool are about.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Outcome, Park, Release, Transition, Write
from perdure.ports.following import HistoryPart, HistoryPlace, Standing
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import ClaimedRun, InboxEntry, LockQuery, RunSummary
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskCost
from perdure.stores.memory import MemoryDatabase
from perdure.stores.memory.tables import Run, summarise
from perdure.stores.sqlite import following, keeping, reads, sessions, tasks
from perdure.stores.sqlite.application import Commit, apply_jobs
from perdure.stores.sqlite.encoding import encode_write
from perdure.stores.sqlite.histories import read_history
from perdure.stores.sqlite.lock_lines import list_locks
from perdure.stores.sqlite.segment import KnownRuns, News
from perdure.stores.sqlite.verification.runs import check_run
from perdure.stores.sqlite.verification.tables import ROW_CHECKS
from perdure.torture.simulation.spare_tables import give_back_tables, take_tables

__all__ = ["Shadow"]


class Shadow:
    """SQLite tables beside a `MemoryDatabase`. Every method is called right after the memory store's, and compares.

    After the first difference the two are different worlds, and nothing more is compared.
    """

    def __init__(self, database: MemoryDatabase, find: Callable[[str], None]) -> None:
        """Begin with empty tables. `find` is told what differs."""
        self._database = database
        self._find = find
        self._is_equal = True
        self.connection = take_tables()
        self._sessions: dict[WorkerId, sessions.Session] = {}
        self._known_times: dict[WorkerId, Timestamp] = {}
        self._known: dict[WorkerId, KnownRuns] = {}
        self._positions: dict[int, int] = {}
        self._last_position, self._last_position_here = 0, 0
        self._pages: dict[tuple[RunKey, int, int], tuple[int, list[RecordedEvent]]] = {}
        self._changes = 0
        self._answers: dict[object, object] = {}

    def open(self, worker: WorkerId, *, name: str, lease_microseconds: int, now: Timestamp) -> None:
        """Begin a session."""
        session = sessions.Session(worker_id=worker, name=name, started_at=now, lease_microseconds=lease_microseconds)
        self._sessions[worker], self._known[worker] = session, {}
        self.connection.execute(_COUNT_SESSION, (worker,))
        self._compare("an opening", None, lambda: self._open(session, now=now))

    def _open(self, session: sessions.Session, *, now: Timestamp) -> None:
        self._known_times[session.worker_id] = sessions.put_session(self.connection, session, now=now)

    def close(self, worker: WorkerId) -> None:
        """End a session in good order."""
        session = self._sessions[worker]
        self._compare("a closing", None, lambda: self._end(session))

    def _end(self, session: sessions.Session) -> None:
        sessions.end_session(self.connection, News(), session=session, stale=set())

    def commit(self, worker: WorkerId, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        """Apply writes; their outcomes must be `outcomes`."""
        self._compare("a commit", list(outcomes), lambda: self._apply(worker, writes))
        self._learn_positions()

    def claim(
        self,
        worker: WorkerId,
        claimed: list[ClaimedRun],
        *,
        now: Timestamp,
        limit: int,
        workflows: frozenset[WorkflowVersion],
        code: str | None,
    ) -> None:
        """Take due runs; they must be `claimed`."""
        session = self._sessions[worker]
        self._compare(
            "a claim",
            [msgspec.structs.replace(run, inbox_position=self._position_here(run.inbox_position)) for run in claimed],
            lambda: sessions.claim(
                self.connection,
                News(),
                session=session,
                now=now,
                limit=limit,
                workflows=self._of(workflows),
                stale=set(),
                code=code,
            ),
        )

    def claim_tasks(
        self,
        worker: WorkerId,
        claimed: list[ClaimedTask],
        *,
        now: Timestamp,
        limit: int,
        served: ServedTasks,
        costs: Sequence[TaskCost],
    ) -> None:
        """Take tasks; they must be `claimed`."""
        session = self._sessions[worker]
        claiming = partial(
            tasks.claim_tasks, self.connection, News(), session=session, now=now, limit=limit, costs=costs
        )
        self._compare("a claim of tasks", claimed, lambda: [*claiming(served=served).claimed])
        self._learn_positions()

    def return_tasks(self, worker: WorkerId, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """Give tasks back."""
        returning = partial(tasks.return_tasks, self.connection, News(), claims=claims, owner=worker)
        self._compare("a return of tasks", None, lambda: returning(begun=begun))

    def correct_costs(self, worker: WorkerId, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """Correct what was charged for tasks."""
        correcting = partial(tasks.correct_costs, self.connection, owner=worker, costs=costs, now=now)
        self._compare("a correction of costs", None, correcting)

    def held_tasks(self, worker: WorkerId, held: set[TaskClaim]) -> None:
        """Ask which tasks a session has; they must be these."""
        self._compare("held tasks", held, lambda: tasks.held_tasks(self.connection, owner=worker))

    def renew(self, worker: WorkerId, is_kept: bool, *, now: Timestamp) -> None:  # noqa: FBT001 - an answer
        """Extend a lease; whether it was still held must be `is_kept`."""
        session = self._sessions[worker]
        self._compare("a renewal", is_kept, lambda: self._renew(session, now=now))

    def _renew(self, session: sessions.Session, *, now: Timestamp) -> bool | None:
        known_time = self._known_times[session.worker_id]
        renewal = sessions.renew(self.connection, News(), session=session, now=now, known_time=known_time, stale=set())
        self._known_times[session.worker_id] = renewal.known_time
        return renewal.is_kept

    def free_expired(self, worker: WorkerId, freed: int, *, now: Timestamp) -> None:
        """Give back the runs of dead and late sessions; there must be `freed` of them."""
        session, living = self._sessions[worker], self._database.sessions

        def free() -> int:
            found, _, _ = sessions.free_expired(
                self.connection,
                News(),
                session=session,
                now=now,
                is_dead=lambda other: other not in living,
                stale=set(),
            )
            return found

        self._compare("freeing what expired", freed, free)

    def next_wake_at(self, moment: Timestamp | None, *, workflows: frozenset[WorkflowVersion]) -> None:
        """Ask when the next run comes due: it must be `moment`."""
        needed = self._of(workflows)
        self._compare_answer("the next wake-up", needed, moment, lambda: reads.next_wake_at(self.connection, needed))

    def read_history(self, page: list[RecordedEvent], run_key: RunKey, *, after: int, limit: int) -> None:
        """Read events; they must be `page`. Of a history that has not grown since they are not read again: it only ever
        grows, and all rows are compared in the end."""
        question, length = (run_key, after, limit), len(self._database.events.get(run_key, ()))
        if self._pages.get(question) != (length, page):
            self._compare("a history", page, lambda: read_history(self.connection, run_key, after=after, limit=limit))
            self._pages[question] = length, page

    def list_standings(
        self,
        worker: WorkerId,
        found: list[Standing],
        *,
        workflows: frozenset[WorkflowVersion],
        limit: int,
        among: Collection[RunKey] | None,
    ) -> None:
        """Look where runs of others stand; it must be as `found`."""
        needed = self._of(workflows)

        def ask() -> list[Standing]:
            return following.list_standings(self.connection, worker, workflows=needed, limit=limit, among=among)

        self._compare("where runs of others stand", found, ask)

    def read_on(self, parts: list[HistoryPart], places: Mapping[RunKey, HistoryPlace]) -> None:
        """Read what comes next in histories; it must be as in `parts`, but for the digests."""
        here = {part.run_key: self._place(part.run_key, places[part.run_key].sequence) for part in parts}
        limit = sum(len(part.events) for part in parts)

        def ask() -> list[tuple[RunKey, list[RecordedEvent]]]:
            found = following.read_on(self.connection, here, limit=limit)
            return [(part.run_key, list(part.events)) for part in found]

        self._compare("what comes next", [(part.run_key, list(part.events)) for part in parts], ask)

    def _place(self, run_key: RunKey, sequence: int) -> HistoryPlace:
        digest = self.connection.execute(_DIGEST, (run_key, sequence)).get
        return HistoryPlace(sequence, digest)

    def read_inbox(self, entries: list[InboxEntry], run_key: RunKey, *, after: int, limit: int) -> None:
        """Read messages; they must be `entries`."""
        expected = [msgspec.structs.replace(one, position=self._positions.get(one.position, 0)) for one in entries]
        here = self._position_here(after) if after else 0
        self._compare("an inbox", expected, lambda: reads.read_inbox(self.connection, run_key, after=here, limit=limit))

    def find(self, found: RunSummary | None, ref: RunRef | RunKey, *, latest: bool) -> None:
        """Look up a run; it must be `found`."""
        question = (type(ref), ref, latest)
        self._compare_answer("a look-up", question, found, lambda: reads.find(self.connection, ref, latest=latest))

    def find_by_request(self, found: RunSummary | None, namespace: str, request_id: str) -> None:
        """Look up the run that a request has made; it must be `found`."""
        self._compare("a look-up", found, lambda: reads.find_by_request(self.connection, namespace, request_id))

    def list_closed(self, found: list[RunSummary], query: ClosedQuery) -> None:
        """List closed runs that may go; they must be `found`."""
        in_memory = [msgspec.structs.replace(summary, wake_at=None) for summary in found]
        self._compare("a list of closed runs", in_memory, lambda: keeping.list_closed(self.connection, query))

    def remove(self, removed: list[RunKey], run_keys: Sequence[RunKey]) -> None:
        """Remove runs; which were must be `removed`."""
        self._compare("a removal", removed, lambda: keeping.remove(self.connection, News(), run_keys))
        while keeping.sweep(self.connection):
            pass

    def bring_in(self, outcome: Outcome, run: WholeRun) -> None:
        """Bring a run in; its outcome must be `outcome`."""
        self._compare("a run brought in", outcome, lambda: keeping.bringing_in(run)(self.connection, News()))
        self._learn_positions()

    def compare_tables(self) -> None:
        """Compare all rows."""
        database = self._database
        self._compare("the runs", [_row(run) for _, run in sorted(database.runs.items())], self._runs)
        self._compare_rows(
            "the histories",
            [(key, *row[:4], bytes(row[4]).decode()) for key in database.events for row in database.events[key]],
            "SELECT run_key, sequence, type, version, at, data FROM history",
        )
        self._compare_rows(
            "the inboxes",
            [
                (key, self._positions.get(position, 0), entry.message_id, entry.data.decode())
                for key, inbox in database.inboxes.items()
                for position, entry in inbox.items()
            ],
            "SELECT run_key, position, message_id, data FROM inbox",
        )
        self._compare_rows(
            "the requests",
            [(request, key) for (_, request), key in database.requests.items()],
            "SELECT request_id, run_key FROM runs WHERE request_id <> ''",
        )
        self._compare_rows(
            "the requests of messages",
            [(*request, key) for request, key in database.message_requests.items()],
            "SELECT namespace, id, request_id, run_key FROM message_requests",
        )
        self._compare_rows(
            "the runs whose owners died",
            [(run.run_key,) for run in database.runs.values() if run.is_recovered],
            "SELECT run_key FROM runs WHERE recovering",
        )
        self._compare(
            "the lines of locks",
            [entry for _, entry in sorted(database.locks.items())],
            lambda: list_locks(self.connection, LockQuery(limit=_ALL_LOCKS)),
        )
        self._compare_rows(
            "the tasks",
            [
                (task.run_key, task.operation, task.attempt, task.owner, task.claims, int(task.is_recovered))
                for task in database.tasks.values()
            ],
            "SELECT run_key, operation, attempt, owner, claims, recovering FROM tasks",
        )
        self._compare_rows(
            "when runs are to be ended",
            [(run.run_key, run.end_at) for run in database.runs.values() if run.end_at is not None],
            "SELECT run_key, end_at FROM runs WHERE end_at IS NOT NULL",
        )
        self._compare_rows(
            "the sessions", [(worker,) for worker in database.sessions], "SELECT worker_id FROM sessions"
        )

    def verify(self, *, now: Timestamp) -> None:
        """Verify the tables: of what nobody has damaged it must find nothing."""
        self._compare("what a verification finds", [], lambda: self._defects(now))

    def dispose(self) -> None:
        """Let go of the tables."""
        give_back_tables(self.connection)

    def _apply(self, worker: WorkerId, writes: Sequence[Write]) -> list[Outcome]:
        encoded = [encode_write(self._translated(write), owner=worker) for write in writes]
        job = Commit(encoded, asyncio.get_running_loop().create_future())
        self.connection.execute("BEGIN IMMEDIATE")
        apply_jobs(self.connection, [job], known=self._known[worker])
        self.connection.execute("COMMIT")
        if job.error is not None:
            raise job.error
        return job.result

    def _of(self, workflows: frozenset[WorkflowVersion]) -> frozenset[WorkflowVersion]:
        """Leave out the many workflows that no run is of: of these nothing could be found."""
        runs = self._database.runs.values()
        return workflows.intersection([(run.workflow, run.definition_version) for run in runs])

    def _translated(self, write: Write) -> Write:
        """Name the messages that a write means by their positions here."""
        if isinstance(write, Park):
            write = msgspec.structs.replace(write, tried_position=self._position_here(write.tried_position))
        if isinstance(write, Park | Release) and write.inbox_position is not None:
            return msgspec.structs.replace(write, inbox_position=self._position_here(write.inbox_position))
        if type(write) is not Transition or not write.consumed:
            return write
        consumed = tuple(self._positions.get(position, 0) for position in write.consumed)
        return msgspec.structs.replace(write, consumed=consumed)

    def _position_here(self, position: int) -> int:
        return max((here for there, here in self._positions.items() if there <= position), default=0)

    def _learn_positions(self) -> None:
        """Pair the positions that messages got in memory and here: both count up, but not from the same number."""
        last = self._last_position
        there = sorted(position for inbox in self._database.inboxes.values() for position in inbox if position > last)
        here = [one for (one,) in self.connection.execute(_NEW_POSITIONS, (self._last_position_here,))]
        if there or here:
            self._compare("how many messages came", len(there), lambda: len(here))
            self._positions.update(zip(there, here, strict=False))
            self._last_position = max(there, default=last)
            self._last_position_here = max(here, default=self._last_position_here)

    def _runs(self) -> list[RunSummary | None]:
        return [
            reads.find(self.connection, RunKey(key), latest=False) for (key,) in self._rows("SELECT run_key FROM runs")
        ]

    def _defects(self, now: Timestamp) -> list[str]:
        keys = [RunKey(key) for (key,) in self._rows("SELECT run_key FROM runs")]
        checked = (check_run(self.connection, key, now=now) for key in keys)
        of_runs = [f"{one.row.ref}: {defect}" for one in checked if one is not None for defect in one.defects]
        return of_runs + [str(defect) for check in ROW_CHECKS for defect in check(self.connection)]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return sorted(self.connection.execute(query))

    def _compare_rows(self, what: str, in_memory: list[tuple[object, ...]], query: str) -> None:
        self._compare(what, sorted(in_memory), lambda: self._rows(query))

    def _compare_answer(self, what: str, question: object, in_memory: object, ask: Callable[[], object]) -> None:
        """Compare an answer; but do not ask again what was asked since the tables have changed last."""
        if self._changes != self.connection.total_changes():
            self._changes = self.connection.total_changes()
            self._answers.clear()
        if self._answers.get((what, question), self) != in_memory:
            self._compare(what, in_memory, ask)
            self._answers[what, question] = in_memory

    def _compare(self, what: str, in_memory: object, ask: Callable[[], object]) -> None:
        """Ask SQLite, and compare what it says, be it an error, with what the memory store said."""
        if not self._is_equal:
            return
        try:
            in_sqlite = ask()
        except Exception as error:  # noqa: BLE001 - whatever the store's functions raise is their answer
            in_sqlite = error
        if in_memory != in_sqlite:
            self._is_equal = False
            mine, other = _apart(in_memory, in_sqlite)
            self._find(f"SQLite differs in {what}: in memory {mine}, in SQLite {other}")


def _row(run: Run) -> RunSummary:
    """Return a row as SQLite keeps it: of a run that has ended nothing is left to wait for."""
    summary = summarise(run)
    return msgspec.structs.replace(summary, wake_at=None) if run.status.is_closed else summary


def _apart(one: object, other: object) -> tuple[str, str]:
    """Return both as text: of two lists only the items that one of them lacks, if there are any."""
    if isinstance(one, list) and isinstance(other, list):
        only_one, only_other = [item for item in one if item not in other], [item for item in other if item not in one]
        if only_one or only_other:
            return _shown(only_one), _shown(only_other)
    return _shown(one), _shown(other)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_CHARACTERS else f"{text[:_LONGEST_CHARACTERS]}..."


_DIGEST: Final = "SELECT digest FROM history WHERE run_key = ? AND sequence = ?"
_COUNT_SESSION: Final = "UPDATE store_meta SET value = max(value, ?) WHERE name = 'last_worker_id'"
_NEW_POSITIONS: Final = "SELECT position FROM inbox WHERE position > ? ORDER BY position"
_LONGEST_CHARACTERS: Final = 600
_ALL_LOCKS: Final = 10_000
