"""Options of activities: what `@activity` and `.options(...)` take, checked and as recorded."""

from datetime import timedelta
from typing import Final

import msgspec

from perdure.authoring.arguments import require_choice
from perdure.authoring.definitions import require_kind
from perdure.errors import InvalidArgumentError
from perdure.kernel.limits import CircuitBreaker, RateLimit
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from perdure.kernel.tasks import LABELS_WANTED, LONGEST_QUEUE_NAME, are_labels, is_queue_name
from perdure.kernel.time import duration_microseconds

__all__ = ["Placement", "build_options", "require_queue"]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where an activity is to be made: options of that name."""

    queue: str | None
    labels: dict[str, str] | None
    sticky: bool | None

    def check(self, subject: str) -> None:
        """Raise InvalidArgumentError for what cannot be, naming the `subject`."""
        if self.queue is not None and not is_queue_name(self.queue):
            wanted = f"a text of 1 to {LONGEST_QUEUE_NAME} characters, or None"
            message = f"{subject}: queue is {self.queue!r:.60}; it must be {wanted}"
            raise InvalidArgumentError(message)
        if self.labels is not None and not are_labels(self.labels):
            message = f"{subject}: labels is {self.labels!r:.60}; it must be {LABELS_WANTED}"
            raise InvalidArgumentError(message)
        require_kind(self.sticky, bool, f"{subject}: sticky", wanted="True or False")


def require_queue(activity_name: str, options: ActivityOptions) -> None:
    """Raise InvalidArgumentError if something is said of a worker that only one that serves a queue may have."""
    said = "labels" if options.labels else "sticky" if options.sticky else ""
    if said and not options.queue:
        message = f"activity {activity_name}: {said} is given, and no queue; say which, such as queue='gpu'"
        raise InvalidArgumentError(message)


def build_options(
    activity_name: str,
    *,
    retry: Retry | None,
    timeout: timedelta | None,
    schedule_to_start: timedelta | None,
    schedule_to_close: timedelta | None,
    heartbeat_timeout: timedelta | None,
    placement: "Placement",
    priority: Priority | None,
    executor: Executor | str | None,
    expected_duration: timedelta | None,
    idempotency_key: str | None,
    at_most_once: bool | None,
    resources: dict[str, int] | None,
    rate_limit: RateLimit | None,
    circuit_breaker: CircuitBreaker | None,
) -> ActivityOptions:
    """Return checked options. Raises InvalidArgumentError naming the activity and the argument."""
    subject = f"activity {activity_name}"
    require_kind(retry, Retry, f"{subject}: retry", wanted="a policy, e.g. Retry(attempts=3)")
    placement.check(subject)
    require_kind(idempotency_key, str, f"{subject}: idempotency_key", wanted="a text")
    require_kind(at_most_once, bool, f"{subject}: at_most_once", wanted="True or False")
    require_kind(rate_limit, RateLimit, f"{subject}: rate_limit", wanted="a RateLimit(...)")
    require_kind(circuit_breaker, CircuitBreaker, f"{subject}: circuit_breaker", wanted="a CircuitBreaker(...)")
    if priority is not None:
        require_choice(priority, Priority, f"{subject}: priority")
    return ActivityOptions(
        retry=retry,
        start_to_close_microseconds=_limit(activity_name, "timeout", timeout),
        schedule_to_start_microseconds=_limit(activity_name, "schedule_to_start", schedule_to_start),
        schedule_to_close_microseconds=_limit(activity_name, "schedule_to_close", schedule_to_close),
        heartbeat_microseconds=_limit(activity_name, "heartbeat_timeout", heartbeat_timeout),
        queue=placement.queue,
        labels=placement.labels,
        sticky=placement.sticky,
        priority=priority,
        executor=_executor(activity_name, executor),
        expected_duration_microseconds=_limit(activity_name, "expected_duration", expected_duration),
        idempotency_key=idempotency_key,
        at_most_once=at_most_once,
        resources=_resources(activity_name, resources),
        rate_limit=rate_limit,
        circuit_breaker=circuit_breaker,
    )


def _limit(activity_name: str, argument: str, duration: timedelta | None) -> int | None:
    if duration is None:
        return None
    if not isinstance(duration, timedelta) or duration <= timedelta(0):  # type: ignore[redundant-expr]
        message = (
            f"activity {activity_name}: {argument} is {duration!r}; "
            f"it must be a timedelta above zero, or None for no limit"
        )
        raise InvalidArgumentError(message)
    return duration_microseconds(duration)


def _resources(activity_name: str, resources: dict[str, int] | None) -> dict[str, int] | None:
    for dimension, amount in (resources or {}).items():
        if not isinstance(amount, int) or amount < 1:  # type: ignore[redundant-expr]
            message = f"activity {activity_name}: resources[{dimension!r}] is {amount!r}; it must be an integer from 1"
            raise InvalidArgumentError(message)
    return resources


def _executor(activity_name: str, executor: Executor | str | None) -> Executor | None:
    if executor is None:
        return None
    if executor in _TO_CHOOSE:
        return Executor(executor)
    message = f"activity {activity_name}: executor is {executor!r}; allowed are {', '.join(_TO_CHOOSE)}"
    raise InvalidArgumentError(message)


_TO_CHOOSE: Final = tuple(executor for executor in Executor if executor is not Executor.TRANSACTION)
