"""Workflows: `async def` functions with a context, whose every step survives the process that runs it."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Generic, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack, cast, overload

from perdure.authoring.arguments import require_choice, require_count, require_text
from perdure.authoring.context import Context
from perdure.authoring.continuing import continue_as
from perdure.authoring.declared_errors import NONE_DECLARED, ErrorClasses, declare_errors
from perdure.authoring.definitions import require_definition, require_kind, require_stages
from perdure.authoring.registry import Registry, default_registry
from perdure.authoring.signature import Signature
from perdure.errors import ChildRunError, InvalidArgumentError, UsageError, WrongContextError
from perdure.kernel.coroutine_program import Entry
from perdure.kernel.journal import Journal, RunContinuing, current_journal
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry, RetryAfter, decide_retry, draw_for
from perdure.kernel.time import Timestamp, duration_microseconds

__all__ = ["OnFailure", "Workflow", "WorkflowDecorator", "require_workflow", "workflow"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class OnFailure(StrEnum):
    """What a workflow does when an exception (or a cancellation) leaves its function.

    `compensate`: run the compensations of its finished activities, newest first, then end. `fail`: just end.
    """

    COMPENSATE = "compensate"
    FAIL = "fail"


class Workflow(Generic[*Ts, R_co]):
    """A workflow: what `@workflow` makes of a function. Start it with `Engine.start`, or `ctx.run_child` in another."""

    def __init__(
        self,
        function: Callable[[Context, Unpack[Ts]], Coroutine[Any, Any, R_co]],
        *,
        name: str,
        version: str,
        priority: Priority,
        execution_timeout_microseconds: int | None,
        retry: Retry | None,
        stages: tuple[str, ...],
        on_failure: OnFailure,
        max_concurrent_activities: int | None = None,
        raises: Mapping[str, type[ChildRunError]] = NONE_DECLARED,
    ) -> None:
        """Build from parts; use `@workflow`."""
        self.name = name
        self.function = function
        self.version = version
        self.priority = priority
        self.execution_timeout_microseconds = execution_timeout_microseconds
        self.retry = retry
        self.stages = stages
        self.on_failure = on_failure
        self.max_concurrent_activities = max_concurrent_activities
        self.raises = raises
        self.signature = Signature.of(function, skip_first=True, name=name)
        self.__name__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, _ctx: Context, *_args: *Ts) -> Coroutine[Any, Any, R_co]:
        """Refuse: a workflow is started, not called. Raises WrongContextError that says how."""
        how = f"await ctx.run_child({self.name}, ...)" if current_journal() else f"await engine.start({self.name}, ...)"
        message = f"workflow {self.name} was called like a function; start it: {how}"
        raise WrongContextError(message)

    def continue_as_new(self, *args: *Ts) -> NoReturn:
        """In a run of this workflow: end this generation, and begin the next as this version with these arguments.

        The same as `Context.continue_as_new`, which goes on as the newest version; here type checkers know the
        parameters. Call it from the workflow function. Raises InvalidArgumentError or PayloadError for arguments that
        do not fit, and in a run of another workflow; WrongContextError outside of workflows.
        """
        continue_as(self, args)

    def entry(self, registry: Registry = default_registry) -> Entry:
        """Return what makes the coroutine of a run of this workflow, where there is the code of `registry`."""
        return partial(self._run, registry)

    def __repr__(self) -> str:
        """Show name and version."""
        return f"<workflow {self.name} version {self.version}>"

    async def _run(self, registry: Registry, journal: Journal) -> Payload:
        ctx = Context(journal, self, registry)
        function = cast("Callable[..., Coroutine[Any, Any, R_co]]", self.function)
        began_at = journal.loop.now
        args, kwargs = self.signature.decode_arguments(journal.created.input)
        try:
            result = await function(ctx, *args, **kwargs)
        except (Exception, asyncio.CancelledError) as error:  # the outermost call of user code
            if self.on_failure is OnFailure.COMPENSATE and journal.compensations:
                await ctx.compensate()
            if isinstance(error, Exception) and journal.cancel is None:
                self._try_again(journal, error, began_at=began_at)
            raise
        return self.signature.encode_result(result)

    def _try_again(self, journal: Journal, error: Exception, *, began_at: Timestamp) -> None:
        """Raise RunContinuing if the workflow's retry policy allows another attempt."""
        if self.retry is None:
            return
        created, now = journal.created, journal.loop.now
        failure = journal.failure_of(error)
        decision = decide_retry(
            self.retry,
            attempt=created.attempt,
            error_type=failure.type,
            error_types=failure.types,
            retryable=failure.retryable,
            elapsed_microseconds=now - (created.first_attempt_at or began_at),
            until_deadline_microseconds=None if created.deadline_at is None else created.deadline_at - now,
            previous_delay_microseconds=created.retry_delay_microseconds,
            draw=draw_for(created.seed, 0, created.attempt),
        )
        if isinstance(decision, RetryAfter):
            raise RunContinuing(
                created.input,
                attempt=created.attempt + 1,
                delay_microseconds=decision.delay_microseconds,
                failure=failure,
            ) from error


class WorkflowDecorator(Protocol):
    """What `@workflow(...)` with options gives: a decorator."""

    def __call__(self, function: Callable[[Context, Unpack[Ts]], Coroutine[Any, Any, R]], /) -> Workflow[*Ts, R]:
        """Make a workflow of a function."""
        ...


