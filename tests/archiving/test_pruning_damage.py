"""Retention beside damage: what is damaged stays and is told, and all else goes."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.archiving.pruning import PruneReport
from perdure.configuration import Retention
from perdure.errors import StoreCorruptError
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.keeping import WholeRun
from perdure.torture.disks.sectors import dying_disk
from perdure.torture.programs.harnesses import MemoryHarness, SqliteHarness
from tests.archiving.test_pruning import HOUR, Pages, continued, ended, left, prune
from tests.archiving.worlds import Dying, session_on
from tests.damaging import break_leaves, break_page, pages_of


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


@pytest.mark.parametrize("leaf", [0, -1])
async def test_runs_beside_a_damaged_page_are_told_by_each_pass_and_archived_by_none(tmp_path: Path, leaf: int) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 1)
    break_page(harness.path, pages_of(harness.path, "runs")[leaf])
    archive = Pages()
    reports: list[PruneReport] = []
    beside: list[str] = []
    for _ in range(2):
        async with session_on(harness) as session:
            reports.append(await prune(session, Retention(keep=HOUR), archive=archive))
            beside = await left(session)
    assert [report.runs for report in reports] == [len(archive.ids), 0]
    assert [report.unreadable for report in reports] == [len(beside), len(beside)]
    assert 0 < len(beside) < 75


async def test_runs_beside_a_damaged_page_are_archived_no_more_behind_many_others_either(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 2)
    break_leaves(harness.path, "runs", only_first=True)
    archive = Pages()
    for part in range(2):
        async with session_on(harness) as session:
            for number in range(100):
                await ended(session, f"older run {part} {number}", 1)
            report = await prune(session, Retention(keep=HOUR), archive=archive)
            assert report.unreadable == len(await left(session)) > 0
    assert len(archive.ids) == len(set(archive.ids))


_CHILD = ["UPDATE runs SET parent_key = (SELECT run_key FROM runs WHERE id = 'run 5') WHERE id = 'run 140'"]
_LATER = [
    "UPDATE runs SET id = 'run 5', generation = 2 WHERE id = 'run 140'",
    "UPDATE runs SET latest = 0, status = 'continued' WHERE id = 'run 5' AND generation = 1",
]
_EARLIER = [
    "UPDATE runs SET latest = 0, status = 'continued' WHERE id = 'run 140'",
    "UPDATE runs SET id = 'run 140', generation = 2 WHERE id = 'run 5'",
]
_FORK = [
    """UPDATE history SET type = 'run_forked',
        data = json_object('origin_key', (SELECT run_key FROM runs WHERE id = 'run 5'))
    WHERE sequence = 2 AND run_key = (SELECT run_key FROM runs WHERE id = 'run 140')"""
]


@pytest.mark.parametrize(
    ("changes", "staying", "is_refused"),
    [
        pytest.param(_CHILD, RunRef(id="run 5"), False, id="a child"),
        pytest.param(_LATER, RunRef(id="run 5"), True, id="the latest generation"),
        pytest.param(_EARLIER, RunRef(id="run 140", generation=2), True, id="the generation before"),
        pytest.param(_FORK, RunRef(id="run 5"), False, id="a fork"),
    ],
)
async def test_what_may_be_needed_by_a_run_on_a_damaged_page_stays_and_the_others_go(
    tmp_path: Path, changes: Sequence[str], staying: RunRef, *, is_refused: bool
) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 1)
    with closing(apsw.Connection(str(harness.path))) as connection:
        for change in changes:
            connection.execute(change)
            assert connection.changes() == 1
    break_page(harness.path, pages_of(harness.path, "runs")[-1])
    async with session_on(harness) as session:
        report = await prune(session, Retention(keep=HOUR))
        assert report.runs > 75
        assert (str(staying) in [refusal.run for refusal in report.refusals]) is is_refused
        assert await session.store.find(staying, latest=False) is not None


async def test_the_damaged_events_of_a_fork_that_has_ended_keep_no_run(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        for number in range(150):
            await ended(session, f"run {number}", 1)
    with closing(apsw.Connection(str(harness.path))) as connection:
        connection.execute("UPDATE history SET type = 'run_forked' WHERE sequence = 2")
    break_leaves(harness.path, "history", only_first=True)
    async with session_on(harness) as session:
        assert (await prune(session, Retention(keep=HOUR))).runs == 150


async def test_a_sector_that_is_not_given_keeps_no_other_run_from_the_archive(tmp_path: Path) -> None:
    with dying_disk() as disk:
        harness = Dying(tmp_path / "runs.db", disk)
        async with session_on(harness) as session:
            for number in range(150):
                await ended(session, f"run {number}", 1)
        disk.bad.add(pages_of(harness.path, "history")[1])
        async with session_on(harness) as session:
            archive = Pages()
            report = await prune(session, Retention(keep=HOUR), archive=archive)
            assert report.runs == len(archive.ids) == 150 - report.unreadable
            assert 0 < report.unreadable < 75


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
