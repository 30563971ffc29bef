"""Activities: functions with side effects, called from workflow code as if they were ordinary functions.

Inside a workflow a call is recorded, run by the engine with the activity's policy, and its outcome recorded: once
there is one it is final, however often the workflow is replayed. Outside a workflow the call is the plain function.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from perdure.authoring.activity_options import Placement, build_options, require_queue
from perdure.authoring.arguments import require_choice, require_count
from perdure.authoring.declared_errors import NONE_DECLARED, ErrorClasses, class_of_failure, declare_errors
from perdure.authoring.definitions import require_definition, require_kind
from perdure.authoring.registry import default_registry
from perdure.authoring.signature import Signature
from perdure.authoring.stages import deadline_around
from perdure.errors import (
    ActivityError,
    ActivityFailedError,
    ActivityTimeoutError,
    CircuitOpenError,
    InvalidArgumentError,
    ResourcesUnavailableError,
)
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.backoff import exponential
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation
from perdure.kernel.isolation import Isolation
from perdure.kernel.journal import Compensation, Journal, current_journal
from perdure.kernel.limits import CircuitBreaker, RateLimit
from perdure.kernel.options import ActivityOptions, Executor, merge_options
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.retry import REASONS, Retry

__all__ = ["DEFAULT_RETRY", "Activity", "ActivityDecorator", "BoundActivity", "activity"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

DEFAULT_RETRY: Final = Retry(
    attempts=3, backoff=exponential(timedelta(seconds=1), factor=2.0, maximum=timedelta(seconds=60))
)
"""What an activity without a retry policy of its own gets: three attempts, one second and two apart."""


_NOTHING: Final = Operation(0)


class Activity(Generic[P, R_co]):
    """An activity: what `@activity` makes of a function. Call it in a workflow; outside it is the function."""

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R_co]] | Callable[P, R_co],
        *,
        name: str,
        options: ActivityOptions,
        max_concurrent: int | None = None,
        compensate: "Activity[..., Any] | None" = None,
        fallback: "Activity[..., Any] | None" = None,
        raises: Mapping[str, type[ActivityFailedError]] = NONE_DECLARED,
        transaction: Isolation | None = None,
    ) -> None:
        """Build from parts; use `@activity`."""
        self.name = name
        self.function = function
        self.defaults = options
        self.max_concurrent = max_concurrent
        self.signature = Signature.of(function, name=name)
        self.is_async = inspect.iscoroutinefunction(function)
        self.compensation = compensate
        self.fallback = fallback
        self.raises = raises
        self.transaction = transaction
        self.__name__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """In a workflow: return the recorded call, to be awaited. Elsewhere: call the plain function.

        Raises WrongContextError in a query handler, a validator and a condition, which may only read.
        """
        journal = current_journal()
        if journal is None:
            return cast("Coroutine[Any, Any, R_co]", self.function(*args, **kwargs))
        return self.call(journal, args, kwargs, None)

    def options(
        self,
        *,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        schedule_to_start: timedelta | None = None,
        schedule_to_close: timedelta | None = None,
        heartbeat_timeout: timedelta | None = None,
        queue: str | None = None,
        labels: dict[str, str] | None = None,
        sticky: bool | None = None,
        priority: Priority | None = None,
        executor: Executor | str | None = None,
        expected_duration: timedelta | None = None,
        idempotency_key: str | None = None,
        at_most_once: bool | None = None,
        resources: dict[str, int] | None = None,
        rate_limit: RateLimit | None = None,
        circuit_breaker: CircuitBreaker | None = None,
    ) -> "BoundActivity[P, R_co]":
        """Return the same activity with other options for the calls made through it; they mean what they mean on
        `@activity` and are recorded with the call."""
        override = build_options(
            self.name,
            retry=retry,
            timeout=timeout,
            schedule_to_start=schedule_to_start,
            schedule_to_close=schedule_to_close,
            heartbeat_timeout=heartbeat_timeout,
            placement=Placement(queue=queue, labels=labels, sticky=sticky),
            priority=priority,
            executor=executor,
            expected_duration=expected_duration,
            idempotency_key=idempotency_key,
            at_most_once=at_most_once,
            resources=resources,
            rate_limit=rate_limit,
            circuit_breaker=circuit_breaker,
        )
        if override.executor is not None:
            _require_possible(self.name, self.function, override)
        require_queue(self.name, self.effective_options(override))
        return BoundActivity(self, override)

    def effective_options(self, override: ActivityOptions | None) -> ActivityOptions:
        """Return the options of a call: the activity's own, with what the call said laid over them."""
        return merge_options(self.defaults, override)

    def call(
        self,
        journal: Journal,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        override: ActivityOptions | None,
        *,
        compensates: Operation = _NOTHING,
    ) -> Coroutine[Any, Any, R_co]:
        """Return the recorded call for the workflow of `journal`, with what the call itself said (`override`).

        `compensates`: the finished operation that the call undoes.
        """
        if not journal.is_running:
            journal.require_running()
        perform = self._perform if self.fallback is None else self._perform_or_fall_back
        made = perform(journal, args, kwargs, override, compensates)
        made.__qualname__ = self.name  # type: ignore[attr-defined]  # what Python calls it if its await is forgotten
        return made

    def __repr__(self) -> str:
        """Show the name."""
        return f"<activity {self.name}>"

    async def _perform_or_fall_back(
        self,
        journal: Journal,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        override: ActivityOptions | None,
        compensates: Operation,
    ) -> R_co:
        try:
            return await self._perform(journal, args, kwargs, override, compensates)
        except ActivityError:
            if self.fallback is None:
                raise
            return cast("R_co", await self.fallback.call(journal, args, kwargs, None, compensates=compensates))

    async def _perform(
        self,
        journal: Journal,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        override: ActivityOptions | None,
        compensates: Operation,
    ) -> R_co:
        given = self.signature.encode_arguments(args, kwargs)
        operation = journal.next_operation()
        journal.give(
            c.ScheduleActivity(
                operation=operation,
                activity=self.name,
                input=given,
                options=override,
                schedule_to_close_microseconds=self._schedule_to_close(override),
                compensates=compensates,
                within=deadline_around() if journal.has_deadlines and not compensates else None,
                location=journal.location() if journal.replaying else None,
            )
        )
        try:
            outcome = await journal.wait(operation)
        except asyncio.CancelledError:
            if journal.forget(operation):
                journal.give(c.CancelActivity(operation=operation, location=journal.location()))
            raise
        if type(outcome) is not Payload:
            raise _error_of(self, outcome)
        result = self.signature.decode_result(outcome)
        if self.compensation is not None:
            journal.compensations.append(_undo(journal, self.compensation, operation, result))
        return cast("R_co", result)

    def _schedule_to_close(self, override: ActivityOptions | None) -> int | None:
        if override is not None and override.schedule_to_close_microseconds is not None:
            return override.schedule_to_close_microseconds
        return self.defaults.schedule_to_close_microseconds


