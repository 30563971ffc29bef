"""Updates from outside: a message into the run's inbox, then the run's history tells what became of it.

The answer is read where it is durable, so it does not matter which process has the run, and a call that is made again
with its request id finds the answer of the first, also after the run has ended.
"""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import msgspec

from perdure.authoring.arguments import require_duration
from perdure.client.following import follow
from perdure.client.gateway import Gateway, missing
from perdure.errors import (
    PerdureError,
    ResultTimeoutError,
    RunClosedError,
    UpdateError,
    UpdateFailedError,
    UpdateRejectedError,
)
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunRef
from perdure.kernel.messages import UpdateMessage
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.store import RunSummary

__all__ = ["Asked"]

Answer = e.UpdateAccepted | e.UpdateRejected | e.UpdateCompleted


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An update that is asked of a run.

    `is_repeatable`: the call may have been made before, with the same id. `is_sent`: the run began with the update.
    """

    gateway: Gateway
    ref: RunRef
    message: UpdateMessage
    is_repeatable: bool
    is_sent: bool = False

    async def answer(self, *, until_completed: bool, timeout: timedelta | None) -> Payload:
        """Send the update and wait until it is accepted or completed; return its result (null if accepted only).

        Raises UpdateRejectedError, UpdateFailedError, RunNotFoundError, RunClosedError, ResultTimeoutError. Any
        other error that comes when the update was sent says so.
        """
        limit = None if timeout is None else require_duration(timeout, "timeout", may_be_zero=True)
        seconds = None if limit is None else limit / MICROSECONDS_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                return self._result(await self._answer(until_completed=until_completed))
        except TimeoutError:
            raise ResultTimeoutError(self._unanswered(f"within {seconds:g} s")) from None

    async def _answer(self, *, until_completed: bool) -> Answer:
        summary = await self.gateway.store.find(self.ref)
        if summary is None:
            raise missing(self.ref)
        known = await self._known(summary) if self.is_repeatable else None
        if known is None and not self.is_sent:
            await self._send(summary)
        elif known is not None and _settles(known, until_completed=until_completed):
            return known
        return await self._next(summary, until_completed=until_completed)

    async def _send(self, summary: RunSummary) -> None:
        try:
            await self.gateway.deliver(self.ref, self.message, message_id=self.message.update_id)
        except RunClosedError:
            # A call with the same id may have been answered since we looked: then its answer follows in the history.
            if summary.status.is_closed or not self.is_repeatable:
                raise

    async def _known(self, summary: RunSummary) -> Answer | None:
        """Return the last answer that the history holds already."""
        found = None
        async with aclosing(follow(self.gateway, summary, after=0)) as events:
            async for _, recorded in events:
                found = self._own(recorded.event) or found
                if recorded.sequence >= summary.sequence:
                    break
        return found

    async def _next(self, summary: RunSummary, *, until_completed: bool) -> Answer:
        try:
            async with aclosing(follow(self.gateway, summary, after=summary.sequence)) as events:
                async for _, recorded in events:
                    answer = self._own(recorded.event)
                    if answer is not None and _settles(answer, until_completed=until_completed):
                        return answer
        except PerdureError as error:
            raise _saying_more(error, self._unanswered("before this error")) from error.__cause__
        message = f"run {self.ref} ended before it answered the update {self.message.name!r}, which has had no effect"
        raise RunClosedError(message)

    def _unanswered(self, when: str) -> str:
        return (
            f"run {self.ref} did not answer the update {self.message.name!r} {when} and may still; "
            f"make the call again with request_id={self.message.update_id!r} for its answer"
        )

    def _own(self, event: e.Event) -> Answer | None:
        match event:
            case e.UpdateAccepted() | e.UpdateRejected() | e.UpdateCompleted():
                return event if event.update_id == self.message.update_id else None
            case _:
                return None

    def _result(self, answer: Answer) -> Payload:
        match answer:
            case e.UpdateRejected(failure=failure):
                raise self._error(UpdateRejectedError, "was rejected", failure)
            case e.UpdateCompleted(failure=Failure() as failure):
                raise self._error(UpdateFailedError, "failed", failure)
            case e.UpdateCompleted(result=result):
                return result
            case e.UpdateAccepted():
                return NULL

    def _error(self, kind: type[UpdateError], became: str, failure: Failure) -> UpdateError:
        return kind(
            f"the update {self.message.name!r} of run {self.ref} {became}: {failure.type}: {failure.message}",
            update=self.message.name,
            run_id=self.ref.id,
            failure_type=failure.type,
            failure_message=failure.message,
        )


def _saying_more(error: PerdureError, words: str) -> PerdureError:
    """Return an error like this one that says more: this one may be told to others who wait, too."""
    told = type(error).__new__(type(error), f"{error}; {words}")
    told.__dict__.update(error.__dict__)
    return told.with_traceback(error.__traceback__)


def _settles(answer: Answer, *, until_completed: bool) -> bool:
    return not (until_completed and isinstance(answer, e.UpdateAccepted))
