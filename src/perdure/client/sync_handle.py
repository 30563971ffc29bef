"""A run as programs without an event loop hold it: the methods of `Run`, waiting instead of awaiting."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from perdure.authoring.signals import Signal
from perdure.authoring.streams import Stream
from perdure.authoring.updates import Query, Update
from perdure.client.handle import Run
from perdure.client.loop_thread import LoopThread
from perdure.client.streaming import Published
from perdure.client.wishes import ForkOptions
from perdure.kernel.history import RecordedEvent
from perdure.kernel.priority import Priority
from perdure.ports.store import RunSummary

__all__ = ["SyncRun"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")
P = ParamSpec("P")


class SyncRun(Generic[R_co]):
    """A run that exists; the methods of `Run`, waiting instead of awaiting."""

    def __init__(self, loop: LoopThread, run: Run[R_co]) -> None:
        """Build from parts; `SyncClient.start` and `get_run` return handles."""
        self._loop = loop
        self._run = run

    @property
    def id(self) -> str:
        """The run's business key."""
        return self._run.id

    @property
    def namespace(self) -> str:
        """The run's namespace."""
        return self._run.namespace

    def result(self, *, timeout: timedelta | None = None) -> R_co:
        """Wait for the run's end and return its result; errors as for `Run.result`."""
        return self._loop.call(self._run.result(timeout=timeout))

    def describe(self) -> RunSummary:
        """Return the run's row."""
        return self._loop.call(self._run.describe())

    def history(self) -> list[RecordedEvent]:
        """Return the events of the run's latest generation so far."""
        return self._loop.call(_collect(self._run.history()))

    def watch(self) -> Iterator[RecordedEvent]:
        """Yield the run's events, those so far and each new one when it is durable; see `Run.watch`."""
        return self._loop.iterate(self._run.watch())

    def stream(self, stream: Stream[T], *, after: str = "", follow: bool = True) -> Iterator[Published[T]]:
        """Yield what the run publishes on a stream; see `Run.stream`."""
        return self._loop.iterate(self._run.stream(stream, after=after, follow=follow))

    @overload
    def query(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def query(self, query: str, *args: object) -> Any: ...  # noqa: ANN401 - what the handler returns
    def query(self, query: object, *args: object, **kwargs: object) -> Any:
        """Ask the run; see `Run.query`."""
        asked: Any = query  # the overloads of `Run.query` take one kind each
        return self._loop.call(self._run.query(asked, *args, **kwargs))

    def signal(self, signal: Signal[T], body: T | None = None, *, request_id: str | None = None) -> None:
        """Send a signal; return when it is durable."""
        self._loop.call(self._run.signal(signal, body, request_id=request_id))

    @overload
    def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["completed"] = "completed",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> U: ...
    @overload
    def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["accepted"],
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> None: ...
    def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["accepted", "completed"] = "completed",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> U | None:
        """Let the run answer an update; see `Run.update`."""
        run: Any = self._run  # the overloads of `Run.update` take one value of `wait` each
        answer: U | None = self._loop.call(run.update(update, input, wait=wait, request_id=request_id, timeout=timeout))
        return answer

    def cancel(
        self, reason: str = "", *, grace: timedelta | None = None, by: str = "", request_id: str | None = None
    ) -> None:
        """Ask the run to end with clean-up."""
        self._loop.call(self._run.cancel(reason, grace=grace, by=by, request_id=request_id))

    def terminate(self, reason: str = "", *, by: str = "", request_id: str | None = None) -> None:
        """Stop the run now, without clean-up."""
        self._loop.call(self._run.terminate(reason, by=by, request_id=request_id))

    def suspend(self, reason: str = "", *, by: str = "", request_id: str | None = None) -> None:
        """Hold the run still."""
        self._loop.call(self._run.suspend(reason, by=by, request_id=request_id))

    def resume(self, *, by: str = "", request_id: str | None = None) -> None:
        """Let a suspended run go on."""
        self._loop.call(self._run.resume(by=by, request_id=request_id))

    def set_priority(
        self, priority: Priority, *, reason: str = "", by: str = "", request_id: str | None = None
    ) -> None:
        """Change the run's priority class."""
        self._loop.call(self._run.set_priority(priority, reason=reason, by=by, request_id=request_id))

    def retry(
        self, reason: str = "", *, by: str = "", version: str | None = None, request_id: str | None = None
    ) -> "SyncRun[R_co]":
        """Go on with a run that failed, was cancelled or terminated; see `Run.retry`."""
        call = self._run.retry(reason, by=by, version=version, request_id=request_id)
        return SyncRun(self._loop, self._loop.call(call))

    def reset(
        self, reason: str = "", *, request_id: str | None = None, **options: Unpack[ForkOptions]
    ) -> "SyncRun[R_co]":
        """Go on from a point of the history; see `Run.reset`."""
        return SyncRun(self._loop, self._loop.call(self._run.reset(reason, request_id=request_id, **options)))

    def fork(
        self,
        reason: str = "",
        *,
        id: str | None = None,
        request_id: str | None = None,
        **options: Unpack[ForkOptions],
    ) -> "SyncRun[R_co]":
        """Start a run beside this one, with its history up to a point; see `Run.fork`."""
        return SyncRun(self._loop, self._loop.call(self._run.fork(reason, id=id, request_id=request_id, **options)))


async def _collect(events: Any) -> list[RecordedEvent]:  # noqa: ANN401 - any asynchronous iterator
    return [recorded async for recorded in events]
