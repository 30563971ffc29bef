"""The journal of a run: what its code may ask for, and what it is told.

Workflow code reaches the kernel through `Journal`, which is what the running loop carries; `current_journal()` finds
it, and finds None outside a workflow. What the code asks for gathers as commands, which the program takes
(`perdure.kernel.coroutine_program`) when the code waits.

Numbering: each command takes the next operation number at the moment it is given. A timer that is started and
cancelled within one event leaves no trace, but keeps its number.

While the history is replayed (`replaying`), every command notes the line of workflow code that gave it; live it does
not, because walking the stack costs more than all the rest.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import msgspec

from perdure.errors import InvalidArgumentError, RunEvicted, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.conditions import Conditions
from perdure.kernel.failure import Conceal, Failure, as_it_is, failure_from_exception
from perdure.kernel.first_use import first_use
from perdure.kernel.identity import Operation
from perdure.kernel.lines import line_of_await, line_of_workflow
from perdure.kernel.loop import DeterministicLoop, TimerCallback
from perdure.kernel.payload import Payload
from perdure.kernel.pending import OpenChild, inherited_children
from perdure.kernel.standing import as_fork
from perdure.kernel.time import Timestamp
from perdure.kernel.update_tasks import UpdateTasks

__all__ = ["ChildWait", "Compensation", "Journal", "RunContinuing", "current_journal"]

C = TypeVar("C", bound=c.Command)
T = TypeVar("T")

_NO_CHILDREN: Final[Mapping[str, "tuple[OpenChild, ChildWait]"]] = {}


class RunContinuing(BaseException):
    """Unwinds workflow code that asked to continue as new (or to be tried again)."""

    def __init__(
        self,
        payload: Payload,
        *,
        attempt: int = 1,
        delay_microseconds: int = 0,
        failure: Failure | None = None,
        definition_version: str = "",
        stages: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.payload = payload
        self.attempt = attempt
        self.delay_microseconds = delay_microseconds
        self.failure = failure
        self.definition_version = definition_version
        self.stages = stages


class Compensation(msgspec.Struct, frozen=True, kw_only=True):
    """How the effect of a finished operation is undone: `perform` makes the coroutine that does it."""

    operation: Operation
    perform: Callable[[], Coroutine[Any, Any, object]]


class ChildWait(msgspec.Struct, kw_only=True):
    """The wait for the end of a child run, shared by all code that waits; `waiting` counts how many do."""

    operation: Operation
    outcome: asyncio.Future[Any]
    waiting: int = 0


class _JournalLoop(DeterministicLoop):
    """The loop of a run's code; `journal` is None once the run has left memory."""

    journal: "Journal | None" = None


