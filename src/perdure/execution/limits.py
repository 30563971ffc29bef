"""Limits: what the activities of this worker process share, and which group of calls each call belongs to.

The limits hold in one worker process: each has its own counters, rates, resources and breakers, and they begin anew
when it starts. Deciding is pure and stands in `perdure.scheduling.admission` and `perdure.resilience.breaker`; here the
declarations are bound to what is shared.
"""

from collections.abc import Hashable, Mapping
from typing import Final

from perdure.authoring.registry import Registry
from perdure.execution.call import ActivityCall
from perdure.kernel import inputs as i
from perdure.kernel.failure import Failure
from perdure.kernel.limits import CircuitBreaker
from perdure.kernel.retry import NO_RETRY, excludes
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.resilience.breaker import Breaker, Happening, Phase
from perdure.scheduling.concurrency import ConcurrencyLimit
from perdure.scheduling.item import Item
from perdure.scheduling.limit import Limit
from perdure.scheduling.rate import ArrivalTimes, RateGate
from perdure.scheduling.resources import ResourceDemand, ResourcePool

__all__ = ["BreakerLimit", "Limits", "failure_of_open_circuit", "had_rather_fail"]

_logger = logger_named("perdure.worker")


class Limits:
    """Counters, rates, resources and breakers of one worker process."""

    def __init__(self, registry: Registry, *, resources: Mapping[str, int], resource_passes: int) -> None:
        """Share `resources` among activities; take the workflows' limits from `registry`."""
        self._registry = registry
        self._running: dict[Hashable, int] = {}
        self._times = ArrivalTimes()
        self._pool = ResourcePool(resources, passes=resource_passes)
        self._breakers = _Breakers()

    def key(self, call: ActivityCall) -> Hashable | None:
        """Name the group of a call, those under the same limits; None: nothing limits it."""
        options, most = call.options, call.definition.max_concurrent
        workflow_most = self._registry.activity_limits.get(call.workflow)
        if (
            workflow_most is None
            and most is None
            and options.rate_limit is None
            and options.resources is None
            and options.circuit_breaker is None
        ):
            return None
        resources = None if options.resources is None else tuple(sorted(options.resources.items()))
        limits_workflow = None if workflow_most is None else (call.workflow, workflow_most)
        breaker = None if options.circuit_breaker is None else (options.circuit_breaker, had_rather_fail(call))
        return (call.executor, call.activity, most, limits_workflow, resources, options.rate_limit, breaker)

    def bind(self, call: ActivityCall) -> list[Limit]:
        """Return the limits of the group of a call, bound to what this process shares."""
        options, name = call.options, call.activity
        limits: list[Limit] = []
        policy, rate, most = options.circuit_breaker, options.rate_limit, call.definition.max_concurrent
        workflow_most = self._registry.activity_limits.get(call.workflow)
        if policy is not None:
            limits.append(self._breaker_limit(call, policy))
        if workflow_most is not None:
            what = f"activities of workflow {call.workflow}"
            limits.append(ConcurrencyLimit(self._running, ("workflow", call.workflow), workflow_most, what=what))
        if most is not None:
            limits.append(ConcurrencyLimit(self._running, ("activity", name), most, what=f"activity {name}"))
        if options.resources:
            limits.append(ResourceDemand(self._pool, options.resources))
        if rate is not None:
            limits.append(RateGate(self._times, ("rate", rate.key or name), rate))
        return limits

    def failure(self, call: ActivityCall, item: Item, now: Timestamp) -> Failure | None:
        """Return the failure of a call that shall not even wait: it asks for more than there is, or its breaker is open
        and it had rather fail."""
        resources, policy = call.options.resources, call.options.circuit_breaker
        excess = "" if resources is None else self._pool.excess(resources)
        if excess:
            message = (
                f"activity {call.activity} cannot run in this worker: {excess}; announce what the worker has with "
                f"Settings(resources=...), or ask for less"
            )
            return _final_failure("ResourcesUnavailableError", message)
        if policy is not None and had_rather_fail(call):
            limit = self._breaker_limit(call, policy)
            return failure_of_open_circuit(call, limit, now) if limit.refuses(item, now) else None
        return None

    def outcome(self, call: ActivityCall, given: i.Input | None, now: Timestamp) -> Hashable | None:
        """Tell the breaker of a call what became of the attempt; return the key at which others may be tried again."""
        policy, item = call.options.circuit_breaker, call.item
        happening = _happening(given)
        if policy is None or item is None or happening is None:
            return None
        key = _breaker_key(call, policy)
        breaker = self._breakers.of(key, policy, now)
        before = breaker.state.phase
        reopens = breaker.end(item.key, happening, policy, now)
        after = breaker.state.phase
        if after is not before and after is Phase.OPEN:
            _logger.warning("circuit breaker %s is %s", key[1], breaker.sentence(policy, now))
        elif after is not before:
            _logger.warning("circuit breaker %s is closed again", key[1])
        return key if reopens else None

    def _breaker_limit(self, call: ActivityCall, policy: CircuitBreaker) -> "BreakerLimit":
        return BreakerLimit(self._breakers, _breaker_key(call, policy), policy)


