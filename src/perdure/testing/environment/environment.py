"""The test environment: an engine whose time is virtual, whose activities can be played, and which can die."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack, cast, overload

import msgspec

from perdure.authoring.activity import Activity
from perdure.authoring.arguments import require_duration, require_moment
from perdure.authoring.registry import Registry, default_registry
from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import Workflow
from perdure.client.client import Client
from perdure.client.gateway import Gateway, require_outside
from perdure.client.handle import Run
from perdure.client.schedules import Schedules
from perdure.client.start_rules import AnyStartOptions, has_rule
from perdure.client.starting import StartOptions
from perdure.codecs import Payloads
from perdure.configuration import Settings
from perdure.errors import EngineClosedError, InvalidArgumentError, UsageError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.kernel.time import Timestamp
from perdure.stores.memory import MemoryDatabase
from perdure.testing.environment.bridge import Bridge
from perdure.testing.environment.cast import ActivityCalled, Cast, Played
from perdure.testing.environment.driving import Driver
from perdure.testing.environment.life import Life, World
from perdure.testing.environment.points import Points, undisturbed
from perdure.testing.environment.virtual_time import HORIZON_SECONDS, VirtualTime
from perdure.testing.time_travel import Moment, moment_of

__all__ = ["EPOCH", "StandstillError", "TestEnvironment"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
U = TypeVar("U")

EPOCH: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""When every environment begins, unless it says otherwise."""


class StandstillError(UsageError):
    """A test waits for something that will never happen: nothing runs, no timer is set, no message comes."""


