"""The test environment for synchronous tests: the operations of `TestEnvironment`, waiting instead of awaiting."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, Self, TypeVar, overload

from perdure.authoring.activity import Activity
from perdure.authoring.registry import Registry
from perdure.client.sync import SyncClient
from perdure.client.sync_handle import SyncRun
from perdure.codecs import Payloads
from perdure.configuration import Settings
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.testing.environment.cast import ActivityCalled, Played
from perdure.testing.environment.environment import EPOCH, TestEnvironment
from perdure.testing.time_travel import Moment

__all__ = ["SyncTestEnvironment"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class SyncTestEnvironment(SyncClient):
    """An engine for one synchronous test: ``with SyncTestEnvironment() as env: run = env.start(...)``.

    It has every operation of a `SyncEngine`, and time as a `TestEnvironment` has it. Stand-ins are called in a
    thread of the environment, not in the test's.
    """

    __test__ = False  # no test, though pytest takes the name for one

    def __init__(
        self,
        store: str = "memory:",
        *,
        namespace: str = DEFAULT_NAMESPACE,
        settings: Settings | None = None,
        registry: Registry | None = None,
        payloads: Payloads | None = None,
        strict: bool = False,
        start: datetime = EPOCH,
        patience: timedelta = timedelta(seconds=5),
    ) -> None:
        """Describe an environment; see `TestEnvironment`."""
        self.inside = TestEnvironment(
            store,
            namespace=namespace,
            settings=settings,
            registry=registry,
            payloads=payloads,
            strict=strict,
            start=start,
            patience=patience,
        )
        super().__init__(lambda: self.inside)

    @classmethod
    def around(cls, environment: TestEnvironment) -> Self:
        """Return the synchronous face of an environment that is not open yet."""
        around = cls()
        around.inside = environment
        return around

    @property
    def crashes(self) -> int:
        """How often the process has died so far."""
        return self.inside.crashes

    def crash_and_recover(self) -> None:
        """Let the process die and start another one; see `TestEnvironment.crash_and_recover`."""
        self._wait(self.inside.crash_and_recover)

    def now(self) -> datetime:
        """Return the virtual time."""
        return self.inside.now()

    def advance(self, duration: timedelta) -> None:
        """Let so much time pass; all that is due until then has happened, at its time, when this returns."""
        self._wait(self.inside.advance, duration)

    def run_until_idle(self) -> None:
        """Return when nothing more happens without time, a message or the world outside. No time passes."""
        self._wait(self.inside.run_until_idle)

    @overload
    def replace(self, activity: Played[P, R], stand_in: Callable[P, Awaitable[R]], /) -> None: ...
    @overload
    def replace(self, activity: Played[P, R], stand_in: Callable[P, R], /) -> None: ...
    def replace(self, activity: Any, stand_in: Callable[..., Any], /) -> None:
        """Have a function called in place of an activity; see `TestEnvironment.replace`."""
        self.inside.replace(activity, stand_in)

    def restore(self, activity: Activity[..., Any]) -> None:
        """Let an activity be itself again: no stand-in, no failures."""
        self.inside.restore(activity)

    def fail_next(self, activity: Activity[..., Any], error: Exception, *, times: int | None = 1) -> None:
        """Have the next attempts of an activity raise `error`; see `TestEnvironment.fail_next`."""
        self.inside.fail_next(activity, error, times=times)

    def calls(self, activity: Activity[..., Any] | None = None) -> list[ActivityCalled]:
        """Return the attempts that were made so far; see `TestEnvironment.calls`."""
        return self.inside.calls(activity)

    def assert_played(self) -> None:
        """Fail if a stand-in was never called, or what else; see `TestEnvironment.assert_played`."""
        __tracebackhide__ = True
        self.inside.assert_played()

    def history(self, run: SyncRun[Any]) -> list[RecordedEvent]:
        """Return the events of a run's latest generation so far."""
        return run.history()

    def at(self, run: SyncRun[Any], *, event: int) -> Moment:
        """Go to event number `event` of a run's history; see `TestEnvironment.at`."""
        return self.moment(run.history(), event)

    def moment(self, history: Sequence[RecordedEvent], event: int) -> Moment:
        """Go to an event of a history; see `at`."""
        return self.inside.moment(history, event)

    def _wait(self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        loop, _ = self._open()
        return loop.call(work(*args, **kwargs))