class BreakerLimit:
    """A circuit breaker as a limit; see `Limit`."""

    __slots__ = ("_breakers", "_policy", "key")

    def __init__(self, breakers: "_Breakers", key: tuple[str, str], policy: CircuitBreaker) -> None:
        self._breakers = breakers
        self.key = key
        self._policy = policy

    def refuses(self, _item: Item, now: Timestamp) -> bool:
        """Whether the breaker lets nothing through."""
        return not self._breaker(now).lets_through(self._policy, now)

    def opens_at(self, now: Timestamp) -> Timestamp | None:
        """Return when the next probe may be made, None while that depends on one under way."""
        return self._breaker(now).opens_at(self._policy)

    def take(self, item: Item, now: Timestamp) -> bool:
        """Begin an attempt, perhaps a probe."""
        self._breaker(now).begin(item.key, self._policy, now)
        return False

    def give(self, item: Item, now: Timestamp) -> bool:
        """End an attempt, without an outcome unless one has been told."""
        return self._breaker(now).end(item.key, Happening.ABANDONED, self._policy, now)

    def stand_aside(self) -> bool:
        """Nothing was noted."""
        return False

    def sentence(self, now: Timestamp) -> str:
        """Say where the breaker stands."""
        return f"circuit breaker {self.key[1]} is {self._breaker(now).sentence(self._policy, now)}"

    def _breaker(self, now: Timestamp) -> Breaker:
        return self._breakers.of(self.key, self._policy, now)


class _Breakers:
    """The breakers by key; those at rest are forgotten when there are many."""

    __slots__ = ("_by_key", "_sweep_at")

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[Breaker, CircuitBreaker]] = {}
        self._sweep_at = _SMALL

    def of(self, key: Hashable, policy: CircuitBreaker, now: Timestamp) -> Breaker:
        known = self._by_key.get(key)
        if known is None:
            if len(self._by_key) >= self._sweep_at:
                self._sweep(now)
            known = self._by_key[key] = (Breaker(), policy)
        return known[0]

    def _sweep(self, now: Timestamp) -> None:
        self._by_key = {
            key: (breaker, policy)
            for key, (breaker, policy) in self._by_key.items()
            if not breaker.is_at_rest(policy, now)
        }
        self._sweep_at = max(_SMALL, 2 * len(self._by_key))


_SMALL: Final = 1_024
"""Below this many breakers forgetting is not worth its pass."""


def had_rather_fail(call: ActivityCall) -> bool:
    """Whether a call fails when its breaker is open, instead of waiting: see `CircuitBreaker`."""
    retry = call.options.retry or NO_RETRY
    return (
        call.definition.fallback is not None
        or retry.attempts == 1
        or excludes(retry, "CircuitOpenError", _BASES_OF_FAILURES)
    )


def failure_of_open_circuit(call: ActivityCall, limit: BreakerLimit, now: Timestamp) -> Failure:
    """Return the failure of a call that does not wait for its breaker."""
    return _final_failure("CircuitOpenError", f"activity {call.activity} was not tried: {limit.sentence(now)}")


def _breaker_key(call: ActivityCall, policy: CircuitBreaker) -> tuple[str, str]:
    return ("breaker", policy.key or call.activity)


def _happening(given: i.Input | None) -> Happening | None:
    match given:
        case i.AttemptSucceeded():
            return Happening.SUCCEEDED
        case i.AttemptTimedOut():
            return Happening.FAILED
        case i.AttemptFailed(failure=failure, retry=retry):
            answers = not failure.retryable or excludes(retry, failure.type, failure.types)
            return Happening.SUCCEEDED if answers else Happening.FAILED
        case _:
            return None


_BASES_OF_FAILURES: Final = ("ActivityFailedError", "ActivityError")


def _final_failure(kind: str, message: str) -> Failure:
    return Failure(type=kind, types=(kind, *_BASES_OF_FAILURES), message=message, retryable=False)
