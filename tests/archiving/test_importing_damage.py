"""Imports into a database that is damaged: what meets the damage is refused, and all else comes in."""

from pathlib import Path

import pytest

from perdure.archiving.exporting import export_runs
from perdure.archiving.importing import import_runs
from perdure.configuration import Retention
from perdure.ports.store import RunQuery
from perdure.torture.disks.sectors import DyingDisk, dying_disk
from tests.archiving.test_pruning import HOUR, Watch, ended, left, prune
from tests.archiving.worlds import Dying, session_on
from tests.damaging import break_page, pages_of


def spoil(harness: Dying, disk: DyingDisk, page: int, kind: str) -> None:
    """Damage a page, or let the disk give it no more."""
    if kind == "a page":
        break_page(harness.path, page)
    else:
        disk.bad.add(page)


async def exported(harness: Dying, path: Path) -> Path:
    """Export 150 runs that have ended; return the file."""
    file = path / "runs.jsonl.gz"
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 1)
        await export_runs(session.store, Watch(), file, RunQuery())
    return file


@pytest.mark.parametrize("kind", ["a page", "a sector"])
async def test_runs_that_have_left_rows_on_a_damaged_page_keep_no_other_from_coming_back(
    tmp_path: Path, kind: str
) -> None:
    with dying_disk() as disk:
        harness = Dying(tmp_path / "runs.db", disk)
        file = await exported(harness, tmp_path)
        spoil(harness, disk, pages_of(harness.path, "history")[1], kind)
        async with session_on(harness) as session:
            assert (await prune(session, Retention(keep=HOUR))).runs == 150
            report = await import_runs(session.store, [file])
            assert report.imported == len(await left(session)) == 150 - report.refused
            assert 0 < report.refused < 75
            assert len(report.refusals) == report.refused


@pytest.mark.parametrize("kind", ["a page", "a sector"])
async def test_runs_on_a_damaged_page_are_refused_and_the_others_are_there(tmp_path: Path, kind: str) -> None:
    with dying_disk() as disk:
        harness = Dying(tmp_path / "runs.db", disk)
        file = await exported(harness, tmp_path)
        spoil(harness, disk, pages_of(harness.path, "runs")[0], kind)
        async with session_on(harness) as session:
            report = await import_runs(session.store, [file])
            assert report.present == len(await left(session)) == 150 - report.refused
            assert 0 < report.refused < 75
