"""Every error Perdure raises, in branches by who must act.

    PerdureError
    ├── UsageError            the author of the workflow or the caller: fix the code or the argument
    │   ├── InvalidArgumentError, PayloadError(PayloadTooLargeError, PayloadDecodeError)
    │   ├── UnknownWorkflowError, UnknownActivityError, WrongContextError
    │   └── NonDeterminismError
    ├── RunError              how a run ended: failed, cancelled, terminated
    ├── ActivityError         raised inside workflow code: an activity (or child run) failed, timed out
    │   └── ActivityFailedError(CircuitOpenError, ResourcesUnavailableError), ActivityTimeoutError, ChildRunError
    ├── StageTimeoutError     raised inside workflow code: a stage did not end by its deadline
    ├── DeadlockError         raised inside workflow code: a lock will never be given
    ├── UpdateError           an update got no result: rejected, failed
    ├── StateError            the thing is not in the state the call needs: not found, exists, closed, settled
    ├── ConcurrencyError      a race was lost: nothing was applied, the winner's write stands
    ├── StoreError            the operator: database unreachable, locked, full, damaged, too new
    └── InternalError         our bug: please report it

`NonRetryableError` is the one error that users raise: an activity that raises it is not tried again.
Messages say what happened, with which ids, and what to do next; the fields carry the same facts for programs.
Control flow of the kernel (`RunEvicted`) derives from BaseException so that `except Exception` cannot eat it.
"""

__all__ = [
    "ActivityError",
    "ActivityFailedError",
    "ActivityTimeoutError",
    "ChildRunError",
    "CircuitOpenError",
    "ConcurrencyError",
    "CopyDamagedError",
    "DeadlockError",
    "EngineClosedError",
    "HistoryError",
    "IllegalTransitionError",
    "InternalError",
    "InvalidArgumentError",
    "LocalPostgresError",
    "NonDeterminismError",
    "NonRetryableError",
    "PayloadDecodeError",
    "PayloadError",
    "PayloadTooLargeError",
    "PerdureError",
    "ResourcesUnavailableError",
    "ResultTimeoutError",
    "RunCancelledError",
    "RunClosedError",
    "RunError",
    "RunEvicted",
    "RunExistsError",
    "RunFailedError",
    "RunNotFoundError",
    "RunNotRepairableError",
    "RunTerminatedError",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "SchemaTooNewError",
    "SchemaTooOldError",
    "StageTimeoutError",
    "StaleLeaseError",
    "StaleTokenError",
    "StateError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "StoreLockedError",
    "StoreUnavailableError",
    "StoreVersionError",
    "UnknownActivityError",
    "UnknownWorkflowError",
    "UnreadablePayloadError",
    "UpdateError",
    "UpdateFailedError",
    "UpdateRejectedError",
    "UsageError",
    "WrongContextError",
]


class PerdureError(Exception):
    """Root of all errors raised by Perdure.

    `open_request_id`: not None of an error that ended the waiting for an update that was sent: its effect may have
    happened, or may still. The call made again with this request id has the answer.
    """

    open_request_id: str | None = None


class UsageError(PerdureError):
    """The author or caller must change something: code, argument, configuration."""


class InvalidArgumentError(UsageError, ValueError):
    """An argument has a value or type that is not allowed."""


class PayloadError(UsageError):
    """A value cannot cross the boundary into or out of the history."""


class PayloadTooLargeError(PayloadError):
    """An encoded value is larger or deeper than the limits allow."""


class PayloadDecodeError(PayloadError):
    """A recorded value does not fit the type that today's code declares for it."""


class UnknownWorkflowError(UsageError):
    """No workflow of this name (or version) is registered in this process."""


class UnknownActivityError(UsageError):
    """No activity of this name is registered in this process."""


class WrongContextError(UsageError):
    """A call that only works inside (or only outside) a workflow or an activity was made elsewhere."""


