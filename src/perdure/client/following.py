"""Following a run: its events in order, each once, across generations and processes, until it has ended.

A generation that began with a copy of the one before is followed from where the copy ends.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from perdure.client.gateway import Gateway
from perdure.client.generations import fork_of, next_generation
from perdure.kernel.events import Event
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.store import RunStore, RunSummary

__all__ = ["follow"]


async def follow(gateway: Gateway, summary: RunSummary, *, after: int) -> AsyncGenerator[tuple[RunRef, RecordedEvent]]:
    """Yield the events after number `after` of the generation of `summary`, then each new one when it is durable.

    Each with the generation in whose history it stands.
    Follows the run into its next generations, until it has ended. Raises the reason if this process cannot run it.
    """
    news, run_id = asyncio.Event(), (summary.ref.namespace, summary.ref.id)

    def published(ref: RunRef, _events: object) -> None:
        if (ref.namespace, ref.id) == run_id:
            news.set()

    def woken(closing: asyncio.Future[Event | None]) -> None:
        if not closing.cancelled():
            closing.exception()  # looked at here: below it is only where this still waits
        news.set()

    gateway.listeners.append(published)
    try:
        while True:
            news.clear()
            # Asked before we look, so that a change by another process in between is not missed.
            closing = gateway.closing(summary.run_key)
            closing.add_done_callback(woken)
            try:
                page = await gateway.store.read_history(summary.run_key, after=after, limit=_PAGE)
                for recorded in page:
                    yield summary.ref, recorded
                    after = recorded.sequence
                if page:
                    continue
                following = await _following(gateway.store, summary.run_key, after)
                if following is None:
                    return
                if following.run_key != summary.run_key:
                    summary, after = following, await _copied(gateway.store, following)
                elif following.sequence <= after:
                    await news.wait()
                    if closing.done():
                        closing.result()  # raises what keeps the run from going on here
            finally:
                gateway.stop_waiting(summary.run_key, closing)
    finally:
        gateway.listeners.remove(published)


_PAGE: Final = 1_000


async def _following(store: RunStore, run_key: RunKey, after: int) -> RunSummary | None:
    """Return the row of the generation whose events come next; None if all have been seen."""
    summary = await store.find(run_key)
    if summary is None or not summary.status.is_closed or summary.sequence > after:
        return summary
    return await next_generation(store, summary)


async def _copied(store: RunStore, summary: RunSummary) -> int:
    """Return how many events a generation has copied from the one before."""
    fork = await fork_of(store, summary)
    return 0 if fork is None else fork.sequence
