"""The updates of a run's code: its handlers, and the tasks in which accepted updates are handled.

A validator may only read: what it asks for, or the call of an activity, is refused. A handler is a task of the
run's loop like any other. Only what it returns or raises is recorded; a cancellation of the run does not reach it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.errors import RunEvicted
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.program import Answer, Verdict

if TYPE_CHECKING:
    from perdure.kernel.journal import Journal

__all__ = ["UpdateHandler", "UpdateTasks"]


class UpdateHandler(msgspec.Struct, frozen=True, kw_only=True):
    """How a run answers updates of one name: `validate` raises for one to refuse, `perform` makes the coroutine."""

    validate: Callable[[Payload], object]
    perform: Callable[[Payload], Coroutine[Any, Any, Payload]]


class UpdateTasks:
    """The handlers by name, and what is being handled."""

    __slots__ = ("_accepted", "_handlers", "_tasks")

    def __init__(self) -> None:
        """Begin with no handlers."""
        self._handlers: dict[str, UpdateHandler] | None = None
        self._accepted: tuple[e.UpdateAccepted, ...] = ()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def register(self, journal: "Journal", name: str, handler: UpdateHandler) -> None:
        """Answer updates of this name; those that an older version of the code accepted are handled now."""
        self._handlers = {**(self._handlers or {}), name: handler}
        mine = [event for event in self._accepted if event.name == name]
        self._accepted = tuple(event for event in self._accepted if event.name != name)
        for event in mine:
            self.accept(journal, event)

    def consider(self, journal: "Journal", name: str, body: Payload) -> Verdict:
        """Say what becomes of an update; see `Program.consider`."""
        handler = (self._handlers or {}).get(name)
        if handler is None:
            return Answer.WAITS
        try:
            journal.read(lambda: handler.validate(body))
        except Exception as error:  # noqa: BLE001 - whatever the user's validator raises is its refusal
            return journal.failure_of(error, with_traceback=False)
        return Answer.ACCEPTED

    def accept(self, journal: "Journal", event: e.UpdateAccepted) -> None:
        """Begin to handle an update that was accepted."""
        handler = (self._handlers or {}).get(event.name)
        if handler is None:
            self._accepted += (event,)
            return
        # In a context of its own, as the workflow's code: what the caller has set is not on the replay.
        task = journal.loop.create_task(_handle(journal, handler, event), context=Context())
        self._tasks = (*(task for task in self._tasks if not task.done()), task)

    def under_way(self) -> tuple["asyncio.Task[None]", ...]:
        """Return the tasks of the updates that are being handled."""
        return tuple(task for task in self._tasks if not task.done())


async def _handle(journal: "Journal", handler: UpdateHandler, event: e.UpdateAccepted) -> None:
    result, failure = NULL, None
    try:
        result = await handler.perform(event.body)
    except (GeneratorExit, RunEvicted):
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost call of user code, whose every end is an answer
        failure = journal.failure_of(error)
    journal.give(
        c.CompleteUpdate(
            operation=journal.next_operation(),
            update_id=event.update_id,
            result=result,
            failure=failure,
            location=journal.location(),
        )
    )
