"""Ends that need no code: of a run whose code nobody has, or whose code cannot go on from its history.

A termination, the run's deadline and the end of a cancellation's grace end a run whatever its code would say, and so
does a cancellation before its begin: whoever can read the history and the inbox may carry them out. All else waits for
code, a cancellation with its clean-up among it.

**Promise.** On the way to such an end nothing is recorded that a program is told of: no timer fires, and a cancellation
that still stands in the inbox is consumed, not recorded. The program would answer such an event, and a history that has
no answer could never be replayed.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.advance import out_of_grace, run_timeout
from perdure.kernel.message_rules import cancellation, may_end
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp

__all__ = ["End", "first_end"]


class End(msgspec.Struct, frozen=True):
    """An end and when it is due: `given`, taken by `advance`, is the run's last input."""

    at: Timestamp
    given: i.EndRun


def first_end(state: RunState, inbox: Iterable[i.MessageArrived] = ()) -> End | None:
    """Return the first end of an open run that needs no code, by its state and what it has not taken from its inbox.

    None: it ends only by its code, or has ended. Of orders that are due at once, the one that came first counts.
    """
    if state.created is None or state.closed_at is not None:
        return None
    return min(_ends(state, state.created, inbox), key=lambda end: end.at, default=None)


def _ends(state: RunState, created: e.RunCreated, inbox: Iterable[i.MessageArrived]) -> Iterator[End]:
    cancel, position = state.cancel, None
    for arrived in inbox:
        message = arrived.message
        if not isinstance(message, m.TerminateMessage | m.CancelMessage) or not may_end(created, message.parent_key):
            continue
        if isinstance(message, m.TerminateMessage):
            yield _end(_AT_ONCE, e.RunTerminated(reason=message.reason, by=message.by), arrived.position)
        elif state.started_at is None:
            yield _end(_AT_ONCE, e.RunCancelled(reason=message.reason), arrived.position)
        elif cancel is None:
            cancel, position = cancellation(state, message), arrived.position
    if state.deadline is not None:
        yield _end(state.deadline.at, e.RunFailed(failure=run_timeout(created)), None)
    if cancel is not None and cancel.grace_until is not None:
        yield _end(cancel.grace_until, out_of_grace(cancel), position)


def _end(at: Timestamp, closing: e.Event, position: int | None) -> End:
    return End(at, i.EndRun(closing=closing, position=position))


_AT_ONCE: Final = Timestamp(0)
