"""Outcomes of activities from outside: a message into the run's inbox, named by an attempt's token.

The history says what became of the attempt; where it does not yet, the inbox takes one outcome of an attempt, the
first, and no other. So exactly one counts, whoever else tries, and the caller learns which; no worker has to be there.

**What the caller is promised.** When `complete` or `fail` returns, the outcome is durable and the first. It counts,
unless the workflow gives the call up, or the run ends, before a worker has taken it from the inbox. A result counts all
the same if a retry or a reset goes on from a point that has the call; a failure does not, the step is made again there.
A limit or a failure of the attempt does not overtake it: the store refuses that transition while the outcome is in the
inbox (`Transition.must_not_overtake`), and the run is loaded again, inbox first.
"""

from contextlib import suppress

import msgspec

from perdure.authoring.payloads import encode_value
from perdure.authoring.signature import Signature
from perdure.client.gateway import Gateway
from perdure.client.generations import next_generation
from perdure.errors import InternalError, InvalidArgumentError, RunClosedError, StaleTokenError, UnknownActivityError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.payload import Payload
from perdure.kernel.standing import standing_of
from perdure.kernel.tokens import ActivityToken
from perdure.ports.store import RunStore
from perdure.redaction import recorded_failure

__all__ = ["OutsideAttempt"]

_Outcome = m.CompleteActivityMessage | m.FailActivityMessage


class OutsideAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that somebody outside works on: whose it is, and what its history says of it so far.

    `settled` is the event by which it ended, or the result that its run, ended meanwhile, has handed on unread; None
    while it is open.
    """

    gateway: Gateway
    token: ActivityToken
    ref: RunRef
    activity: str
    settled: "_Settled | None"

    @classmethod
    async def find(cls, gateway: Gateway, text: str) -> "OutsideAttempt":
        """Return the attempt that a token names. Complexity: the run's events.

        Raises InvalidArgumentError for a text that is no token of this store.
        """
        token = ActivityToken.parse(text)
        events = await _events(gateway.store, token.run_key, token.operation)
        standing = standing_of(events)
        if standing is None or not token.is_of(standing):
            message = f"the token {text!r:.60} was not given out by a run of this database"
            raise InvalidArgumentError(message)
        activity = next((event.activity for event in events if isinstance(event, e.ActivityScheduled)), "")
        settled: _Settled | None = next((event for event in events if _settles(event, token.attempt)), None)
        if isinstance(settled, e.ActivityCancelled) and settled.reason:
            settled = await _handed_on(gateway.store, standing.ref, token) or settled
        return cls(gateway=gateway, token=token, ref=standing.ref, activity=activity, settled=settled)

    async def complete(self, value: object, *, request_id: str) -> None:
        """Let the attempt succeed. Raises StaleTokenError, PayloadError for a value that is no result of it."""
        await self._settle(
            m.CompleteActivityMessage(
                operation=self.token.operation,
                attempt=self.token.attempt,
                generation=self.ref.generation,
                result=self._encode(value),
                request_id=request_id,
            )
        )

    async def fail(self, error: object, *, request_id: str) -> None:
        """Let the attempt fail. Raises StaleTokenError, InvalidArgumentError for what is no exception."""
        if not isinstance(error, BaseException):
            message = f"fail: error is {error!r:.60}; it must be an exception"
            raise InvalidArgumentError(message)
        await self._settle(
            m.FailActivityMessage(
                operation=self.token.operation,
                attempt=self.token.attempt,
                generation=self.ref.generation,
                failure=recorded_failure(error, with_traceback=error.__traceback__ is not None),
                request_id=request_id,
            )
        )

    async def beat(self, details: Payload, *, message_id: str) -> None:
        """Say that the attempt is being worked on. Raises StaleTokenError."""
        beat = m.HeartbeatMessage(
            operation=self.token.operation,
            attempt=self.token.attempt,
            generation=self.ref.generation,
            details=details,
        )
        settled = self.settled
        if settled is None:
            try:
                await self.gateway.deliver(self.token.run_key, beat, message_id=message_id)
            except RunClosedError:
                settled = await self._settled_by_now()
        if settled is not None:
            raise await self._stale(settled)

    async def _settle(self, outcome: _Outcome) -> None:
        first = self.settled or await self._first_with(outcome)
        if not _is_same(first, outcome):
            raise await self._stale(first)

    async def _first_with(self, outcome: _Outcome) -> "_Settled":
        """Send the outcome and return the first that there is of the attempt: this one, or another's.

        The history is asked last: the inbox takes a second outcome when the first has been taken out of it. The whole
        inbox is read, since the outcome is its newest entry or nearly so: what it costs is what the run has not taken
        yet, which is little unless it is suspended, parked, or of code that nobody has.
        """
        waiting, message_id = None, m.outcome_id(self.ref.generation, self.token.operation, self.token.attempt)
        with suppress(RunClosedError):
            await self.gateway.deliver(self.token.run_key, outcome, message_id=message_id)
            waiting = await _waiting(self.gateway.store, self.token.run_key, message_id)
        first = await self._settled_by_now() or waiting
        if first is None:
            message = f"an outcome of activity {self.activity} of run {self.ref} was taken and is not in its history"
            raise InternalError(message)
        return first

    async def _settled_by_now(self) -> "_Settled | None":
        return (await self.find(self.gateway, str(self.token))).settled

    async def _end_without_retry(self) -> "_Settled | None":
        """Return by what the call ended after this attempt had failed, if no other was made."""
        events = await _events(self.gateway.store, self.token.run_key, self.token.operation)
        if any(getattr(event, "attempt", 0) > self.token.attempt for event in events):
            return None
        return next((event for event in events if isinstance(event, e.ActivityTimedOut | e.ActivityCancelled)), None)

    def _encode(self, value: object) -> Payload:
        """Encode a result, by the activity's own type where this process knows it."""
        signature = self._signature()
        if signature is None:
            return encode_value(value, subject=f"result of {self.activity}")
        payload = signature.encode_result(value)
        signature.decode_result(payload)  # what the workflow could not read is refused here
        return payload

    def _signature(self) -> Signature | None:
        try:
            return self.gateway.registry.activity(self.activity).signature
        except UnknownActivityError:
            return None

    async def _stale(self, settled: "_Settled") -> StaleTokenError:
        if type(settled) is e.ActivityAttemptFailed:
            settled = await self._end_without_retry() or settled
        became = _WHAT_BECAME[type(settled)]
        what = f"attempt {self.token.attempt} of activity {self.activity} of run {self.ref}"
        return StaleTokenError(
            f"{what} {_SENTENCES[became]}", run_id=self.ref.id, activity=self.activity, reason=became
        )


