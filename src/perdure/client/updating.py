"""Updates from outside: a message into the run's inbox, then the run's history tells what became of it.

The answer is read where it is durable, so it does not matter which process has the run. A call that is made again with
its request id has no second effect and finds the answer of the first (`update_answers`), also in an older generation
and when the run has ended. An update that a run has ended without answering had no effect: its request counts as not
made, and reaches the run that has the id next.
"""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Final, TypeVar

import msgspec

from perdure.authoring.arguments import require_duration
from perdure.client.following import follow
from perdure.client.gateway import Gateway, missing
from perdure.client.update_answers import Answer, Place, answer_in, find_answer, last_answer
from perdure.errors import (
    PerdureError,
    ResultTimeoutError,
    RunClosedError,
    RunNotFoundError,
    UpdateError,
    UpdateFailedError,
    UpdateRejectedError,
)
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.messages import UpdateMessage, request_of_update
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.store import RunSummary

__all__ = ["Asked"]

_Error = TypeVar("_Error", bound=PerdureError)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An update that is asked of a run.

    `is_repeatable`: the call may have been made before, with the same id, or will be. `begun`: the run that began with
    the update, or that an earlier call of the same request has updated.
    """

    gateway: Gateway
    ref: RunRef
    message: UpdateMessage
    is_repeatable: bool
    begun: RunKey | None = None

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
            raise self._open(ResultTimeoutError(self._unanswered(f"within {seconds:g} s"))) from None

    async def _answer(self, *, until_completed: bool) -> Answer:
        if self.is_repeatable or self.begun is not None:
            place = await self._place()
        else:
            latest = await self._row(self.ref)
            taker = await self._send()  # the id may have gone to another run meanwhile
            place = Place(None, latest, latest.sequence) if taker == latest.run_key else await self._find(taker)
        if place.answer is not None and _settles(place.answer, until_completed=until_completed):
            return place.answer
        return await self._next(place, until_completed=until_completed)

    async def _place(self) -> Place:
        """Have the update taken in, unless it was before; return where its answer stands, or will."""
        if self.begun is not None:
            place = await self._find(self.begun)
            if place.has_ended:
                raise self._too_late()
            return place
        try:
            taker = await self._send()
        except RunClosedError:
            # A run that began with it, or one that an older Perdure had answer it, may know it all the same.
            place = await last_answer(self.gateway.store, await self._row(self.ref), self.message.update_id)
            if place.answer is None:
                raise
            return place
        while (place := await self._find(taker)).has_ended:
            taker = await self._send(unanswered=taker)
        return place

    async def _send(self, *, unanswered: RunKey | None = None) -> RunKey:
        """Bring the update to the run of the id; return the one that has taken it in. Raises RunClosedError."""
        update_id = self.message.update_id
        request_id = request_of_update(update_id) if self.is_repeatable else ""
        return await self.gateway.deliver(
            self.ref, self.message, message_id=update_id, request_id=request_id, unanswered=unanswered
        )

    async def _find(self, taker: RunKey) -> Place:
        """Return where the answer stands, or will, of an update that was sent."""
        try:
            row = await self.gateway.store.find(taker)
            if row is not None:
                return await find_answer(self.gateway.store, row, self.message.update_id)
        except RunNotFoundError as error:
            raise self._open(error) from None
        except PerdureError as error:
            raise self._open_after(error) from error.__cause__
        raise self._removed()

    async def _row(self, ref: RunRef) -> RunSummary:
        summary = await self.gateway.store.find(ref)
        if summary is None:
            raise missing(ref)
        return summary

    async def _next(self, place: Place, *, until_completed: bool) -> Answer:
        answer = place.answer
        try:
            async with aclosing(follow(self.gateway, place.generation, after=place.sequence)) as events:
                async for _, recorded in events:
                    answer = answer_in(recorded.event, self.message.update_id) or answer
                    if answer is not None and _settles(answer, until_completed=until_completed):
                        return answer
            is_there = await self.gateway.store.find(place.generation.run_key) is not None
        except PerdureError as error:
            raise self._open_after(error) from error.__cause__
        if not is_there:
            raise self._removed()
        if answer is None:
            raise self._too_late()
        return e.UpdateCompleted(update_id=self.message.update_id, failure=_CUT_OFF)

    def _too_late(self) -> RunClosedError:
        return RunClosedError(
            f"run {self.ref} ended before it answered the update {self.message.name!r}, which has had no effect"
        )

    def _removed(self) -> RunNotFoundError:
        message = (
            f"run {self.ref} was removed before its answer to the update {self.message.name!r} was read, so that it is "
            f"not known whether that had an effect"
        )
        return self._open(RunNotFoundError(message))

    def _open_after(self, error: PerdureError) -> PerdureError:
        return self._open(_saying_more(error, self._unanswered("before this error")))

    def _open(self, error: _Error) -> _Error:
        error.open_request_id = self.message.update_id
        return error

    def _unanswered(self, when: str) -> str:
        return (
            f"run {self.ref} did not answer the update {self.message.name!r} {when} and may still; "
            f"make the call again with request_id={self.message.update_id!r} for its answer"
        )

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


_CUT_OFF: Final = Failure(
    type="RunClosedError",
    message="the run, whose history is damaged, has ended before the update's handler did",
    retryable=False,
)


def _saying_more(error: PerdureError, words: str) -> PerdureError:
    """Return an error like this one that says more: this one may be told to others who wait, too."""
    told = type(error).__new__(type(error), f"{error}; {words}")
    told.__dict__.update(error.__dict__)
    return told.with_traceback(error.__traceback__)


def _settles(answer: Answer, *, until_completed: bool) -> bool:
    return not (until_completed and isinstance(answer, e.UpdateAccepted))
