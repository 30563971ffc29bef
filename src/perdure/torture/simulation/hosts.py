"""Hosts: what runs in a simulated process, an engine and perhaps a client program beside it, from boot to death."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from perdure.engine import Engine
from perdure.errors import StoreError
from perdure.torture.simulation.driving import Progress, drive
from perdure.torture.simulation.program import Call
from perdure.torture.simulation.store import SimulatedStore
from perdure.torture.simulation.world import Process

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["Host", "Program"]


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does, and how far it has come, which survives its process."""

    calls: list[Call]
    progress: Progress


class Host:
    """A process' main program: an engine, and perhaps the client program beside it."""

    def __init__(self, trial: "Trial", process: Process, name: str, program: Program | None) -> None:
        """Be ready to live in `process`, called `name` through all its lives."""
        self.trial = trial
        self.process = process
        self.name = name
        self.program = program
        self.engine: Engine | None = None
        self.store = self._new_store()
        self.main: asyncio.Task[None] | None = None
        self._restart: asyncio.Event | None = None
        self._pause_seconds = 0.0
        self._client: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """Work until the process dies; begin anew after a restart."""
        trial = self.trial
        while not self.process.is_dead:
            self._restart = asyncio.Event()
            engine = Engine(
                self.store,
                settings=trial.settings_of(self.name),
                name=self.process.name,
                works=not self.process.is_client,
                clock=trial.world,
            )
            try:
                await engine.__aenter__()
            except StoreError:
                await asyncio.sleep(_PAUSE_SECONDS)
                self.store = self._new_store()
                continue
            except Exception as error:  # noqa: BLE001 - whatever keeps an engine from starting is to be known
                trial.not_started(self.process, error)
                return
            trial.has_started = True
            worker = engine.worker
            trial.remember(worker)
            worker.listeners.append(partial(trial.compare_live_state, worker))
            self.engine = engine
            if self.program is not None and not self.program.progress.is_finished:
                self._client = self.process.start(self._drive(engine, self.program))
            await self._restart.wait()
            await self.close()
            await asyncio.sleep(self._pause_seconds)
            self.store = self._new_store()

    async def close(self) -> None:
        """Let the client go, and close the engine in an orderly way."""
        engine, self.engine = self.engine, None
        if self._client is not None:
            self._client.cancel()
            await asyncio.wait({self._client})
        if engine is not None:
            self._check_background(engine)
            await engine.__aexit__(None, None, None)

    def die_visibly(self) -> None:
        """Let others notice the death of the process at once."""
        session = self.store._session  # noqa: SLF001 - killed from outside, as a process is
        if session is not None:
            self.trial.database.kill(session.worker)

    def restart(self, pause_seconds: float) -> None:
        """Close the engine, and open another after a pause."""
        self._pause_seconds = pause_seconds
        if self._restart is not None:
            self._restart.set()

    def _new_store(self) -> SimulatedStore:
        trial = self.trial
        store = SimulatedStore(trial.database, self.process, trial.shadow, trial.tables)
        store.commits_at_once = trial.plan.commits_at_once
        return store

    async def _drive(self, engine: Engine, program: Program) -> None:
        world, progress = self.trial.world, program.progress
        try:
            await drive(program.calls, progress, engine, self.trial.tables)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises to a client that did nothing wrong is a finding
            world.findings.append(f"client: {progress.current}: {type(error).__name__}: {error}")
        world.has_changed = True

    def _check_background(self, engine: Engine) -> None:
        for task in engine.worker._tasks:  # noqa: SLF001 - whether the engine's own tasks live is what is asked
            if task.done() and not task.cancelled() and task.exception() is not None:
                self.trial.world.findings.append(f"{task.get_name()} of {self.process.name} died: {task.exception()!r}")


_PAUSE_SECONDS = 0.3
