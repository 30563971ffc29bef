"""What a point of a trial is about: the kinds of writes, events, messages and entries in the commit beside it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

import msgspec

from perdure.kernel import events as e
from perdure.kernel.messages import Message
from perdure.kernel.transition import Creation, Delivery, Transition, Write
from perdure.ports.agenda import AgendaChange

__all__ = ["BROUGHT_IN", "REMOVED", "VOCABULARY", "Point", "kinds_of_change", "kinds_of_writes"]

REMOVED: Final = "runs removed"
BROUGHT_IN: Final = "a run brought in"


class Point(msgspec.Struct, frozen=True):
    """A moment that a plan may strike: its name, and what it is about."""

    name: str
    about: frozenset[str] = frozenset()

    @property
    def moments(self) -> frozenset[str]:
        """Each kind that is struck with it, and on which side of it."""
        return frozenset([f"{self.name} {kind}" for kind in self.about] or [self.name])


def kinds_of_writes(writes: Sequence[Write]) -> frozenset[str]:
    """Return the kinds in a commit of the run store."""
    return frozenset(_of_writes(writes))


def kinds_of_change(change: AgendaChange) -> frozenset[str]:
    """Return the kinds in a change of the agenda."""
    return frozenset({AgendaChange.__name__, f"agenda: {change.key.kind}", *_of_writes(change.creations)})


def _of_writes(writes: Sequence[Write]) -> Iterator[str]:
    for write in writes:
        yield type(write).__name__
        match write:
            case Transition():
                yield from (type(recorded.event).__name__ for recorded in write.events)
                yield from _of_creations(write.creations)
                for delivery in write.deliveries:
                    yield type(delivery.message).__name__
                    if delivery.answers is not None:
                        yield type(delivery.answers.closed).__name__
            case Creation():
                yield from _of_creations((write,))
            case Delivery():
                yield type(write.message).__name__
            case _:
                pass


def _of_creations(creations: Iterable[Creation]) -> Iterator[str]:
    for creation in creations:
        yield e.RunCreated.__name__
        if creation.copied:
            yield e.RunForked.__name__


def _names(kinds: Iterable[type]) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in kinds)


_UNUSED_EVENTS: Final = _names({e.InterventionRequested, e.InterventionResolved, e.InterventionExpired})
"""Nothing in the engine records them yet."""
_TOLD_BY_STORES: Final = frozenset({"LockGrantedMessage", "LockDeniedMessage", "StartActivityMessage"})
"""No write holds them: a store puts them into an inbox beside the changes of locks that they answer, and as it gives
out tasks."""
VOCABULARY: Final = (
    (_names(e.EVENT_TYPES.values()) - _UNUSED_EVENTS)
    | (_names(get_args(Message)) - _TOLD_BY_STORES)
    | _names(get_args(Write))
    | {AgendaChange.__name__, REMOVED, BROUGHT_IN}
)
"""Every kind of event and message of the kernel, and of commit of the store port."""
