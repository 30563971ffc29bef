"""The activity context: what an activity's function can learn about its call, and its heartbeat.

`current_attempt()` works in every executor: on the loop and in threads by a context variable, in a pool process and
on a cluster by one that is set there. Outside an activity it raises; `heartbeat` is then a no-op, so that the function
stays testable.

`defer` ends a function without an outcome: whoever has the attempt's token tells it, days later and from another
process if need be (`Engine.complete`, `fail`, `heartbeat`).
"""

from asyncio import CancelledError
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeVar, overload

import msgspec

from perdure.authoring.payloads import decode_value, encode_value
from perdure.errors import WrongContextError
from perdure.kernel.payload import NULL, Payload

__all__ = [
    "Attempt",
    "Deferring",
    "current_attempt",
    "current_connection",
    "defer",
    "heartbeat",
    "is_cancelled",
    "running_attempt",
    "transaction_connection",
]


T = TypeVar("T")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of an activity, as its function sees it.

    `run_id`, `workflow`: whose call it is. `activity`: its own name. `attempt`: number of this try, from 1; a try
    that ended with its process is made again under the same number, unless the activity is `at_most_once`.
    `idempotency_key`: the same for all tries of this call and for no other call: hand it to services that can tell a
    repetition. `fencing_token`: grows whenever somebody else may have begun the call before, in whatever
    process: what takes effects can refuse those of a smaller one with the same key. `scheduled_at`: when workflow code
    called. `token`: names this try of this call for ever, for whoever shall complete it from outside (`defer`); it is
    short and fits into a URL. `deadline`: when this try is cut off, by its own limits or with the stage or the run that
    it belongs to, as an aware datetime; None: never. Give clients of other services the time that is left.
    `trace_context`: that of the run, to be handed on in calls.
    `heartbeat_payload`: the JSON of what the last heartbeat of an earlier try said; `last_heartbeat` decodes it.
    """

    run_id: str
    namespace: str
    workflow: str
    activity: str
    operation: int
    attempt: int
    idempotency_key: str
    fencing_token: int
    scheduled_at: datetime
    deadline: datetime | None = None
    token: str = ""
    trace_context: dict[str, str] = {}
    heartbeat_payload: Payload = NULL

    def __repr__(self) -> str:
        """Render without the token, by which anybody can complete the attempt, and without values of users."""
        return f"Attempt({self.namespace}/{self.run_id}, {self.activity}, operation {self.operation}, {self.attempt})"

    @overload
    def last_heartbeat(self, type: type[T]) -> T | None: ...
    @overload
    def last_heartbeat(self, type: object = Any) -> Any: ...  # noqa: ANN401 - what `type` says
    def last_heartbeat(self, type: object = Any) -> Any:
        """Return the details of the last heartbeat of an earlier try, as `type`; None if there were none."""
        if self.heartbeat_payload == NULL:
            return None
        return decode_value(self.heartbeat_payload, type, subject=f"heartbeat of {self.activity}")


class RunningAttempt(Protocol):
    """An attempt under way, as its executor shows it to the function."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the call was given up: cancelled, or out of time."""
        ...

    def describe(self) -> Attempt:
        """Return the attempt as its function sees it."""
        ...

    def beat(self, details: Payload) -> None:
        """Take a heartbeat, in whatever thread or process the function runs."""
        ...

    def publish(self, stream: str, value: Payload) -> None:
        """Take a value for a stream of the run."""
        ...


running_attempt: ContextVar[RunningAttempt | None] = ContextVar("perdure_running_attempt", default=None)
"""The attempt whose function is running here; executors set it."""


def current_attempt() -> Attempt:
    """Return the attempt that is running. Raises WrongContextError outside an activity."""
    running = running_attempt.get()
    if running is None:
        message = "current_attempt() was called outside an activity that the engine runs"
        raise WrongContextError(message)
    return running.describe()


transaction_connection: ContextVar[Any] = ContextVar("perdure_transaction_connection", default=None)
"""The connection on whose transaction an activity is running here."""


def current_connection() -> Any:  # noqa: ANN401 - of the driver of the store's database
    """Return the connection by which a transactional activity reads and writes: `asyncpg.Connection` with PostgreSQL;
    with SQLite one with `execute`, `executemany` and `value` (`perdure.stores.sqlite.transactions.StepConnection`).

    What is written by it is committed with the activity's outcome, and undone if it raises. The activity may be called
    again after that, without being tried again: when other transactions were in its way.

    Raises WrongContextError outside an activity with `transaction=`.
    """
    connection = transaction_connection.get()
    if connection is None:
        message = "current_connection() was called outside an activity with `transaction=...` that the engine runs"
        raise WrongContextError(message)
    return connection


class Deferring(BaseException):
    """Unwinds the function of an activity that calls `defer`."""


def defer() -> NoReturn:
    """End the function here and leave its outcome to whoever has the token (`current_attempt().token`).

    Hand the token on before. The attempt goes on without the function, its limits hold, and its slot is free: it ends
    by `Engine.complete` or `Engine.fail`, or by a limit, after which the next attempt calls the function again. Once
    the deferral is recorded no crash makes the function run again; a crash before it does, under the same token.

    Raises WrongContextError outside an activity.
    """
    if running_attempt.get() is None:
        message = "defer() was called outside an activity that the engine runs"
        raise WrongContextError(message)
    raise Deferring


def heartbeat(details: object = None) -> None:
    """Say that the activity is alive, and how far it got: `details` is handed to the next attempt if this one fails.

    `details`: anything JSON can hold; None leaves in force what an earlier heartbeat of the attempt said. They are
    saved, and so survive the worker, at most every `Settings.heartbeat_save_seconds`.

    Raises asyncio.CancelledError when the call was given up (cancelled, or out of time): let it pass, after cleaning
    up. In a thread, a process or a cluster a function learns of it so; on the event loop the next await tells, too.
    Raises PayloadError for details that cannot be recorded. Does nothing outside an activity.
    """
    running = running_attempt.get()
    if running is None:
        return
    if running.is_cancelled:
        raise CancelledError
    running.beat(encode_value(details, Any, subject="heartbeat details"))


def is_cancelled() -> bool:
    """Return whether the call was given up: cancelled, or out of time. Its outcome will be dropped; end soon.

    For a function in a thread, a process or a cluster that had rather look, between two pieces of its work, than have
    `heartbeat` raise. It counts as a heartbeat without details. On the event loop the next await raises before it is
    needed. Returns False outside an activity.
    """
    running = running_attempt.get()
    if running is None:
        return False
    if not running.is_cancelled:
        running.beat(NULL)
    return running.is_cancelled
