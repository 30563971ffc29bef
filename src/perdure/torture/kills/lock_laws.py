"""The laws of locks, on all histories together and on the effects: who held what, in the order of the commits."""

from collections import defaultdict
from collections.abc import Iterator

from perdure.kernel import events as e
from perdure.torture.kills.ledger import Effect
from perdure.torture.kills.tables import Tables

__all__ = ["broken_lock_laws"]


def broken_lock_laws(tables: Tables, effects: list[Effect]) -> Iterator[str]:
    """Yield a sentence for each law of locks that is broken."""
    yield from _history_laws(tables)
    yield from _effect_laws(effects)
    for run_key, key in tables.lines:
        yield f"left over: run key {run_key} stands in the line of {key!r}"


def _history_laws(tables: Tables) -> Iterator[str]:
    """Find keys with more holders than one of them allows, and tokens of keys with one holder that do not grow."""
    requests: dict[tuple[int, int], e.LockRequested] = {}
    holders: defaultdict[str, dict[tuple[int, int], e.LockRequested]] = defaultdict(dict)
    tokens: dict[str, int] = {}
    for _, run_key, event in sorted(tables.lock_events, key=lambda entry: entry[0]):
        request = (run_key, event.operation)
        if isinstance(event, e.LockRequested):
            requests[request] = event
            continue
        asked = requests.get(request)
        if asked is None:
            yield f"lock: run key {run_key} was answered for operation {event.operation}, and never asked"
            continue
        holding = holders[asked.key]
        if not isinstance(event, e.LockAcquired):
            holding.pop(request, None)
            continue
        holding[request] = asked
        limits = [one.limit for one in holding.values() if one.limit is not None]
        if len(holding) > min(limits, default=len(holding)):
            yield f"lock: {asked.key!r} was given to run key {run_key}, and then {len(holding)} held it: {[*holding]}"
        if asked.limit == 1:
            if event.fencing_token <= tokens.get(asked.key, 0):
                yield f"lock: the token of {asked.key!r} went from {tokens[asked.key]} to {event.fencing_token}"
            tokens[asked.key] = event.fencing_token


def _effect_laws(effects: list[Effect]) -> Iterator[str]:
    """Find effects, in the order in which they happened, that came with a token less than that of an effect before."""
    tokens: dict[str, int] = {}
    for record in effects:
        if record.lock:
            last = tokens.get(record.lock, 0)
            if record.lock_token < last:
                yield f"lock: {record.key} touched {record.lock!r} with the token {record.lock_token} after {last}"
            tokens[record.lock] = max(last, record.lock_token)