class NonDeterminismError(UsageError):
    """Replayed workflow code asked for something other than its history records.

    `sequence` is the number of the event, `recorded` what the history holds there, `actual` what the code asked for
    now, `location` the line of workflow code (``file:line``) that asked, or None where nothing was asked for. `advice`
    says what to do.
    """

    def __init__(
        self, message: str, *, sequence: int, recorded: str, actual: str, location: str | None, advice: str = ""
    ) -> None:
        super().__init__(message)
        self.sequence = sequence
        self.recorded = recorded
        self.actual = actual
        self.location = location
        self.advice = advice


class NonRetryableError(PerdureError):
    """Raise this (or a subclass) in an activity to fail it for good: no retry will be made."""


class RunError(PerdureError):
    """A run ended without a result. `run_id` names it."""

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunFailedError(RunError):
    """The workflow raised. `failure_type` is the exception's class name, `failure_message` its text."""

    def __init__(self, message: str, *, run_id: str, failure_type: str, failure_message: str) -> None:
        super().__init__(message, run_id=run_id)
        self.failure_type = failure_type
        self.failure_message = failure_message


class RunCancelledError(RunError):
    """The run was cancelled and has finished its clean-up. `reason` is the one given with the request."""

    def __init__(self, message: str, *, run_id: str, reason: str) -> None:
        super().__init__(message, run_id=run_id)
        self.reason = reason


class RunTerminatedError(RunError):
    """The run was stopped without clean-up. `reason` is the one given with the request."""

    def __init__(self, message: str, *, run_id: str, reason: str) -> None:
        super().__init__(message, run_id=run_id)
        self.reason = reason


class ActivityError(PerdureError):
    """Raised in workflow code where an activity or child run was awaited that did not succeed."""


class ActivityFailedError(ActivityError):
    """An activity failed for good. Where its class is declared (``@activity(raises=...)``) this is that, too.

    `activity` is its name, `attempts` how many tries were made, `failure_type` the class name of the last exception,
    `failure_types` the names of that class and its bases, `failure_message` its text.
    """

    def __init__(
        self,
        message: str,
        *,
        activity: str,
        attempts: int,
        failure_type: str,
        failure_types: tuple[str, ...],
        failure_message: str,
    ) -> None:
        super().__init__(message)
        self.activity = activity
        self.attempts = attempts
        self.failure_type = failure_type
        self.failure_types = failure_types
        self.failure_message = failure_message


class CircuitOpenError(ActivityFailedError):
    """An activity was not tried: its circuit breaker is open, and the call had rather fail than wait."""


class ResourcesUnavailableError(ActivityFailedError):
    """An activity was not tried: it asks for more resources than its worker has (`Settings.resources`)."""


class ActivityTimeoutError(ActivityError, TimeoutError):
    """An activity ran out of time for good. `timeout` names which: see `perdure.kernel.events.TimeoutKind`."""

    def __init__(self, message: str, *, activity: str, attempts: int, timeout: str) -> None:
        super().__init__(message)
        self.activity = activity
        self.attempts = attempts
        self.timeout = timeout