class Journal:
    """What a run's code may ask for. One per program; the authoring room gives it a friendly face."""

    # What most runs never use.
    patches = first_use[dict[str, bool]](dict)
    asked_patches = first_use[dict[str, bool]](dict)
    updates = first_use(UpdateTasks)
    query_handlers = first_use[dict[str, Callable[..., Any]]](dict)
    _timers = first_use[dict[int, TimerCallback]](dict)
    _signal_waiters = first_use[dict[str, deque[asyncio.Future[Payload]]]](dict)
    _recorded_side_effects = first_use[dict[int, Payload]](dict)

    def __init__(
        self,
        created: e.RunCreated,
        *,
        on_error: Callable[[str, BaseException | None], None],
        conceal: Conceal = as_it_is,
    ) -> None:
        self.created = created
        self._conceal = conceal
        # The ignored error: the methods that the loop does not define refuse at run time.
        self.loop = _JournalLoop(self, on_error=on_error, seed=created.seed)  # type: ignore[abstract]
        self.loop.journal = self
        self._random: random.Random | None = None
        self._conditions: Conditions | None = None
        self.replaying = False
        self.has_deadlines = False
        self.keys: dict[str, Payload] = dict(created.carried_state)
        self.cancel: e.RunCancelRequested | None = None
        self.waiters: dict[int, asyncio.Future[Any]] = {}
        self.compensations: list[Compensation] = []
        self.inherited = self._wait_for_inherited(created) if created.carried_children else _NO_CHILDREN
        self._suspended: tuple[asyncio.Future[None], ...] = ()
        self._signals: dict[str, deque[Payload]] = {}
        self._operation = 0
        self._commands: list[c.Command] = []
        self._last_taken = 0
        self.is_running = self._is_reading = False
        self.is_continued = False
        self._evicted = False
        self._refusals = 0
        self.main: asyncio.Task[Payload] | None = None

    @property
    def random(self) -> random.Random:
        """The run's own generator, made on first use: seeding one costs more than a step."""
        if not self.is_running:
            self._refuse()
        if self._random is None:
            self._random = random.Random(self.created.seed)  # noqa: S311 - reproducible on purpose
        return self._random

    @property
    def conditions(self) -> Conditions:
        """What the code waits for without an event of its own; made on first use, as most runs wait for none."""
        if self._conditions is None:
            self._conditions = Conditions(self)
            self.loop.at_rest = self._conditions.wake_first
        return self._conditions

    # --- commands ------------------------------------------------------------------------------------------------

    def next_operation(self) -> Operation:
        """Return the number of the next command.

        Raises RunEvicted once the run has left memory, WrongContextError where no code of the run is running.
        """
        if not self.is_running:
            self._refuse()
        self._operation += 1
        return Operation(self._operation)

    def read(self, look: Callable[[], T]) -> T:
        """Call code of the run that may only read: what would change the run, or call an activity, is refused.

        The run's loop counts as the running one meanwhile, by which activities know whose code they are called in.
        """
        was_running, was_reading = self.is_running, self._is_reading
        self.is_running, self._is_reading = False, True
        lets_go, self.loop.journal = self.loop.journal is None, self
        outer = asyncio._get_running_loop()  # noqa: SLF001 - asyncio documents this pair for loop implementers
        asyncio._set_running_loop(self.loop)  # noqa: SLF001 - as above
        try:
            return look()
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001 - as above
            self.is_running, self._is_reading = was_running, was_reading
            if lets_go:  # as the program of a run that has ended
                self.loop.journal = None

    def answer(self, query: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:  # noqa: ANN401 - what the handler returns
        """Have the handler of a query answer. Raises InvalidArgumentError if there is none, naming those there are."""
        handler = self.query_handlers.get(query)
        if handler is None:
            known = ", ".join(sorted(self.query_handlers)) or "none"
            message = f"run {self.created.ref} answers no query {query!r}; it answers: {known}"
            raise InvalidArgumentError(message)
        return self.read(lambda: handler(*args, **kwargs))

    def require_running(self) -> None:
        """Raise as `next_operation` does, where the code would wait for what cannot come."""
        if not self.is_running:
            self._refuse()

    def give(self, command: c.Command) -> None:
        """Ask for `command`. Raises as `next_operation` does."""
        if not self.is_running:
            self._refuse()
        self._commands.append(command)

    def failure_of(self, error: BaseException, *, with_traceback: bool = True) -> Failure:
        """Return what the history may hold of an exception of the run's code."""
        return failure_from_exception(error, with_traceback=with_traceback, conceal=self._conceal)

    def location(self) -> str | None:
        """Return the line of workflow code that asks, while replaying; None live.

        What was handed to a task of its own (`asyncio.gather(step())`) is asked for where the workflow awaits it.
        """
        if not self.replaying:
            return None
        return line_of_workflow() or line_of_await(None if self.main is None else self.main.get_coro())

    def wait(self, operation: Operation) -> asyncio.Future[Any]:
        """Return a future that the outcome of `operation` will resolve. It has no number: no set may hold it."""
        future: asyncio.Future[Any] = asyncio.Future(loop=self.loop)
        self.waiters[operation] = future
        return future

    def wait_for_child(self, operation: Operation) -> ChildWait:
        """Return the wait for the child run that `operation` asked for."""
        return ChildWait(operation=operation, outcome=self.wait(operation))

    def _wait_for_inherited(self, created: e.RunCreated) -> Mapping[str, tuple[OpenChild, ChildWait]]:
        return {child.ref.id: (child, self.wait_for_child(child.operation)) for child in inherited_children(created)}

    def forget(self, operation: Operation) -> bool:
        """Stop waiting for an operation; return whether it was still waited for."""
        return self.waiters.pop(operation, None) is not None and not self._evicted

    def start_timer(self, callback: TimerCallback, due_at: Timestamp) -> None:
        """Serve the loop: see `DurableTimers`."""
        callback.operation = operation = self.next_operation()
        self._timers[operation] = callback
        self._commands.append(c.StartTimer(operation=operation, due_at=due_at, location=self.location()))

    def cancel_timer(self, callback: TimerCallback) -> None:
        """Serve the loop: see `DurableTimers`."""
        operation = Operation(callback.operation)
        if self._evicted or self._timers.pop(operation, None) is None:
            return
        started = self._given_now(c.StartTimer, operation)
        if started is not None:
            del self._commands[started[0]]
        else:
            self._commands.append(c.CancelTimer(operation=operation, location=self.location()))

    def expect_answer(self, operation: Operation) -> bool:
        """Have it told what becomes of a signal; return False if it has been sent by now, or is awaited already."""
        found = self._given_now(c.SendSignal, operation)
        if found is None or found[1].expects_answer:
            return False
        place, given = found
        self._commands[place] = msgspec.structs.replace(given, expects_answer=True)
        return True

    def _given_now(self, kind: type[C], operation: Operation) -> tuple[int, C] | None:
        """Return the place and the command that has this number; None where it was given before this event.

        Complexity: O(1) for those and for the latest, so that giving up a fan-out is not quadratic.
        """
        if operation <= self._last_taken:
            return None
        for place in range(len(self._commands) - 1, -1, -1):
            given = self._commands[place]
            if given.operation == operation and isinstance(given, kind):
                return place, given
        return None

    def take_commands(self) -> list[c.Command]:
        """Return the commands given since the last call."""
        given, self._commands, self._last_taken = self._commands, [], self._operation
        return given

    # --- signals -------------------------------------------------------------------------------------------------

    def next_signal(self, name: str) -> Payload | None:
        """Return the oldest unconsumed signal of this name, if there is one, and consume it."""
        waiting = self._signals.get(name)
        return waiting.popleft() if waiting else None

    def wait_for_signal(self, name: str) -> asyncio.Future[Payload]:
        """Return a future for the next signal of this name. Waiters are served in the order they came."""
        if not self.is_running:
            self._refuse()
        future: asyncio.Future[Payload] = asyncio.Future(loop=self.loop)
        waiters = self._signal_waiters.setdefault(name, deque())
        while waiters and waiters[0].done():  # given up, by a timeout say; a loop that polls must not pile them up
            del waiters[0]
        waiters.append(future)
        return future

    def wait_for_resumption(self) -> asyncio.Future[None]:
        """Return a future for the moment when the run, suspended, goes on."""
        future: asyncio.Future[None] = asyncio.Future(loop=self.loop)
        self._suspended += (future,)
        return future

    def unconsumed_signals(self) -> tuple[e.CarriedSignal, ...]:
        """Return what was received and never waited for, per name in order of arrival."""
        return tuple(e.CarriedSignal(name=n, body=b) for n, bodies in self._signals.items() for b in bodies)

    def put_signal(self, name: str, body: Payload) -> None:
        """Hand a received signal to the first waiter, or keep it."""
        waiters = self._signal_waiters.get(name)
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(body)
                return
        self._signals.setdefault(name, deque()).append(body)

    # --- side effects --------------------------------------------------------------------------------------------

    def recorded_side_effect(self, operation: Operation) -> Payload | None:
        """Return the value recorded for this operation, if the history holds one that is being replayed."""
        return self._recorded_side_effects.pop(operation, None)

    def next_side_effect(self) -> Payload | None:
        """Return what is recorded if the next operation is a side effect that is being replayed."""
        return self._recorded_side_effects.get(self._operation + 1)

    def foresee(self, event: e.Event) -> None:
        """Note, before replaying up to it, an event whose content the code needs when it asks for it."""
        if type(event) is e.VersionDecided:
            self.patches[event.patch] = event.deprecated
        elif type(event) is e.SideEffectRecorded:
            self._recorded_side_effects[event.operation] = event.value
        elif type(event) is e.RunContinued:
            self.is_continued = True

    # --- for the program -----------------------------------------------------------------------------------------

    def fire_timer(self, operation: int) -> None:
        """Run the callback that waits for a timer."""
        callback = self._timers.pop(operation, None)
        if callback is not None:
            self.loop.run_soon(callback)

    def go_on(self) -> None:
        """Let all code go on that suspended the run."""
        suspended, self._suspended = self._suspended, ()
        for future in suspended:
            if not future.done():
                future.set_result(None)

    def become(self, fork: e.RunForked) -> None:
        """Be another run from here on: with a name, a version and a chance of its own."""
        self.created = as_fork(self.created, fork)
        if self._random is not None:
            self._random.seed(fork.seed)

    @property
    def is_evicted(self) -> bool:
        """Whether the run is leaving memory: its code is unwound, and goes on elsewhere."""
        return self._evicted

    def evict(self) -> None:
        """Refuse everything from now on."""
        self._evicted = True
        self.is_running = False
        self._conditions = None

    def _refuse(self) -> None:
        """Refuse what would change the run where none of its code is running.

        To the code of an evicted run RunEvicted is raised, but not for ever: code that catches everything and tries
        again would never end. In the end it may wait, for what never comes.
        """
        if not self._evicted or self._is_reading or current_journal() is not self:
            raise WrongContextError(
                f"the context of run {self.created.ref} was used, or an activity called, where its workflow's code is "
                f"not running: outside, in another run, or in a query handler, a validator or a condition, which may "
                f"only read. What it does there would be missing on the replay; do it in the workflow's code"
            )
        self._refusals += 1
        if self._refusals <= _REFUSALS_LIMIT:
            raise RunEvicted


def current_journal() -> Journal | None:
    """Return the journal of the workflow whose code is running here, or None outside of workflow code."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - the public get_running_loop raises where there is none
    return loop.journal if type(loop) is _JournalLoop else None


_REFUSALS_LIMIT: Final = 1_000
