"""Bugs that show on files with very many runs, which ``load`` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant, Patch

__all__ = ["PLANTED"]

_BOUNDED: Final = "P20: what waits costs next to nothing, and no page reads everything"

PLANTED: Final = (
    Mutant(
        name="runs whose timers have not come are claimed",
        breaks=_BOUNDED,
        module="perdure.stores.sql.statements",
        old="priority = ?2 AND wake_at <= ?3{PASSING}\n",
        new="priority = ?2 AND wake_at <= ?3 + (1 << 60){PASSING}\n",
        workloads=("starts",),
        tool="load",
        also=(
            Patch(
                module="perdure.stores.sql.statements",
                old="AND (wake_at <= ?2 OR end_at",
                new="AND (true OR end_at",
            ),
        ),
    ),
    Mutant(
        name="an opening gives back what nobody owns",
        breaks=_BOUNDED,
        module="perdure.stores.sql.statements",
        old="wake_at = {_DUE}, recovering = 1\nWHERE",
        new="wake_at = {_DUE}, recovering = 1\nWHERE closed_at IS NULL OR",
        workloads=("starts",),
        tool="load",
    ),
    Mutant(
        name="a page is sorted instead of read in its order",
        breaks=_BOUNDED,
        module="perdure.stores.sql.drivers",
        old="runs INDEXED BY runs_by_status WHERE",
        new="runs NOT INDEXED WHERE",
        workloads=("pages",),
        tool="load",
    ),
    Mutant(
        name="a page passes over all generations of an id that have its label",
        breaks=_BOUNDED,
        module="perdure.stores.sql.drivers",
        old='            table="labelled",\n',
        new='            table="labelled",\n            is_exact=True,\n',
        workloads=("pages",),
        tool="load",
    ),
    Mutant(
        name="a page is put together until it is full",
        breaks=_BOUNDED,
        module="perdure.client.run_pages",
        old="for _ in range(most_pages):",
        new="while True:",
        workloads=("pages",),
        tool="load",
    ),
)
