"""Runs with what their keys mean outside of their database, and which keys they have in another."""

from collections.abc import Iterable, Sequence

from perdure.archiving.rekeying import key_elsewhere, keys_of, rekeyed
from perdure.archiving.run_lines import SavedRun
from perdure.kernel.identity import RunKey
from perdure.ports.keeping import WholeRun
from perdure.ports.store import RunStore

__all__ = ["key_everywhere", "runs_here", "with_origins"]


async def with_origins(store: RunStore, runs: Sequence[WholeRun]) -> list[SavedRun]:
    """Return runs of a store with where their keys were given out."""
    keys = [keys_of(run) for run in runs]
    origins = await store.origins_of(set().union(*keys))
    return [
        SavedRun(run, {key: origins[key] for key in named & origins.keys()})
        for run, named in zip(runs, keys, strict=True)
    ]


async def runs_here(store: RunStore, saved: Iterable[SavedRun]) -> list[WholeRun]:
    """Return runs under the keys that they have in a store: their own, where those mean the same in it."""
    saved = list(saved)
    here = await store.origins_of({key for one in saved for key in one.origins})

    def moved(one: SavedRun) -> WholeRun:
        new = {
            key: key if here.get(key) == origin else key_elsewhere(key, origin=origin)
            for key, origin in one.origins.items()
        }
        return rekeyed(one.run, lambda key: new.get(RunKey(key), RunKey(key)))

    return [moved(one) for one in saved]


async def key_everywhere(store: RunStore, key: RunKey) -> RunKey:
    """Return the key that a run of a store has in all others."""
    origins = await store.origins_of([key])
    return key_elsewhere(key, origin=origins[key]) if key in origins else key
