"""Bugs of the keeper of schedules, and of what guards it in the store."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a change of the agenda is applied from a version that has passed",
        breaks="P5: single writer",
        module="perdure.stores.memory.agenda",
        old="return is_free and (None if entry is None else entry.version) == change.expected",
        new="return is_free",
        workloads=("schedule_buffered", "schedule", "schedule_skipping"),
    ),
    Mutant(
        name="a keeper that begins does not look at what waits",
        breaks="P13: progress resumes",
        module="perdure.timekeeping.keeper",
        old="is_whole &= await self._settle_all(AgendaQuery(waits=True, limit=_PAGE))",
        new="pass",
        workloads=("schedule_buffered",),
    ),
    Mutant(
        name="a burst to which something was added meanwhile is ended all the same",
        breaks="P11: one run per occasion",
        module="perdure.timekeeping.debouncing",
        old="if entry.due_at is None or entry.due_at > now:",
        new="if entry.due_at is None:",
        workloads=("debounced",),
    ),
    Mutant(
        name="a further start of a burst does not put it off",
        breaks="P11: one run per occasion",
        module="perdure.client.keyed_starts",
        old='now=now,\n            wait_microseconds=require_duration(rule.wait, "wait"),',
        new='now=first_at,\n            wait_microseconds=require_duration(rule.wait, "wait"),',
        workloads=("debounced",),
    ),
    Mutant(
        name="the line of a singleton is lost when the first of it begins",
        breaks="P11: one run per occasion",
        module="perdure.timekeeping.singletons",
        old="Line(first.run_id, first.run_key, tuple(others))",
        new="Line(first.run_id, first.run_key)",
        workloads=("singletons",),
    ),
    Mutant(
        name="a start does not ask whether the holder of its singleton has ended",
        breaks="P11: one run per occasion",
        module="perdure.client.keyed_starts",
        old="is_open = await holder_is_open(self._gateway.store, self._key, line)",
        new="is_open = False",
        workloads=("singletons", "singletons_replaced"),
    ),
    Mutant(
        name="a window of deduplication is over at once",
        breaks="P11: one run per occasion",
        module="perdure.timekeeping.deduplication",
        old="due_at=Timestamp(now + known.window_microseconds),",
        new="due_at=now,",
        workloads=("deduplicated",),
    ),
    Mutant(
        name="a start by a key does not remember what its request was answered",
        breaks="P11: one run per occasion",
        module="perdure.client.keyed_starts",
        old="beside=self._answer(started),",
        new="beside=None,",
        workloads=("singletons", "debounced"),
    ),
)