class BoundActivity(Generic[P, R_co]):
    """An activity with options for its next calls; see `Activity.options`."""

    __slots__ = ("activity", "override")

    def __init__(self, activity: Activity[P, R_co], override: ActivityOptions) -> None:
        """Build from parts; use `Activity.options`."""
        self.activity = activity
        self.override = override

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """In a workflow: return the recorded call, to be awaited. Elsewhere: call the plain function."""
        journal = current_journal()
        if journal is None:
            return cast("Coroutine[Any, Any, R_co]", self.activity.function(*args, **kwargs))
        return self.activity.call(journal, args, kwargs, self.override)


class ActivityDecorator(Protocol):
    """What `@activity(...)` with options gives: a decorator."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Activity[P, R]: ...
    def __call__(self, function: Callable[P, Any], /) -> Activity[P, Any]:
        """Make an activity of a function."""
        ...


@overload
def activity(function: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...
@overload
def activity(function: Callable[P, R], /) -> Activity[P, R]: ...
@overload
def activity(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    schedule_to_start: timedelta | None = None,
    schedule_to_close: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    queue: str | None = None,
    labels: dict[str, str] | None = None,
    sticky: bool | None = None,
    priority: Priority | None = None,
    executor: Executor | str | None = None,
    expected_duration: timedelta | None = None,
    idempotency_key: str | None = None,
    at_most_once: bool | None = None,
    resources: dict[str, int] | None = None,
    max_concurrent: int | None = None,
    rate_limit: RateLimit | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    compensate: Activity[..., Any] | None = None,
    fallback: Activity[..., Any] | None = None,
    raises: ErrorClasses = (),
    transaction: Isolation | str | None = None,
) -> ActivityDecorator: ...


def activity(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    schedule_to_start: timedelta | None = None,
    schedule_to_close: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    queue: str | None = None,
    labels: dict[str, str] | None = None,
    sticky: bool | None = None,
    priority: Priority | None = None,
    executor: Executor | str | None = None,
    expected_duration: timedelta | None = None,
    idempotency_key: str | None = None,
    at_most_once: bool | None = None,
    resources: dict[str, int] | None = None,
    max_concurrent: int | None = None,
    rate_limit: RateLimit | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    compensate: Activity[..., Any] | None = None,
    fallback: Activity[..., Any] | None = None,
    raises: ErrorClasses = (),
    transaction: Isolation | str | None = None,
) -> Any:
    """Make an activity of a function: ``async def`` runs on the event loop, ``def`` in a thread.

    `name`: as recorded in histories (the function's). `retry`: which failures are tried again, when and how often
    (`DEFAULT_RETRY`). `timeout`: limit of one attempt; `schedule_to_start`: of the wait for a slot;
    `schedule_to_close`: of everything with all retries; `heartbeat_timeout`: of the silence between two heartbeats;
    None: no limit. `queue`: the task queue in which it waits for a worker that serves this (`Settings.queues`); None:
    it is made by the worker of its run. `labels`: demanded of that worker (`Settings.labels`). `sticky`: the ones of a
    run go to the worker that made the last, as long as it lives and is not busy for longer than
    `Settings.sticky_seconds`. `priority`: its class (the run's). `executor`: ``loop``, ``thread``,
    ``process`` (for work that burns CPU), ``hybrid``, ``ray`` or ``dask``, on a cluster (see
    docs/how-to/clusters.md). `expected_duration`: a hint for the hybrid choice and the scheduler. `idempotency_key`:
    handed to the function's context (derived from run and operation otherwise). `at_most_once`: no attempt is started
    twice, at the price of one more commit each.
    `resources`: what it needs while it runs, per dimension of `Settings.resources`. `max_concurrent`: at most so many
    of it run at once. `rate_limit`: how often it may start, see `RateLimit`. `circuit_breaker`: when it is not tried
    any more, see `CircuitBreaker`; these four hold per worker process. `compensate`: an activity that undoes it,
    called with the result if it takes an argument. `fallback`: an activity with the same parameters and result, called
    when this one has failed for good. `raises`: classes of exceptions that its failures are caught as in workflow code,
    besides `ActivityFailedError`: see `perdure.authoring.declared_errors`. `transaction`: the `Isolation` of the
    transaction of the store's database in which it runs; what it writes there by `current_connection()` is committed
    together with its outcome, exactly once.

    Raises InvalidArgumentError for a value that is not allowed and UsageError for a name that is taken.
    """

    def decorate(function: Callable[..., Any]) -> Activity[..., Any]:
        chosen = require_definition("activity", function, name)
        _require_activities(chosen, compensate=compensate, fallback=fallback)
        options = build_options(
            chosen,
            retry=retry or DEFAULT_RETRY,
            timeout=timeout,
            schedule_to_start=schedule_to_start,
            schedule_to_close=schedule_to_close,
            heartbeat_timeout=heartbeat_timeout,
            placement=Placement(queue=queue, labels=labels, sticky=sticky),
            priority=priority,
            executor=executor or _default_executor(function),
            expected_duration=expected_duration,
            idempotency_key=idempotency_key,
            at_most_once=at_most_once,
            resources=resources,
            rate_limit=rate_limit,
            circuit_breaker=circuit_breaker,
        )
        _require_possible(chosen, function, options)
        require_queue(chosen, options)
        most = require_count(max_concurrent, f"activity {chosen}: max_concurrent")
        declared = declare_errors(raises, ActivityFailedError, f"activity {chosen}")
        made = Activity(
            function, name=chosen, options=options, max_concurrent=most, compensate=compensate, fallback=fallback,
            raises=declared, transaction=_isolation(chosen, transaction, executor),
        )  # fmt: skip
        return default_registry.add_activity(made)

    return decorate if function is None else decorate(function)


def _require_activities(name: str, **given: object) -> None:
    for argument, value in given.items():
        require_kind(value, Activity, f"activity {name}: {argument}", wanted="an activity")


def _isolation(name: str, transaction: Isolation | str | None, executor: Executor | str | None) -> Isolation | None:
    if transaction is None:
        return None
    if executor is not None:
        message = f"activity {name}: it runs where its transaction is; leave out executor={executor!s}"
        raise InvalidArgumentError(message)
    return require_choice(transaction, Isolation, f"activity {name}: transaction")


def _default_executor(function: Callable[..., Any]) -> Executor:
    return Executor.LOOP if inspect.iscoroutinefunction(function) else Executor.THREAD


def _require_possible(name: str, function: Callable[..., Any], options: ActivityOptions) -> None:
    if inspect.iscoroutinefunction(function) and options.executor is not Executor.LOOP:
        message = f"activity {name}: an async def runs on the event loop; for executor={options.executor} make it a def"
        raise InvalidArgumentError(message)
    if not inspect.iscoroutinefunction(function) and options.executor is Executor.LOOP:
        message = f"activity {name}: a def would block the event loop; make it async def, or choose another executor"
        raise InvalidArgumentError(message)


def _error_of(activity: Activity[..., Any], outcome: e.ActivityFailed | e.ActivityTimedOut) -> ActivityError:
    name = activity.name
    if isinstance(outcome, e.ActivityTimedOut):
        whose = f" of {outcome.deadline_of}" if outcome.deadline_of else ""
        message = f"activity {name} timed out ({outcome.timeout}{whose}) at attempt {outcome.attempt}"
        return ActivityTimeoutError(message, activity=name, attempts=outcome.attempt, timeout=outcome.timeout)
    failure = outcome.failure
    error = _error_class(failure, activity.raises)(
        f"activity {name} failed at attempt {outcome.attempt} ({_why_final(outcome)}): {failure}",
        activity=name,
        attempts=outcome.attempt,
        failure_type=failure.type,
        failure_types=failure.types,
        failure_message=failure.message,
    )
    if failure.traceback is not None:  # of another thread, process or day: all that can be shown of it is text
        error.add_note(f"\nIn the activity:\n{failure.traceback.rstrip()}")
    return error


def _why_final(outcome: e.ActivityFailed) -> str:
    if outcome.deadline_of:
        return f"another attempt would begin after the deadline of {outcome.deadline_of}"
    return REASONS.get(outcome.reason, outcome.reason)


def _error_class(failure: Failure, declared: Mapping[str, type[ActivityFailedError]]) -> type[ActivityFailedError]:
    """Return the class for a failure; one of the engine's own says that it is an ActivityFailedError."""
    if ActivityFailedError.__name__ not in failure.types:
        return class_of_failure(failure, declared, ActivityFailedError)
    return _ERRORS_OF_THE_ENGINE.get(failure.type, ActivityFailedError)


_ERRORS_OF_THE_ENGINE: Final = {error.__name__: error for error in (CircuitOpenError, ResourcesUnavailableError)}


def _undo(journal: Journal, compensation: Activity[..., Any], operation: Operation, result: object) -> Compensation:
    args = (result,) if compensation.signature.parameter_names else ()
    return Compensation(
        operation=operation, perform=lambda: compensation.call(journal, args, {}, None, compensates=operation)
    )
