"""A life: one process of an engine, as far as the engine can tell, from its opening to its end or its death.

A death is as hard as the death of a process: the loop is never run again, the session in the store answers nothing any
more, what was not committed is gone. Two things cannot be taken from the process they really run in: a thread goes on
until its function returns, and nobody hears of it; clean-up code (`finally`, `async with`) of activities on the loop
runs when the environment is closed, long after the test has looked at what happened.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from perdure.authoring.registry import Registry
from perdure.codecs import Payloads
from perdure.configuration import Settings
from perdure.engine import Engine, make_executors
from perdure.errors import StoreError
from perdure.execution.active_run import ActiveRun
from perdure.execution.attempts import AttemptExecutor
from perdure.execution.call import ActivityCall
from perdure.execution.late_executor import LateExecutor
from perdure.execution.process_executor import ProcessExecutor
from perdure.execution.tasks import ServedQueues
from perdure.execution.thread_executor import ThreadExecutor
from perdure.execution.worker import Worker
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.identity import WorkerId
from perdure.kernel.options import Executor
from perdure.kernel.transition import Creation, Delivery, Outcome, Park, Release, Seizure, Transition, Write
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.opening import open_store
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.environment.cast import Cast
from perdure.testing.environment.passing_store import StoreCall, passing_store
from perdure.testing.environment.performing import Outside, performing
from perdure.testing.environment.points import Points
from perdure.testing.environment.virtual_time import VirtualLoop, VirtualTime
from perdure.testing.unwinding import unwind

__all__ = ["Life", "World"]


class World:
    """What outlives the lives of one environment: its time, its data, its cast, and where it is struck."""

    def __init__(
        self,
        *,
        time: VirtualTime,
        url: str,
        settings: Settings,
        registry: Registry | None,
        payloads: Payloads | None,
        cast: Cast,
        points: Points,
    ) -> None:
        """Hold what every life needs."""
        self.time: Final = time
        self.url: Final = url
        self.settings: Final = settings
        self.registry: Final = registry
        self.payloads: Final = payloads
        self.cast: Final = cast
        self.points: Final = points
        self.database: Final = MemoryDatabase() if url == "memory:" else None
        self.lives = 0


class Life:
    """An engine on a loop of its own. `Driver` runs the loop; `open` and `close` are for tasks of that loop."""

    def __init__(self, world: World) -> None:
        """Be born; `open` begins."""
        self.world: Final = world
        world.lives += 1
        self.loop: Final = VirtualLoop(world.time)
        self.is_dead = False
        self.is_open = False
        self._outside: Final = Outside()
        self._calls_of_store = 0
        self._store: RunStore | None = None
        self._engine: _PerformingEngine | None = None
        self._executors: dict[Executor, AttemptExecutor] = {}
        self._left: list[asyncio.Task[Any]] = []

    @property
    def worker(self) -> Worker:
        """The worker; the life must be open."""
        assert self._engine is not None
        return self._engine.worker

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that the loop does not see: in a thread, a process, a socket, on the disk."""
        return bool(
            self._calls_of_store
            or self.loop.is_outside
            or self._outside.is_busy
            or (self._outside.on_loop and self.loop.has_connections)
        )

    def now(self) -> datetime:
        """Return the virtual time."""
        return self.world.time.datetime()

    async def open(self) -> None:
        """Open the engine: see `Engine.__aenter__`."""
        self._store = self._make_store()
        self._engine = _PerformingEngine(self)
        await self._engine.__aenter__()
        self.worker.queues = _EveryQueue(self.worker, self.worker.settings, serves=False)
        self.is_open = True

    async def close(self) -> None:
        """Close the engine in an orderly way."""
        if self._engine is not None:
            await self._engine.__aexit__(None, None, None)

    async def point(self, name: str, key: Any) -> None:  # noqa: ANN401 - whatever names the point
        """Pass a point; if the process dies there, or is dead, nobody goes on from it."""
        if self.is_open and not self.is_dead:
            points = self.world.points
            is_spared = points.spares_at_most_once and self._runs_at_most_once()
            if not (is_spared or points.passes(name, key)):
                self.die()
        if self.is_dead:
            await self.loop.create_future()

    def _runs_at_most_once(self) -> bool:
        runs = [] if self._engine is None else self._engine.left_runs()
        return any(pending.attempt_started for run in runs for pending in run.state.activities.values())

    def die(self) -> None:
        """Die now. What is left is let go of by `bury`."""
        self.is_dead = True
        self.loop.stop()

    def bury(self) -> None:
        """Let go of the loop, and of threads, processes and files. No code of this life runs."""
        self.is_dead = True
        database = self.world.database
        if database is not None and isinstance(self._store, MemoryStore):
            with suppress(StoreError):  # one that is not open yet has no session to kill
                database.kill(self._store.worker)
        self._left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for executor in self._executors.values():
            if isinstance(executor, ThreadExecutor | ProcessExecutor | LateExecutor):
                executor.abandon()
        if isinstance(self._store, SqliteStore):
            self._store.abandon()
        if self._engine is not None:
            self._engine.abandon()
        self.loop.close()

    def unwind(self) -> None:
        """Close the coroutines that were left, so that nothing complains when they are collected."""
        left, self._left = self._left, []
        for task in left:
            unwind(task)
        for run in [] if self._engine is None else self._engine.left_runs():
            run.feed.program.close()

    def perform(self, executors: dict[Executor, AttemptExecutor]) -> dict[Executor, AttemptExecutor]:
        """Put the cast before the engine's executors."""
        self._executors = executors
        return performing(executors, self.world.cast, self, self._outside)

    def counted(self) -> RunStore:
        """Return the store with its calls counted, where they are answered by threads."""
        store = self._store
        assert store is not None
        return store if self.world.database is not None else passing_store(lambda: store, self._count)

    async def _count(self, call: StoreCall) -> Any:  # noqa: ANN401 - what a call of the store answers
        self._calls_of_store += 1
        try:
            return await call.make()
        finally:
            self._calls_of_store -= 1

    def _make_store(self) -> RunStore:
        world = self.world
        if world.database is not None:
            return MemoryStore(world.database, gate=_Gate(self))
        return open_store(world.url, settings=world.settings, clock=world.time)


