"""Performing: executors that ask the cast who plays, pass the effect points, and know what is at work outside."""

import inspect
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from perdure.authoring.activity import Activity
from perdure.execution.attempts import AttemptExecutor, RunningCall
from perdure.execution.call import ActivityCall
from perdure.kernel.identity import RunRef
from perdure.kernel.options import ActivityOptions, Executor
from perdure.testing.environment.cast import ActivityCalled, Cast, playing

__all__ = ["Outside", "Stage", "performing"]


class Stage(Protocol):
    """What an attempt needs to know of the life it runs in."""

    @property
    def is_dead(self) -> bool:
        """Whether the process has died."""
        ...

    def now(self) -> datetime:
        """Return the virtual time."""
        ...

    async def point(self, name: str, key: object) -> None:
        """Pass a point. If the process dies there this does not return."""
        ...


class Outside:
    """The attempts of one life: how many run on the loop, and which run in threads and processes."""

    def __init__(self) -> None:
        """Begin with none."""
        self.on_loop = 0
        self._elsewhere: list[ActivityCall] = []

    def began(self, call: ActivityCall) -> None:
        """Note an attempt in a thread or process."""
        self._elsewhere.append(call)

    @property
    def is_busy(self) -> bool:
        """Whether a thread or a process is at work; one that was given up and has not noticed does not count."""
        self._elsewhere = [call for call in self._elsewhere if call.running and not call.running.is_cancelled]
        return bool(self._elsewhere)


def performing(
    executors: dict[Executor, AttemptExecutor], cast: Cast, stage: Stage, outside: Outside
) -> dict[Executor, AttemptExecutor]:
    """Return executors that perform with a cast."""
    on_loop = executors[Executor.LOOP]
    return {kind: _Performing(inner, on_loop, cast, stage, outside) for kind, inner in executors.items()}


class _Performing:
    """One executor, with the cast before it. Stand-ins run on the loop, whatever they stand in for."""

    def __init__(
        self, inner: AttemptExecutor, on_loop: AttemptExecutor, cast: Cast, stage: Stage, outside: Outside
    ) -> None:
        self._inner: Final = inner
        self._on_loop: Final = on_loop
        self._cast: Final = cast
        self._stage: Final = stage
        self._outside: Final = outside

    def start(self, running: RunningCall) -> None:
        if self._stage.is_dead:
            return
        call = running.call
        call.options = _with_lasting_key(call)
        player = self._cast.player(call.definition, _attempt(call))
        if player is None and not call.definition.is_async:
            self._note(running)
            self._outside.began(call)
            self._inner.start(running)
            return
        call.definition = playing(call.definition, self._performance(running, player or call.definition.function))
        self._on_loop.start(running)

    def stop(self, running: RunningCall) -> None:
        (self._on_loop if running.call.definition.is_async else self._inner).stop(running)

    async def close(self) -> None:
        await self._inner.close()

    def _performance(self, running: RunningCall, function: Callable[..., Any]) -> Callable[..., Any]:
        call, stage = running.call, self._stage
        key = _attempt(call)
        title = f"activity {call.activity} of run {_ref(call).id}"

        async def perform(*args: object, **kwargs: object) -> object:
            self._outside.on_loop += 1
            try:
                await stage.point(f"before {title}", ("before", key))
                self._note(running)
                result = function(*args, **kwargs)
                if inspect.isawaitable(result):
                    result = await result
                await stage.point(f"after {title}", ("after", key))
                return result
            finally:
                self._outside.on_loop -= 1

        return perform

    def _note(self, running: RunningCall) -> None:
        call = running.call
        definition: Activity[..., Any] = call.definition
        args, kwargs = definition.signature.decode_arguments(call.input)
        self._cast.calls.append(
            ActivityCalled(
                activity=call.activity,
                args=args,
                kwargs=kwargs,
                run_id=_ref(call).id,
                generation=_ref(call).generation,
                operation=call.operation,
                attempt=call.attempt,
                at=self._stage.now(),
            )
        )


def _with_lasting_key(call: ActivityCall) -> ActivityOptions:
    """Return a call's options with an idempotency key that names the run by its id: the same each time a test runs.

    The engine's own names the run by chance: another one when a process died before it was created.
    """
    if call.options.idempotency_key is not None:
        return call.options
    ref = _ref(call)
    return msgspec.structs.replace(call.options, idempotency_key=f"{ref.id}-{ref.generation}-{call.operation}")


def _attempt(call: ActivityCall) -> Hashable:
    """Name an attempt; the same one, made again after a crash, has the same name."""
    return (call.activity, call.run.run_key, call.operation, call.attempt)


def _ref(call: ActivityCall) -> RunRef:
    created = call.run.created
    assert created is not None, "a run calls activities before it exists"
    return created.ref
