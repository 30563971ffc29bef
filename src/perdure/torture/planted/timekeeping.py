"""Bugs of the keeper of schedules, and of what guards it in the store."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a change of the agenda is applied from a version that has passed",
        breaks="P5: single writer",
        module="perdure.stores.memory.agenda",
        old="return (None if entry is None else entry.version) == change.expected",
        new="return True",
        workloads=("schedule_buffered", "schedule", "schedule_skipping"),
    ),
    Mutant(
        name="a keeper that begins does not look at what waits",
        breaks="P13: progress resumes",
        module="perdure.timekeeping.keeper",
        old="return await self._settle_all(AgendaQuery(waits=True, limit=_PAGE)) and is_whole",
        new="return is_whole",
        workloads=("schedule_buffered",),
    ),
)
