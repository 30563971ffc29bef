"""Stages: the named phases of a run, and the deadlines that hold within them.

A stage with a deadline is `asyncio.timeout` with a name: when its time has passed, what it waits for is cancelled, its
clean-up runs, and StageTimeoutError leaves it. Beyond that the deadline reaches inward: activities and child runs that
are asked for within the stage learn of it, are not begun after it, and are not tried again where that would come too
late. It reaches the tasks that were made within the stage, too, since those take its context variables along.

It holds for what is asked for before it passes and while the stage is open. Clean-up that runs because it has passed is
not cut off by it, as with `asyncio.timeout`: otherwise no clean-up could ask for anything; nor are compensations, which
are shielded. The stages further out and the run hold for clean-up, too. What the code shields runs on when the deadline
has passed, but no attempt of it begins any more.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from perdure.authoring.arguments import require_duration, require_moment, require_text
from perdure.errors import InvalidArgumentError, StageTimeoutError
from perdure.kernel import commands as c
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.journal import Journal
from perdure.kernel.loop import LAST_INSTANT
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

__all__ = ["deadline_around", "open_stage"]


@asynccontextmanager
async def open_stage(
    journal: Journal, name: str, *, timeout: timedelta | None, deadline: datetime | None
) -> AsyncGenerator[None]:
    """Enter a named phase; see `Context.stage`."""
    require_text(name, "the name of a stage")
    ends_at = _end(journal, timeout, deadline)
    operation = journal.next_operation()
    journal.give(c.StartStage(operation=operation, name=name, deadline_at=ends_at, location=journal.location()))
    try:
        if ends_at is None:
            yield
        else:
            journal.has_deadlines = True  # from here on calls look for those around them
            async with _limited(name, ends_at):
                yield
    except (Exception, asyncio.CancelledError) as error:
        failure = journal.failure_of(error, with_traceback=False)
        journal.give(c.FailStage(operation=operation, failure=failure, location=journal.location()))
        raise
    journal.give(c.CompleteStage(operation=operation, location=journal.location()))


def deadline_around() -> Deadline | None:
    """Return the nearest deadline of the stages around the code that runs, of those that still hold."""
    limit, found = _innermost.get(), None
    while limit is not None:
        if limit.holds:
            found = nearest(limit.deadline, found)
        limit = limit.outer
    return found


class _Limit:
    """The deadline of an open stage."""

    __slots__ = ("_is_left", "deadline", "outer", "timeout")

    def __init__(self, deadline: Deadline, outer: "_Limit | None") -> None:
        self.deadline = deadline
        self.outer = outer
        self.timeout = asyncio.timeout_at(deadline.at / MICROSECONDS_PER_SECOND)
        self._is_left = False

    @property
    def holds(self) -> bool:
        return not (self._is_left or self.timeout.expired())

    def leave(self) -> None:
        """Take note that the stage has ended: tasks that outlive it are limited by it no more."""
        self._is_left = True


_innermost: ContextVar[_Limit | None] = ContextVar("perdure_stage_limit", default=None)


@asynccontextmanager
async def _limited(name: str, ends_at: Timestamp) -> AsyncGenerator[None]:
    limit = _Limit(Deadline(at=ends_at, of=f"stage {name!r}"), _innermost.get())
    token = _innermost.set(limit)
    try:
        async with limit.timeout:
            yield
    except (Exception, asyncio.CancelledError) as error:  # not the unwinding of a run that leaves memory
        _innermost.reset(token)
        if isinstance(error, TimeoutError) and limit.timeout.expired():
            message = f"stage {name!r} did not end by its deadline"
            raise StageTimeoutError(message, stage=name) from error
        raise
    else:
        _innermost.reset(token)
    finally:
        limit.leave()


def _end(journal: Journal, timeout: timedelta | None, deadline: datetime | None) -> Timestamp | None:
    if timeout is not None and deadline is not None:
        raise InvalidArgumentError("ctx.stage: timeout and deadline were both given; a stage has one of them")
    if timeout is not None:
        ends_at = journal.loop.now + require_duration(timeout, "ctx.stage: timeout")
    elif deadline is not None:
        ends_at = require_moment(deadline, "ctx.stage: deadline")
    else:
        return None
    return Timestamp(min(ends_at, LAST_INSTANT))
