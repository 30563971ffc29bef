"""What the client needs from the engine underneath it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Unpack

from perdure.authoring.arguments import require_text
from perdure.authoring.registry import Registry
from perdure.errors import RunNotFoundError, WrongContextError
from perdure.kernel import messages as m
from perdure.kernel.events import Event
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId
from perdure.kernel.journal import Journal, current_journal
from perdure.kernel.transition import Creation, MessageIds, Outcome, Transition
from perdure.ports.clock import Clock
from perdure.ports.store import Changes, RunStore, RunSummary

__all__ = ["Gateway", "Publication", "key_of", "missing", "require_outside"]

Publication = Callable[[RunRef, Sequence[RecordedEvent]], None]
"""Told of each durable transition of a run in this process."""


class TakenRun(Protocol):
    """An open run that is to be ended from outside; see `perdure.execution.taking_over`."""

    @property
    def fencing_token(self) -> FencingToken:
        """The one that its row holds when it is seized."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether it is seized and not ended."""
        ...

    async def take(self, end: Transition) -> bool:
        """Seize it, and end it; return whether it is ended."""
        ...

    async def end(self, end: Transition) -> bool:
        """End it when it is held; return whether it is ended."""
        ...

    def let_go(self) -> None:
        """Give it back if it is held."""
        ...


class Gateway(Protocol):
    """The worker, as the client sees it."""

    listeners: list[Publication]

    @property
    def worker_id(self) -> WorkerId:
        """This process' session in the store."""
        ...

    @property
    def store(self) -> RunStore:
        """The store."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def registry(self) -> Registry:
        """The definitions of this process."""
        ...

    async def start(self, creation: Creation) -> Outcome:
        """Create a run: Applied or Exists."""
        ...

    def take_over(self, summary: RunSummary) -> TakenRun:
        """Return an open run, to be ended from outside, whoever owns it."""
        ...

    async def deliver(self, target: RunKey | RunRef, message: m.Message, **ids: Unpack[MessageIds]) -> RunKey:
        """Bring a message to a run; when it is durable, return the key of the one that has taken it in.

        With a `request_id`: unless that was done before, by another run than the `unanswered` one.
        """
        ...

    def hear(self, changes: Changes) -> None:
        """Take note of runs that this process has just changed in the store, past the worker."""
        ...

    def agenda_changed(self) -> None:
        """Have what the agenda has due looked at."""
        ...

    def closing(self, run_key: RunKey) -> "asyncio.Future[Event | None]":
        """Return a future for the event that ends a run. None says: look into the store again."""
        ...

    def note_waiting(self, run: RunSummary) -> None:
        """Log, once, why an open run for which somebody waits does not go on in this process."""
        ...

    def stop_waiting(self, run_key: RunKey, future: "asyncio.Future[Event | None]") -> None:
        """Forget a future of `closing`."""
        ...

    def holds(self, run_key: RunKey) -> bool:
        """Whether the run is in this process' memory, open."""
        ...

    def view(self, summary: RunSummary) -> AbstractAsyncContextManager[Journal]:
        """Show a run's code as its history left it, for reading: the live one, or a replayed copy."""
        ...


def require_outside() -> None:
    """Raise WrongContextError in workflow code, which would ask the engine again on every replay."""
    if current_journal() is not None:
        message = (
            "workflow code used the engine or the handle of a run, and would do so again on every replay; use "
            "ctx.run_child, ctx.start_child and ctx.signal, or use the engine in an activity"
        )
        raise WrongContextError(message)


def missing(target: RunKey | RunRef) -> RunNotFoundError:
    """Return the error for a run that there is not."""
    return RunNotFoundError(f"there is no run {target}; compare its id with those that list_runs() gives")


async def key_of(gateway: Gateway, namespace: str, run_id: str, *, asked_by: str) -> RunKey:
    """Return the key of the latest run of an id. Raises RunNotFoundError, InvalidArgumentError."""
    ref = RunRef(namespace=namespace, id=require_text(run_id, f"{asked_by}: run_id"))
    summary = await gateway.store.find(ref)
    if summary is None:
        raise missing(ref)
    return summary.run_key
