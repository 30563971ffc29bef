"""The bridge: the test's own event loop on one side, the engine's virtual one on the other.

To the client operations of an environment it is the engine (a `Gateway`). It is also the client that every durable
engine wants: a call whose process dies before it has answered is made again in the next life. That is safe because
each carries what tells a repetition: the key of the new run, the id of the message.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, Unpack

import msgspec

from perdure.authoring.registry import Registry
from perdure.client.gateway import Publication
from perdure.errors import PerdureError
from perdure.kernel import messages as m
from perdure.kernel.events import Event
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.journal import Journal
from perdure.kernel.transition import Applied, Creation, Exists, MessageIds, Outcome
from perdure.ports.agenda import AgendaChange
from perdure.ports.clock import Clock
from perdure.ports.store import Changes, RunStore, RunSummary
from perdure.testing.environment.driving import Driver
from perdure.testing.environment.life import Life
from perdure.testing.environment.passing_store import StoreCall, passing_store
from perdure.testing.environment.taken_run import BridgedTakenRun

__all__ = ["Bridge"]

T = TypeVar("T")


class Bridge:
    """The worker of the present life, as the loop of the test sees it: see `perdure.client.gateway.Gateway`."""

    def __init__(
        self, driver: Driver, clock: Clock, registry: Registry, *, ready: Callable[[], Awaitable[None]]
    ) -> None:
        """Lead nowhere yet. `ready` has a life opened, and returns when it is."""
        self.clock: Final = clock
        self.registry: Final = registry
        self.listeners: list[Publication] = []
        self._driver: Final = driver
        self._ready: Final = ready
        self._life: Life | None = None
        self._latest: Life | None = None
        self._answers: set[asyncio.Future[Any]] = set()
        self.is_used = False
        self._closings: dict[asyncio.Future[Event | None], tuple[RunKey, Any]] = {}
        self.store: Final[RunStore] = passing_store(lambda: self._worker_store, self._pass)

    # --- lives ---------------------------------------------------------------------------------------------------

    def lead_to(self, life: Life) -> None:
        """Lead to a life that has just been opened, or is."""
        self._life = self._latest = life
        life.worker.listeners.append(self._published)

    def lead_nowhere(self) -> None:
        """Let everybody who waits for an answer of a life that has died wait for the next."""
        self._life = None
        answers, self._answers = self._answers, set()
        for answer in answers:
            if not answer.done():
                answer.set_exception(_DiedError())
        for future in list(self._closings):
            self._closings[future] = (self._closings[future][0], None)
            if not future.done():
                future.set_result(None)

    def fail(self, error: PerdureError) -> None:
        """Tell everybody who waits for the end of a run that it will not come."""
        for future in list(self._closings):
            if not future.done():
                future.set_exception(error)

    async def call(self, make: Callable[[Life], Awaitable[T]]) -> T:
        """Have a coroutine run in the life, and return what it does; made again in the next life if this one dies."""
        while True:
            await self._ready()
            if self._life is None:  # it has died since
                continue
            try:
                return await self._ask(self._life, make)
            except _DiedError:
                continue

    async def _ask(self, life: Life, make: Callable[[Life], Awaitable[T]]) -> T:
        answer: asyncio.Future[T] = self._driver.host.create_future()
        task = life.loop.create_task(_run(make, life))
        task.add_done_callback(lambda done: _answer(answer, done))
        self._answers.add(answer)
        self._driver.wake()
        try:
            return await answer
        except asyncio.CancelledError:
            if not life.is_dead:
                task.cancel()
                self._driver.wake()
            raise
        finally:
            self._answers.discard(answer)

    @property
    def worker_id(self) -> WorkerId:
        """The session of the latest life."""
        return WorkerId(0) if self._latest is None else self._latest.worker.worker_id

    @property
    def _worker_store(self) -> RunStore:
        assert self._latest is not None, "a client operation did not wait for the engine"
        return self._latest.worker.store

    async def _pass(self, call: StoreCall) -> Any:  # noqa: ANN401 - what a call of the store answers
        lives: list[Life] = []

        def make(life: Life) -> Awaitable[Any]:
            lives.append(life)
            return call.make()

        answer = await self.call(make)
        self.is_used = self.is_used or call.name == "change_agenda"
        if call.name == "change_agenda" and answer is False and len(lives) > 1:
            return await self._is_applied(call.args[0])
        return answer

    async def _is_applied(self, change: AgendaChange) -> bool:
        """Tell a change that a life has made, and died before it could answer, from one that was refused."""
        entry = await self.store.find_agenda(change.key)
        return change.entry is None if entry is None else entry == change.entry

    # --- the gateway ---------------------------------------------------------------------------------------------

    async def start(self, creation: Creation) -> Outcome:
        """See `Gateway.start`. A run that was created by a call that got no answer is the caller's."""
        self.is_used = True
        tried: list[RunKey] = []

        def start(life: Life) -> Awaitable[Outcome]:
            run_key = life.worker.store.new_run_key() if tried else creation.run_key
            tried.append(run_key)
            return life.worker.start(msgspec.structs.replace(creation, run_key=run_key))

        outcome = await self.call(start)
        return Applied(outcome.run_key) if isinstance(outcome, Exists) and outcome.run_key in tried else outcome

    def take_over(self, summary: RunSummary) -> BridgedTakenRun:
        """See `Gateway.take_over`."""
        self.is_used = True
        return BridgedTakenRun(self, summary)

    async def deliver(self, target: RunKey | RunRef, message: m.Message, **ids: Unpack[MessageIds]) -> RunKey:
        """See `Gateway.deliver`. Always a request with an id, so that it is had once however many lives are asked."""
        ids["request_id"] = ids.get("request_id") or ids["message_id"]
        return await self.call(lambda life: life.worker.deliver(target, message, **ids))

    def hear(self, changes: Changes) -> None:
        """See `Gateway.hear`."""
        if self._life is not None:
            self._life.worker.hear(changes)
            self._driver.wake()

    def agenda_changed(self) -> None:
        """See `Gateway.agenda_changed`."""
        if self._life is not None:
            self._life.worker.agenda_changed()
            self._driver.wake()

    def closing(self, run_key: RunKey) -> "asyncio.Future[Event | None]":
        """See `Gateway.closing`. While somebody waits for the end of a run, time passes."""
        future: asyncio.Future[Event | None] = self._driver.host.create_future()
        inner = None
        if self._life is None:
            future.set_result(None)
        else:
            inner = self._life.worker.closing(run_key)
            inner.add_done_callback(lambda done: _answer(future, done))
        self._closings[future] = (run_key, inner)
        self._driver.waits += 1
        self._driver.wake()
        return future

    def note_waiting(self, run: RunSummary) -> None:
        """See `Gateway.note_waiting`."""
        if self._life is not None:
            self._life.worker.note_waiting(run)

    def stop_waiting(self, run_key: RunKey, future: "asyncio.Future[Event | None]") -> None:
        """See `Gateway.stop_waiting`."""
        _, inner = self._closings.pop(future)
        self._driver.waits -= 1
        if inner is not None and self._life is not None:
            self._life.worker.stop_waiting(run_key, inner)

    def holds(self, run_key: RunKey) -> bool:
        """See `Gateway.holds`."""
        return self._life is not None and self._life.worker.holds(run_key)

    @asynccontextmanager
    async def view(self, summary: RunSummary) -> AsyncIterator[Journal]:
        """See `Gateway.view`."""
        manager = await self.call(lambda life: _enter(life, summary))
        try:
            yield manager[1]
        finally:
            await self.call(lambda _life: manager[0].__aexit__(None, None, None))

    def _published(self, ref: RunRef, events: Sequence[RecordedEvent]) -> None:
        for listener in tuple(self.listeners):
            listener(ref, events)


class _DiedError(Exception):
    """The life that was asked has died."""


async def _run(make: Callable[[Life], Awaitable[T]], life: Life) -> T:
    return await make(life)


async def _enter(life: Life, summary: RunSummary) -> tuple[Any, Journal]:
    manager = life.worker.view(summary)
    return manager, await manager.__aenter__()


def _answer(answer: "asyncio.Future[T]", done: "asyncio.Future[T]") -> None:
    """Carry what became of a future of one loop over to one of the other."""
    if answer.done():
        if not done.cancelled():
            done.exception()
    elif done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
