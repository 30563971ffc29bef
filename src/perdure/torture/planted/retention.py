"""Bugs of retention, of exports, and of what they ask of the stores."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="runs are removed while they are still on their way to the archive",
        breaks="P1: nothing acknowledged is lost",
        module="perdure.archiving.filing",
        old="await self._archive.append(lines, now=now)",
        new='bool(__import__("asyncio").ensure_future(self._archive.append(lines, now=now)))',
        workloads=("pruned",),
    ),
    Mutant(
        name="a run that comes back has forgotten the requests that it took in",
        breaks="P2: a request has one effect",
        module="perdure.stores.memory.keeping",
        old="    for request in run.requests:",
        new="    for request in run.requests[:0]:",
        workloads=("pruned",),
    ),
    Mutant(
        name="SQLite: a claim of tasks forgets who was served",
        breaks="P22: who share a queue get equal parts",
        module="perdure.stores.sqlite.task_lines",
        old="            if shares == before:\n",
        new="            if shares:\n",
        tool="stateful",
    ),
    Mutant(
        name="SQLite: what tasks have taken changes nothing",
        breaks="P22: who share a queue get equal parts",
        module="perdure.stores.sqlite.task_lines",
        old="shares=corrected(line, cost, now=self._now)",
        new="shares=line.shares",
        tool="stateful",
    ),
    Mutant(
        name="a run that is open may be removed",
        breaks="P1: nothing acknowledged is lost",
        module="perdure.stores.memory.keeping",
        old="if run is None or run.closed_at is None or key in _needed(database):",
        new="if run is None or key in _needed(database):",
        tool="stateful",
    ),
    Mutant(
        name="messages that a removed run has left in its inbox stay",
        breaks="P7: all tables are as they must be",
        module="perdure.stores.sqlite.keeping",
        old="    (statements.LEFT_MESSAGES, statements.DELETE_LEFT_MESSAGES),\n",
        new="",
        tool="stateful",
    ),
    Mutant(
        name="the parent of an open child may be removed",
        breaks="P12: what belongs together stays together",
        module="perdure.stores.memory.keeping",
        old="needed.add(run.parent_key)",
        new="pass",
        tool="stateful",
    ),
)
