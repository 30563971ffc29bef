"""Retention beside damage: what is damaged stays and is told, and all else goes."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.configuration import Retention
from perdure.errors import StoreCorruptError
from perdure.kernel.identity import RunKey
from perdure.ports.keeping import WholeRun
from perdure.torture.programs.harnesses import MemoryHarness, SqliteHarness
from tests.archiving.test_pruning import HOUR, Pages, continued, ended, left, prune
from tests.archiving.worlds import session_on
from tests.damaging import break_leaves


async def test_a_damaged_run_is_counted_and_stays() -> None:
    harness = MemoryHarness()
    async with session_on(harness) as session:
        damaged = await ended(session, "damaged", 1)
        await ended(session, "sound", 1)
        await harness.damage_event(damaged, 2, data=b"{")
        report = await prune(session, Retention(keep=HOUR), archive=Pages())
        assert (report.runs, report.unreadable) == (1, 1)
        assert await left(session) == ["damaged"]


async def test_a_run_whose_row_contradicts_its_history_stays_and_is_named(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        damaged = await ended(session, "damaged", 1)
        await ended(session, "sound", 1)
        with closing(apsw.Connection(str(harness.path))) as connection:
            connection.execute("UPDATE runs SET stage = 'elsewhere' WHERE run_key = ?", (damaged,))
        archive = Pages()
        report = await prune(session, Retention(keep=HOUR), archive=archive)
        assert (report.runs, report.unreadable, archive.ids) == (1, 1, ["sound"])
        [refusal] = report.refusals
        assert refusal.run == "default/damaged"
        assert refusal.reason == "its row says of stage 'elsewhere', and its history ''"
        assert await left(session) == ["damaged"]


async def test_a_run_on_a_damaged_page_is_counted_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with session_on(MemoryHarness()) as session:
        damaged = await ended(session, "damaged", 1)
        await ended(session, "sound", 1)
        read = session.store.read_whole

        async def broken(run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
            if run_key == damaged:
                raise StoreCorruptError("one page")
            return await read(run_key, decrypts=decrypts)

        monkeypatch.setattr(session.store, "read_whole", broken)
        report = await prune(session, Retention(keep=HOUR), archive=Pages())
        assert (report.runs, report.unreadable) == (1, 1)
        assert [refusal.reason for refusal in report.refusals] == ["one page"]
        assert await left(session) == ["damaged"]


@pytest.mark.parametrize("archive", [Pages, lambda: None], ids=["into an archive", "for good"])
@pytest.mark.parametrize("table", ["history", "runs"])
async def test_a_damaged_page_keeps_no_other_runs(
    tmp_path: Path, table: str, archive: Callable[[], Pages | None]
) -> None:
    pages = archive()
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 1)
    break_leaves(harness.path, table, only_first=True)
    async with session_on(harness) as session:
        report = await prune(session, Retention(keep=HOUR), archive=pages)
        assert 75 <= report.runs <= 150
        assert (await prune(session, Retention(keep=HOUR), archive=pages)).runs == 0
        assert pages is None or len(pages.ids) == len(set(pages.ids)) >= report.runs


async def test_what_stays_behind_a_damaged_generation_is_not_archived_again_and_again() -> None:
    harness = MemoryHarness()
    async with session_on(harness) as session:
        first = run = await session.hold()
        for hour in range(1, 5):
            run = await continued(session, run, hour)
        await harness.damage_event(first.run_key, 2, data=b"{")
        archive = Pages()
        for _ in range(2):
            report = await prune(session, Retention(keep=HOUR), archive=archive)
            assert (report.runs, report.unreadable) == (0, 1)
        assert archive.ids == []
