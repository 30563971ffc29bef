"""What really happened outside, counted in the file of the example's simulated services.

No engine writes that file: a customer who was charged twice has two rows there, whatever the histories say.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

__all__ = ["ServicesCensus", "count_services"]


class ServicesCensus(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of effects per order, and of calls.

    `unanswered_calls` arrived and got no answer: their caller died, or the answer was lost. `repeated_calls` arrived
    with a key that had been seen before, and had no second effect.
    """

    charges: Mapping[str, int]
    refunds: Mapping[str, int]
    shipments: Mapping[str, int]
    messages: Mapping[str, int]
    calls: int
    unanswered_calls: int
    repeated_calls: int


def count_services(path: Path) -> ServicesCensus:
    """Count. Before the services exist they have done nothing."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if not {"calls", "effects"} <= tables:
            return _NOTHING
        effects: dict[str, Counter[str]] = {}
        for effect, order_id, count in connection.execute(
            "SELECT effect, order_id, count(*) FROM effects GROUP BY effect, order_id"
        ):
            effects.setdefault(effect, Counter())[order_id] = count
        calls, answered, keys = connection.execute(
            "SELECT count(*), coalesce(sum(answered), 0), count(DISTINCT key) FROM calls"
        ).fetchone()
    return ServicesCensus(
        charges=effects.get("charge", Counter()),
        refunds=effects.get("refund", Counter()),
        shipments=effects.get("ship", Counter()),
        messages=effects.get("message", Counter()),
        calls=calls,
        unanswered_calls=calls - answered,
        repeated_calls=calls - keys,
    )


_NOTHING = ServicesCensus(
    charges={}, refunds={}, shipments={}, messages={}, calls=0, unanswered_calls=0, repeated_calls=0
)