_Settled = e.Event | m.Message


async def _handed_on(store: RunStore, ref: RunRef, token: ActivityToken) -> _Settled | None:
    """Return the result of the attempt's call in the generations that have it from a run which has ended, or the result
    that waits for them: in their inbox, or left in that run's. None: there is neither. A failure is not handed on.

    A generation's history is asked last: it takes the result out of the inbox at any time.
    """
    message_id = m.outcome_id(ref.generation, token.operation, token.attempt)
    run = await store.find(token.run_key)
    while run is not None and (run := await next_generation(store, run)) is not None:
        waiting = [await _waiting(store, inbox_of, message_id) for inbox_of in (run.run_key, token.run_key)]
        events = await _events(store, run.run_key, token.operation)
        forked = next((n for n, event in enumerate(events) if type(event) is e.RunForked and event.ref == run.ref), 0)
        if not any(type(event) is e.ActivityScheduled for event in events[:forked]):
            return None
        found = (one for one in (*events[forked:], *waiting) if isinstance(one, _RESULTS))
        if (result := next(found, None)) is not None:
            return result
    return None


async def _waiting(store: RunStore, run_key: RunKey, message_id: str) -> m.Message | None:
    inbox = await store.read_inbox(run_key, limit=_LONGEST_INBOX)
    return next((entry.message for entry in inbox if entry.message_id == message_id), None)


async def _events(store: RunStore, run_key: RunKey, operation: Operation) -> list[e.Event]:
    """Return the events that say who the run is, and those of the activity call."""
    found: list[e.Event] = []
    after = 0
    while True:
        page = await store.read_history(run_key, after=after, limit=_PAGE)
        found += (r.event for r in page if _is_about(r.event, operation))
        if len(page) < _PAGE:
            return found
        after = page[-1].sequence


def _is_about(event: e.Event, operation: Operation) -> bool:
    return isinstance(event, e.RunCreated | e.RunForked) or getattr(event, "operation", 0) == operation


def _settles(event: e.Event, attempt: int) -> bool:
    match event:
        case e.ActivityCompleted() | e.ActivityFailed() | e.ActivityTimedOut() | e.ActivityCancelled():
            return True
        case e.ActivityAttemptFailed():
            return event.attempt == attempt
        case _:
            return False


def _is_same(settled: _Settled, outcome: _Outcome) -> bool:
    """Whether what settled an attempt is this outcome, told before."""
    match settled, outcome:
        case ((e.ActivityCompleted() | m.CompleteActivityMessage()), m.CompleteActivityMessage()):
            return settled.attempt == outcome.attempt and (
                settled.request_id == outcome.request_id or settled.result == outcome.result
            )
        case ((e.ActivityFailed() | e.ActivityAttemptFailed() | m.FailActivityMessage()), m.FailActivityMessage()):
            return settled.attempt == outcome.attempt and (
                settled.request_id == outcome.request_id or str(settled.failure) == str(outcome.failure)
            )
        case _:
            return False


_WHAT_BECAME: dict[type[_Settled], str] = {
    e.ActivityCompleted: "completed",
    m.CompleteActivityMessage: "completed",
    e.ActivityFailed: "failed",
    m.FailActivityMessage: "failed",
    e.ActivityAttemptFailed: "retried",
    e.ActivityTimedOut: "timed_out",
    e.ActivityCancelled: "cancelled",
}
_SENTENCES = {
    "completed": "is completed already, with another result",
    "failed": "has failed already",
    "retried": "has failed or run out of time, and another attempt is made: it has a token of its own",
    "timed_out": "has run out of time",
    "cancelled": "is not wanted any more: the workflow gave it up, or its run has ended",
}
_RESULTS = (e.ActivityCompleted, m.CompleteActivityMessage)
_PAGE = 1_000
_LONGEST_INBOX = 1_000_000
