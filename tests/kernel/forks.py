"""Forks of runs that were lived through the kernel alone."""

from collections.abc import Sequence
from typing import Any

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel.coroutine_program import Entry
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.forking import ForkOrder, fork
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation
from tests.kernel.lives import RUN_KEY, SECOND, Life, LostExceptions, replay

FORK_KEY = RunKey(8)
LATER = 3600 * SECOND


def order(history: Sequence[RecordedEvent], cause: ForkCause = ForkCause.RESET, **fields: Any) -> ForkOrder:
    ref = RunRef(id="beside") if cause is ForkCause.FORK else RunRef(id="order-1", generation=2)
    given: dict[str, Any] = {
        "cause": cause,
        "ref": ref,
        "run_key": FORK_KEY,
        "call_name": "by chance",
        "origin": RunRef(id="order-1"),
        "origin_key": RUN_KEY,
        "now": Timestamp(history[-1].at + LATER),
    }
    return ForkOrder(**{**given, **fields})


def forked(
    history: Sequence[RecordedEvent], point: int, cause: ForkCause = ForkCause.RESET, **fields: Any
) -> tuple[Creation, e.RunForked]:
    """Return the fork of a history, and its event."""
    creation = fork(history, point, order(history, cause, **fields))
    event = creation.copied[-1].event
    assert isinstance(event, e.RunForked)
    return creation, event


def go_on(entry: Entry, creation: Creation, *, page: int = 1_000, lost: LostExceptions | None = None) -> Life:
    """Load a fork as a worker does, and let it go on."""
    life = loaded(entry, creation, page=page, lost=lost)
    life.take(i.GoOn(worker="w"), after=5)
    return life


def loaded(entry: Entry, creation: Creation, *, page: int = 1_000, lost: LostExceptions | None = None) -> Life:
    return replay(entry, (creation.created, *creation.copied), page=page, lost=lost)