class ChildRunError(ActivityError):
    """A child run failed, was cancelled or was terminated. `run_id` is the child's, `outcome` its closed status."""

    def __init__(self, message: str, *, run_id: str, outcome: str, failure_type: str, failure_message: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.outcome = outcome
        self.failure_type = failure_type
        self.failure_message = failure_message


class StageTimeoutError(PerdureError, TimeoutError):
    """A stage did not end by its deadline: what it waited for was cancelled, its clean-up has run."""

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class DeadlockError(PerdureError):
    """A lock will never be given: the runs that stand in the way wait, one for the other, for what this run holds.

    `key` is the lock's, `cycle` names who waits for which key, as (id of the run, key), this run first: each is kept
    from it by the next, the last by the first. The request was withdrawn; what the run holds it still holds.
    """

    def __init__(self, message: str, *, key: str, cycle: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.key = key
        self.cycle = cycle


class UpdateError(PerdureError):
    """An update got no result. `update` is its name, `run_id` the run's id, `failure_type` and `failure_message` tell
    why: the class name and the text of what the validator or the handler raised."""

    def __init__(self, message: str, *, update: str, run_id: str, failure_type: str, failure_message: str) -> None:
        super().__init__(message)
        self.update = update
        self.run_id = run_id
        self.failure_type = failure_type
        self.failure_message = failure_message


class UpdateRejectedError(UpdateError):
    """The run refused an update: its validator raised, or too many updates wait. The run is as it was."""


class UpdateFailedError(UpdateError):
    """The run accepted an update, and its handler raised, or the run ended before the handler did."""


class StateError(PerdureError):
    """The run (or the engine) is not in the state that the call needs."""


class RunNotFoundError(StateError):
    """No run of this id exists in the namespace."""


class RunExistsError(StateError):
    """A run of this id exists already and the caller asked for that to be an error."""


class ScheduleNotFoundError(StateError):
    """No schedule of this id exists in the namespace."""


class ScheduleExistsError(StateError):
    """A schedule of this id exists already."""


class RunClosedError(StateError):
    """The run has ended; it takes no more messages."""


class StaleTokenError(StateError):
    """The attempt of an activity that a token names has had its outcome, or nobody wants one any more.

    `run_id` and `activity` say whose it was. `reason`: ``completed``, ``failed``, ``retried`` (it failed or ran out of
    time, and another attempt, with another token, is made), ``timed_out``, ``cancelled`` (the workflow gave the call
    up, or the run has ended).
    """

    def __init__(self, message: str, *, run_id: str, activity: str, reason: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.activity = activity
        self.reason = reason


class RunNotRepairableError(StateError):
    """The run cannot be retried, reset or forked so; the message says why, and what can be done."""


class ResultTimeoutError(StateError, TimeoutError):
    """The run did not end within the time the caller was willing to wait. The run goes on."""


class EngineClosedError(StateError):
    """The engine is not open (not entered yet, or already closed)."""


class IllegalTransitionError(StateError):
    """An event does not fit the state it was applied to. `state` and `event` name both."""

    def __init__(self, message: str, *, state: str, event: str) -> None:
        super().__init__(message)
        self.state = state
        self.event = event


class ConcurrencyError(PerdureError):
    """A race was lost; nothing of this write was applied."""


class StaleLeaseError(ConcurrencyError):
    """A worker wrote for a run that another worker has claimed since. Its copy must be dropped."""


class StoreError(PerdureError):
    """The operator must act: the database cannot be used as it is."""


class StoreUnavailableError(StoreError):
    """The store takes no writes at the moment; nothing of this call was saved. Calls succeed again unaided when the
    cause (named in the message) is gone."""


class StoreFullError(StoreUnavailableError):
    """The disk (or the database's size limit) is full."""


class StoreLockedError(StoreUnavailableError):
    """Another program holds the lock of the database file for longer than the configured patience."""


class LocalPostgresError(StoreError):
    """No PostgreSQL server could be started on this machine. `log`: the end of what it said, empty if it never ran."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(f"{message}\n{log}" if log else message)
        self.log = log


class StoreCorruptError(StoreError):
    """The database file is damaged or is not a Perdure database."""


class CopyDamagedError(StoreError):
    """A copy of a database is not as it was written. Nothing was restored."""


class StoreVersionError(StoreError):
    """The database library in use is too old to be trusted with data."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer Perdure than this one. Nothing was changed; upgrade the library."""


class SchemaTooOldError(StoreError):
    """The database was last written by an older Perdure, and is only to be read here. Nothing was changed; an engine
    that opens it brings it up to date."""


class HistoryError(StoreError):
    """A history cannot be read: an unknown event type or version, a gap, or an undecodable record."""


class DamagedHistoryError(HistoryError):
    """A history is not what was written for its run: an event was changed, lost, or put in another's place.

    `run` names the run, `event` the first event that is damaged; those before it can be read, and none after it is.
    """

    def __init__(self, message: str, *, run: str, event: int) -> None:
        super().__init__(message)
        self.run = run
        self.event = event


class UnreadablePayloadError(HistoryError):
    """A recorded value is encoded in a way that this engine cannot undo: its key, codec or blob is missing."""


class InternalError(PerdureError):
    """A promise of Perdure's own code was broken. Please report it with the message."""


class RunEvicted(BaseException):
    """Unwinds workflow code whose run has left memory. Never seen by users; nothing it does has any effect."""
