"""Whether the entries of the agenda can be read: schedules, starts that wait, what is remembered of starts by a key."""

from perdure.cli.collecting import collect
from perdure.cli.database import store_of
from perdure.cli.finding import Check, Verdict
from perdure.client.agenda_pages import read_all
from perdure.engine import Engine
from perdure.ports.agenda import AgendaQuery
from perdure.timekeeping.kinds import read_whole

__all__ = ["agenda_check"]


async def agenda_check(engine: Engine) -> Check:
    """Read every entry of the namespace: the workers leave aside what they cannot read, which must be seen."""
    queries = [AgendaQuery(namespace=engine.namespace)]
    found, unreadable = await collect(read_all(store_of(engine), queries, read_whole))
    count = f"{len(found)} entries can be read"
    if unreadable is None:
        return Check(name="agenda", verdict=Verdict.OK, finding=count)
    return Check(name="agenda", verdict=Verdict.FAIL, finding=f"{count}, others cannot", advice=str(unreadable))