class _PerformingEngine(Engine):
    """An engine whose activities are performed by a cast."""

    def __init__(self, life: Life) -> None:
        world = life.world
        super().__init__(
            life.counted(),
            settings=world.settings,
            registry=world.registry,
            payloads=world.payloads,
            clock=world.time,
            name=f"test-{world.lives}",
        )
        self._life = life

    def left_runs(self) -> list[ActiveRun]:
        """Return the runs in memory, if there is a worker."""
        return [] if self._worker is None else list(self._worker.active.values())

    def abandon(self) -> None:
        """Undo what the engine has changed in this process."""
        restore, self._restore_limit = self._restore_limit, None
        if restore is not None:
            restore()

    def _make_executors(self) -> dict[Executor, AttemptExecutor]:
        return self._life.perform(make_executors(self._life.world.settings))


class _EveryQueue(ServedQueues):
    """All task queues: the cast makes the activities of each."""

    def makes(self, call: ActivityCall) -> bool:
        """Whether the attempts of a call that names a queue are made here."""
        del call
        return True


class _Gate:
    """Every commit passes a point before and after it is applied."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._under_way: dict[asyncio.Task[Any] | None, tuple[str, object]] = {}

    async def before(self, worker: WorkerId, writes: Sequence[Write]) -> None:
        """See `CommitGate.before`."""
        del worker
        if writes and all(type(write) is Release for write in writes):  # depends on how long a run was idle
            await asyncio.sleep(0)
            return
        name = " and ".join(_describe(write) for write in writes) or "the agenda's change"
        key = tuple(_key(write) for write in writes) or self._agenda()
        self._under_way[asyncio.current_task()] = (name, key)
        await self._life.point(f"before the commit of {name}", ("before", key))

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> None:
        """See `CommitGate.after`."""
        del worker, outcomes
        name, key = self._under_way.pop(asyncio.current_task(), ("", ()))
        if name:
            await self._life.point(f"after the commit of {name}", ("after", key))

    def _agenda(self) -> object:
        """Name a change of the agenda by what it changes: the same until a change is applied."""
        database = self._life.world.database
        return None if database is None else database.agenda.versions()


def _key(write: Write) -> object:
    """Name a write so that the same one, made again after a crash, has the same name."""
    match write:
        case Transition(creation=Creation(ref=ref)):
            return str(ref)
        case Seizure():
            return ("Seizure", write.run_key, write.fencing_token)
        case Transition() | Release() | Park():
            return (type(write).__name__, write.run_key, write.expected_sequence)
        case Creation():
            return str(write.ref)
        case Delivery():
            return (str(write.target), write.message_id)


def _describe(write: Write) -> str:
    match write:
        case Transition():
            names = ", ".join(EVENT_NAMES[type(recorded.event)] for recorded in write.events)
            last = write.row.sequence
            return f"event {last - len(write.events) + 1} to {last} ({names}) of run {write.run_key}"
        case Creation():
            return f"the creation of run {write.ref}"
        case Delivery():
            return f"a {type(write.message).__name__} for run {write.target}"
        case Seizure():
            return f"the seizure of run {write.run_key}"
        case Release():
            return f"the release of run {write.run_key}"
        case Park():
            return f"the parking of run {write.run_key}"
