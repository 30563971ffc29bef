"""`perdure waiting`: the runs that were asked for and do not exist yet."""

from perdure.cli.collecting import collect
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import make_table, print_for_people, print_json, printable, words
from perdure.cli.times import iso, show_moment
from perdure.client.waiting_starts import WaitingRun
from perdure.kernel.time import Timestamp, timestamp_from_datetime

__all__ = ["list_waiting", "tell_waiting"]


async def list_waiting(place: Place, *, as_json: bool) -> int:
    """Print the starts that wait. Raises NoDatabaseError, StoreErrors; those that cannot be read, after the others."""
    async with as_client(place) as engine:
        found, unreadable = await collect(engine.waiting_runs())
        now = engine.worker.clock.now()
    if found or unreadable is None or as_json:
        _print(found, now=now, as_json=as_json)
    if unreadable is not None:
        raise unreadable
    return ExitCode.OK


def tell_waiting(waiting: WaitingRun, *, now: Timestamp, as_json: bool) -> None:
    """Print what was started and waits."""
    if as_json:
        print_json({**_for_programs(waiting), "status": "waiting"})
    else:
        begins = _begins(waiting, now=now)
        print(f"Run {printable(waiting.id)} of {printable(waiting.workflow)}: waits; begins {begins}.")


def _print(found: list[WaitingRun], *, now: Timestamp, as_json: bool) -> None:
    if as_json:
        print_json({"waiting": [_for_programs(waiting) for waiting in found]})
        return
    if not found:
        print("No start waits.")
        return
    table = make_table("id", "workflow", "rule", "key", "asked for", "begins")
    for waiting in found:
        table.add_row(
            words(waiting.id, "bold"),
            words(waiting.workflow),
            waiting.rule,
            words(waiting.key),
            show_moment(timestamp_from_datetime(waiting.asked_at), now=now),
            _begins(waiting, now=now),
        )
    print_for_people(table)


def _begins(waiting: WaitingRun, *, now: Timestamp) -> str:
    if waiting.begins_at is None:
        return "when it is its turn"
    return show_moment(timestamp_from_datetime(waiting.begins_at), now=now)


def _for_programs(waiting: WaitingRun) -> dict[str, object]:
    return {
        "id": waiting.id,
        "workflow": waiting.workflow,
        "rule": waiting.rule,
        "key": waiting.key,
        "asked_at": iso(timestamp_from_datetime(waiting.asked_at)),
        "begins_at": None if waiting.begins_at is None else iso(timestamp_from_datetime(waiting.begins_at)),
    }