class TestEnvironment(Client):
    """An engine for one test: ``async with TestEnvironment() as env: run = await env.start(...)``.

    It has every operation of an `Engine`. Its time stands still, and passes in three cases only: while the test waits
    for a run (`result`, `watch`, an update), in `advance`, and when it is closed; then it jumps to the next timer
    whenever nothing runs. What runs in a thread or a process, or waits for a socket, holds it up; `asyncio.sleep` in an
    activity on the loop is virtual like every timer there. Limits of calls, as in ``run.result(timeout=...)``, are
    real: they guard the test.
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
        points: Points | None = None,
        cast: Cast | None = None,
    ) -> None:
        """Describe an environment; it opens with ``async with``, or with the first call.

        `store`: ``memory:``; ``sqlite:`` for a database in a temporary folder; or the url of one. `settings`,
        `registry`, `payloads`: as for `Engine`. `strict`: an activity that is not replaced fails, and
        `assert_played` is called in the end. `start`: the virtual
        time at which it begins. `patience`: how long, in real time, the test may wait for a run while nothing can
        happen; then it gets a `StandstillError`. `points` and `cast` are for `crash_everywhere`.

        Raises InvalidArgumentError.
        """
        super().__init__(namespace=namespace)
        self._description: dict[str, Any] = {
            "namespace": namespace,
            "settings": settings,
            "registry": registry,
            "payloads": payloads,
            "strict": strict,
            "start": start,
            "patience": patience,
        }
        self._closing = ExitStack()
        self._time = VirtualTime(Timestamp(require_moment(start, "start")))
        self._cast = cast or Cast(is_strict=strict)
        self._world = World(
            time=self._time,
            url=self._url(store),
            settings=_for_tests(settings or Settings()),
            registry=registry,
            payloads=payloads,
            cast=self._cast,
            points=points or Points(undisturbed),
        )
        self._driver = Driver(
            self._time,
            patience_seconds=require_duration(patience, "patience") / 1e6,
            is_busy=lambda: self._life is not None and self._life.is_busy,
            after_turn=self._look_after_life,
            on_standstill=self._stand_still,
        )
        self._bridge = Bridge(self._driver, self._time, registry or default_registry, ready=self._ready)
        self._life: Life | None = None
        self._opening: asyncio.Task[None] | None = None
        self._buried: list[Life] = []
        self._started: dict[str, int] = {}
        self._named = 0
        self._requested = 0
        self._is_closed = False

    # --- life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the engine. Raises a StoreError if the database cannot be used."""
        await self._ready()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the engine in an orderly way. Raises AssertionError of a strict environment; see `assert_played`."""
        life = self._life
        try:
            if life is not None and not life.is_dead and exc is None:
                with self._driver.waiting():
                    await self._bridge.call(lambda life: life.close())
        finally:
            self.dispose()
        if exc is None and self.is_strict:
            self.assert_played()

    def dispose(self) -> None:
        """End the environment at once, as a death would; for fixtures that have no event loop. Twice does nothing."""
        self._is_closed = True
        if self._opening is not None and not self._opening.get_loop().is_closed():
            self._opening.cancel()
        life, self._life = self._life, None
        self._driver.release()
        if life is not None:
            self._bury(life)
        buried, self._buried = self._buried, []
        for each in buried:
            each.unwind()
        self._closing.close()

    async def crash_and_recover(self) -> None:
        """Let the process die as hard as a power cut, and start another one on the same data, at the same time.

        Nothing is flushed, the memory is lost, what was not committed is gone. Stand-ins and recorded calls stay: they
        are the world outside. Returns when the new process works.
        """
        await self._ready()
        if self._life is not None:
            self._life.die()
            self._look_after_life()
        await self._ready()

    def sibling(self, points: Points) -> "TestEnvironment":
        """Return another environment in memory, described and replaced like this one, whose process dies at `points`.

        Raises InvalidArgumentError if runs or schedules were begun in this one, which the other would not have.
        """
        if self._bridge.is_used:
            message = (
                "runs were started (or schedules made) in the environment before the scenario that is to crash "
                "everywhere; start them in the scenario, so that each pass has its own"
            )
            raise InvalidArgumentError(message)
        return TestEnvironment(points=points, cast=self._cast.again(), **self._description)

    @property
    def is_strict(self) -> bool:
        """Whether an activity that is not replaced fails."""
        return self._cast.is_strict

    @property
    def is_closed(self) -> bool:
        """Whether the environment has ended."""
        return self._is_closed

    @property
    def database(self) -> MemoryDatabase:
        """The tables, of an environment in memory. Raises UsageError for one that is not."""
        if self._world.database is None:
            message = "this environment keeps its data in a file; only one in memory shows its tables"
            raise UsageError(message)
        return self._world.database

    @property
    def crashes(self) -> int:
        """How often the process has died so far."""
        return max(self._world.lives - 1, 0)

    # --- time ----------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._time.datetime()

    async def advance(self, duration: timedelta) -> None:
        """Let so much time pass; all that is due until then has happened, at its time, when this returns."""
        moment = self._time.now() + require_duration(duration, "advance: duration", may_be_zero=True)
        await self._ready()
        await self._driver.advance_to(Timestamp(moment))

    async def run_until_idle(self) -> None:
        """Return when nothing more happens without time, a message or the world outside. No time passes."""
        await self._ready()
        await self._driver.until_idle()

    # --- activities ----------------------------------------------------------------------------------------------

    @overload
    def replace(self, activity: Played[P, R], stand_in: Callable[P, Awaitable[R]], /) -> None: ...
    @overload
    def replace(self, activity: Played[P, R], stand_in: Callable[P, R], /) -> None: ...
    def replace(self, activity: object, stand_in: Callable[..., Any], /) -> None:
        """Have a function called in place of an activity: a coroutine function or a plain one, on the loop.

        Raises InvalidArgumentError if it cannot be called as the activity is.
        """
        self._cast.replace(_require_activity(activity, "replace"), stand_in)

    def restore(self, activity: Activity[..., Any]) -> None:
        """Let an activity be itself again: no stand-in, no failures."""
        self._cast.restore(_require_activity(activity, "restore"))

    def fail_next(self, activity: Activity[..., Any], error: Exception, *, times: int | None = 1) -> None:
        """Have the next `times` attempts of an activity raise `error`, before it or its stand-in is called again.

        None: every attempt. Raises InvalidArgumentError.
        """
        if times is not None and times < 1:
            message = f"env.fail_next: times is {times}; it must be at least 1, or None for every attempt"
            raise InvalidArgumentError(message)
        self._cast.fail(_require_activity(activity, "fail_next"), _require_exception(error), times)

    def calls(self, activity: Activity[..., Any] | None = None) -> list[ActivityCalled]:
        """Return the attempts that were made so far, of one activity or (None) of all, in their order.

        Those that a crash had made again are in it twice: it is what the world outside has seen.
        """
        name = None if activity is None else _require_activity(activity, "calls").name
        return [called for called in self._cast.calls if name in (None, called.activity)]

    def assert_played(self) -> None:
        """Fail if a stand-in was never called, a failure never happened, or (strict) an activity had no stand-in.

        So a test notices that the code under test calls something else than it thinks, even where a workflow catches
        the error of an activity. A strict environment does this when ``async with`` ends, and in `crash_everywhere`
        after the undisturbed pass. Raises AssertionError.
        """
        __tracebackhide__ = True
        problems = self._cast.problems()
        if problems:
            raise AssertionError("\n".join(problems))

    # --- runs ----------------------------------------------------------------------------------------------------

    async def start(
        self, workflow: Workflow[*Ts, R], *args: *Ts, id: str | None = None, **options: Unpack[AnyStartOptions]
    ) -> Run[R]:
        """Start a run, as `Client.start`; one without an id is numbered, so that a test does the same each time.

        A start by a key is a request with an id, so that it is had once however many lives are asked.
        """
        await self._ready()
        if not has_rule(options):
            id = self._numbered(workflow) if id is None else id
        elif not options.get("request_id"):
            self._requested += 1
            options["request_id"] = f"request-{self._requested}"
        return await super().start(workflow, *args, id=id, **options)

    async def signal_with_start(  # type: ignore[override]  # mypy takes two equal generic signatures for different
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        signal: Signal[T],
        body: T | None = None,
        **options: Unpack[StartOptions],
    ) -> Run[R]:
        """See `Client.signal_with_start`."""
        await self._ready()
        return await super().signal_with_start(workflow, *args, id=id, signal=signal, body=body, **options)

    async def update_with_start(  # type: ignore[override]  # as above
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        update: Update[T, U],
        input: T | None = None,
        timeout: timedelta | None = None,
        **options: Unpack[StartOptions],
    ) -> U:
        """See `Client.update_with_start`."""
        await self._ready()
        return await super().update_with_start(
            workflow, *args, id=id, update=update, input=input, timeout=timeout, **options
        )

    def _new_name(self) -> str:
        self._named += 1
        return str(self._named)

    def _numbered(self, workflow: object) -> str | None:
        if not isinstance(workflow, Workflow):
            return None  # which is told by `start`
        number = self._started[workflow.name] = self._started.get(workflow.name, 0) + 1
        return f"{workflow.name}-{number}"

    # --- histories -----------------------------------------------------------------------------------------------

    async def history(self, run: Run[Any]) -> list[RecordedEvent]:
        """Return the events of a run's latest generation so far."""
        return [recorded async for recorded in run.history()]

    async def at(self, run: Run[Any], *, event: int) -> Moment:
        """Go to event number `event` of a run's history and look around: state, queries; forward and back from there.

        Raises InvalidArgumentError if there is no such event.
        """
        return self.moment(await self.history(run), event)

    def moment(self, history: Sequence[RecordedEvent], event: int) -> Moment:
        """Go to an event of a history; see `at`."""
        return moment_of(history, event, registry=self._bridge.registry)

    @property
    def schedules(self) -> Schedules:
        """Schedules: runs started at nominal times, which the virtual clock reaches."""
        return _ReadySchedules(self._open, self.namespace, ready=self._ready)

    # --- behind it -----------------------------------------------------------------------------------------------

    def _open(self) -> Gateway:
        require_outside()
        if self._is_closed:
            message = "the test environment is closed; use it inside `async with TestEnvironment() as env:`"
            raise EngineClosedError(message)
        if asyncio._get_running_loop() is None:  # noqa: SLF001 - the public call raises a less helpful error
            message = "the test environment is used outside of an asyncio event loop; elsewhere use SyncTestEnvironment"
            raise EngineClosedError(message)
        return self._bridge

    async def _ready(self) -> None:
        """Have an open life; its opening is one task of the test's loop, whoever waits for it."""
        self._open()
        if self._opening is None:
            self._opening = self._driver.host.create_task(self._begin_life())
        await asyncio.shield(self._opening)

    async def _begin_life(self) -> None:
        if self._is_closed:
            return
        life = self._life = Life(self._world)
        opened: asyncio.Future[None] = self._driver.host.create_future()
        task = life.loop.create_task(life.open())
        task.add_done_callback(lambda done: None if opened.done() else _settle(opened, done))
        self._driver.drive(life.loop)
        with self._driver.waiting():
            await opened
        if not life.is_dead:
            self._bridge.lead_to(life)

    def _look_after_life(self) -> None:
        """Bury a life that has died, and begin another."""
        life = self._life
        if life is None or not life.is_dead:
            return
        self._life = None
        self._driver.release()
        self._bridge.lead_nowhere()
        self._bury(life)
        self._opening = self._driver.host.create_task(self._begin_life())

    def _bury(self, life: Life) -> None:
        life.bury()
        self._buried.append(life)

    def _stand_still(self) -> None:
        message = (
            "the test waits for a run, and nothing can happen any more: nothing runs and no timer is set. Perhaps the "
            "run waits for a message that the test has to send first"
        )
        self._bridge.fail(StandstillError(message))

    def _url(self, store: str) -> str:
        if store != "sqlite:":
            return store
        folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="perdure-test-"))
        return f"sqlite:///{Path(folder) / 'test.db'}"