@overload
def workflow(function: Callable[[Context, Unpack[Ts]], Coroutine[Any, Any, R]], /) -> Workflow[*Ts, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: str = "1",
    priority: Priority = Priority.NORMAL,
    execution_timeout: timedelta | None = None,
    retry: Retry | None = None,
    stages: tuple[str, ...] = (),
    on_failure: OnFailure | str = OnFailure.COMPENSATE,
    max_concurrent_activities: int | None = None,
    raises: ErrorClasses = (),
) -> WorkflowDecorator: ...


def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    priority: Priority = Priority.NORMAL,
    execution_timeout: timedelta | None = None,
    retry: Retry | None = None,
    stages: tuple[str, ...] = (),
    on_failure: OnFailure | str = OnFailure.COMPENSATE,
    max_concurrent_activities: int | None = None,
    raises: ErrorClasses = (),
) -> Any:
    """Make a workflow of an ``async def`` whose first parameter is the `Context`.

    `name`: as recorded (the function's). `version`: of the definition; a run stays on that with which it began, and
    several may stand side by side under one name (see `Registry`). `priority`: class of its runs unless `Engine.start`
    says otherwise. `execution_timeout`: a run that takes longer fails; it spans all its generations and attempts, and
    its children have no more time either. `retry`: whether a run that fails is tried again from its start, as the next
    generation; not one that was asked to cancel. `stages`: the names of its phases in order, so that progress is known
    from the start. `on_failure`: see `OnFailure`.
    `max_concurrent_activities`: at most so many activities of all its runs together run at once in one worker process,
    compensations and fallbacks among them; waiting runs count for nothing, child runs count for their own workflow.
    `raises`: classes of exceptions that its failures are caught as in a parent's code, besides `ChildRunError`: see
    `perdure.authoring.declared_errors`.

    Raises InvalidArgumentError for a value that is not allowed and UsageError for a name that is taken.
    """

    def decorate(function: Callable[..., Any]) -> Workflow[*tuple[Any, ...], Any]:
        chosen = require_definition("workflow", function, name)
        require_kind(retry, Retry, f"workflow {chosen}: retry", wanted="a policy, e.g. Retry(attempts=3)")
        _require_workflow(chosen, function)
        made: Workflow[*tuple[Any, ...], Any] = Workflow(
            cast("Any", function),
            name=chosen,
            version=require_text(version, f"workflow {chosen}: version"),
            priority=require_choice(priority, Priority, f"workflow {chosen}: priority"),
            execution_timeout_microseconds=_timeout(chosen, execution_timeout),
            retry=retry,
            stages=require_stages(stages, f"workflow {chosen}: stages"),
            on_failure=_policy(chosen, on_failure),
            max_concurrent_activities=require_count(
                max_concurrent_activities, f"workflow {chosen}: max_concurrent_activities"
            ),
            raises=declare_errors(raises, ChildRunError, f"workflow {chosen}"),
        )
        default_registry.add_workflow(made)
        return made

    return decorate if function is None else decorate(function)


def require_workflow(value: object, call: str) -> None:
    """Raise UsageError, naming the `call`, unless `value` is a `Workflow`."""
    if isinstance(value, Workflow):
        return
    if isinstance(value, str):
        message = f"{call}: {value!r:.60} is a text; pass the workflow itself, not its name"
    elif inspect.isroutine(value):
        message = f"{call}: {value.__qualname__} is a function; decorate it with @workflow"
    else:
        message = f"{call}: {value!r:.60} is not a workflow; pass a function that is decorated with @workflow"
    raise UsageError(message)


def _require_workflow(name: str, function: Callable[..., Any]) -> None:
    if not inspect.iscoroutinefunction(function):
        message = (
            f"workflow {name} must be an async def: it waits for activities, timers and signals with await. "
            f"Blocking code belongs in an activity, which may be a plain def."
        )
        raise UsageError(message)
    if not _takes_context(function):
        message = f"workflow {name} needs a first parameter for its context: async def {name}(ctx: Context, ...)"
        raise UsageError(message)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            message = (
                f"workflow {name} could not be started: its parameter {parameter.name!r} must be given by keyword, and "
                f"a start gives arguments by position; move it before the *, or give it a default"
            )
            raise UsageError(message)


def _takes_context(function: Callable[..., Any]) -> bool:
    for parameter in inspect.signature(function).parameters.values():
        declared = parameter.annotation
        return declared is parameter.empty or not isinstance(declared, type) or issubclass(Context, declared)
    return False


def _timeout(name: str, limit: timedelta | None) -> int | None:
    if limit is None:
        return None
    if not isinstance(limit, timedelta) or limit <= timedelta(0):  # type: ignore[redundant-expr]
        message = f"workflow {name}: execution_timeout is {limit!r}; it must be a timedelta above zero, or None"
        raise InvalidArgumentError(message)
    return duration_microseconds(limit)


def _policy(name: str, on_failure: OnFailure | str) -> OnFailure:
    try:
        return OnFailure(on_failure)
    except ValueError:
        message = f"workflow {name}: on_failure is {on_failure!r}; allowed are {', '.join(OnFailure)}"
        raise InvalidArgumentError(message) from None
