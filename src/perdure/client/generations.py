"""Generations of an id: which of them one run has lived, and what of its history each has of its own.

A run goes on as the next generation where it continued as new, and where it was retried or reset: that one begins with
a copy of the one before. Otherwise the next generation is another run, which took the id when that was free.
"""

from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunStore, RunSummary

__all__ = ["first_generation", "fork_of", "next_generation"]


async def first_generation(store: RunStore, latest: RunSummary) -> RunSummary:
    """Return the generation by which the run of this one began. Complexity: generations."""
    first = latest
    while (before := await _neighbour(store, first, -1)) is not None and await _goes_on(store, before, first):
        first = before
    return first


async def next_generation(store: RunStore, ended: RunSummary) -> RunSummary | None:
    """Return the generation as which a run goes on; None if it does not."""
    following = await _neighbour(store, ended, 1)
    return following if following is not None and await _goes_on(store, ended, following) else None


async def fork_of(store: RunStore, run: RunSummary) -> e.RunForked | None:
    """Return how a run was made by a fork, None if it was not. Complexity: linear in what it has copied."""
    if not await _is_fork(store, run):
        return None
    after = 0
    while page := await store.read_history(run.run_key, after=after, limit=_PAGE):
        for recorded in page:
            if isinstance(recorded.event, e.RunForked) and recorded.event.ref == run.ref:
                return recorded.event
        after = page[-1].sequence
    return None


_PAGE = 1_000


async def _neighbour(store: RunStore, run: RunSummary, distance: int) -> RunSummary | None:
    generation = run.ref.generation + distance
    if generation < 1:
        return None
    ref = RunRef(namespace=run.ref.namespace, id=run.ref.id, generation=generation)
    return await store.find(ref, latest=False)


async def _goes_on(store: RunStore, before: RunSummary, following: RunSummary) -> bool:
    return before.status is RunStatus.CONTINUED or await _is_fork(store, following)


async def _is_fork(store: RunStore, run: RunSummary) -> bool:
    """Whether the run's history begins with another's creation."""
    page = await store.read_history(run.run_key, limit=1)
    return bool(page) and isinstance(created := page[0].event, e.RunCreated) and created.ref != run.ref