class _ReadySchedules(Schedules):
    """Schedules whose first use may be what opens the environment."""

    def __init__(self, gateway: Callable[[], Gateway], namespace: str, *, ready: Callable[[], Awaitable[None]]) -> None:
        super().__init__(gateway, namespace)
        self._ready = ready

    async def create(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]  # noqa: ANN401 - told by its base
        await self._ready()
        return await super().create(*args, **options)


def _for_tests(settings: Settings) -> Settings:
    """Return settings without what only happens because time passes: leases, looks for lost notices."""
    return msgspec.structs.replace(
        settings,
        lease_seconds=_FOR_EVER_SECONDS,
        lease_renewals=1,
        safety_check_seconds=_FOR_EVER_SECONDS,
        blocking_seconds=0.0,
        shutdown_grace_seconds=0.0,
    )


_FOR_EVER_SECONDS: Final = 4 * HORIZON_SECONDS


def _require_activity(activity: object, where: str) -> Activity[..., Any]:
    if not isinstance(activity, Activity):
        message = f"env.{where}: {activity!r:.60} is no activity; pass the decorated function itself"
        raise InvalidArgumentError(message)
    return cast("Activity[..., Any]", activity)


def _require_exception(error: object) -> Exception:
    if not isinstance(error, Exception):
        message = f"env.fail_next: {error!r:.60} is no exception; pass one, such as ConnectionError('no route')"
        raise InvalidArgumentError(message)
    return error


def _settle(future: "asyncio.Future[None]", done: "asyncio.Task[None]") -> None:
    error = None if done.cancelled() else done.exception()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
