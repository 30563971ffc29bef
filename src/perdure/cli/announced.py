"""`perdure workers`: what workers have announced to each other."""

from typing import TYPE_CHECKING

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import make_table, print_for_people, print_json, words
from perdure.cli.times import iso, show_duration
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import ServerSummary

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["list_workers"]


async def list_workers(place: Place, *, as_json: bool) -> int:
    """Print who has announced what. Raises NoDatabaseError, StoreErrors."""
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        found = sorted(await engine.worker.store.list_servers(), key=_order)
    if as_json:
        print_json({"workers": [_for_programs(one) for one in found]})
    elif found:
        print_for_people(_table(found, now=now))
        for line in _conclusion([one for one in found if one.lease_until > now and one.serving.code]):
            print(line)
    else:
        print(_NOBODY)
    return ExitCode.OK


def _order(one: ServerSummary) -> tuple[str, str, str, int]:
    return (one.serving.code, one.serving.seen_as, one.name, one.worker)


def _for_programs(one: ServerSummary) -> dict[str, object]:
    return {
        "worker": one.name,
        "session": one.worker,
        "code": one.serving.code or None,
        "seen_as": one.serving.seen_as or None,
        "free_slots": dict(one.serving.room),
        "queues": list(one.serving.queues),
        "labels": one.serving.labels,
        "lease_until": iso(one.lease_until),
    }


def _table(found: list[ServerSummary], *, now: Timestamp) -> "Table":
    table = make_table("worker", ">session", "code", "rows seen as", "free slots", "queues", "labels", "lease")
    for one in found:
        left = one.lease_until - now
        table.add_row(
            words(one.name, "bold"),
            str(one.worker),
            words(one.serving.code or "not told"),
            words(one.serving.seen_as or "all"),
            words(", ".join(f"{executor} {free}" for executor, free in sorted(one.serving.room.items())) or "none"),
            words(", ".join(one.serving.queues)),
            words(", ".join(f"{name}={value}" for name, value in sorted(one.serving.labels.items()))),
            f"{show_duration(left)} left" if left > 0 else "has passed",
        )
    return table


def _conclusion(found: list[ServerSummary]) -> list[str]:
    """Say who shares runs, of those that may: that live, and have told what code they have."""
    groups = {(one.serving.code, one.serving.seen_as) for one in found}
    if len(found) <= 1:
        return []
    if len(groups) == 1:
        return ["All have the same code, and see the same rows: they share runs."]
    return [f"These are {len(groups)} groups: who has other code, or sees other rows, shares no runs with the others."]


_NOBODY = (
    "No worker has announced itself. Each does so when it renews its lease (every 5 seconds, unless its settings say "
    "otherwise), on a file as soon as another process has that open; `perdure doctor` names all that have."
)
