"""Retention: what is removed, what stays, and that it is in the archive first."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure.archiving.files import Archive, lines_of, run_files
from perdure.archiving.pruning import PruneReport, Pruning, Selection
from perdure.archiving.run_lines import Damage, SavedRun, read_runs
from perdure.configuration import Retention
from perdure.errors import (
    InvalidArgumentError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreUnavailableError,
)
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.agenda import AgendaChange, AgendaKey
from perdure.ports.store import RunQuery
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import FAR, START, Held, creation, later
from perdure.timekeeping.deduplication import DEDUPLICATION_KIND, Remembered, remembering
from perdure.torture.programs.harnesses import MemoryHarness, SqliteHarness
from tests.archiving.worlds import end_soundly, session_on

HOUR = timedelta(hours=1)


class Watch:
    """A clock that a test sets."""

    def __init__(self, hours: float = 0) -> None:
        self.set(hours)

    def set(self, hours: float) -> None:
        self._now = later(hours * 3_600)

    def now(self) -> Timestamp:
        return self._now


class Pages:
    """An archive that keeps its parts in memory; `before` is called before a part is kept."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.lines: list[bytes] = []
        self._before = before

    async def append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
        del now
        self._before()
        self.lines += lines
        return sum(map(len, lines))

    @property
    def ids(self) -> list[str]:
        found = list(read_runs(self.lines)) if self.lines else []
        assert not any(isinstance(one, Damage) for one in found)
        return [one.run.summary.ref.id for one in found if isinstance(one, SavedRun)]


async def ended(
    session: StoreSession, run_id: str, hours: float, status: RunStatus = RunStatus.COMPLETED, workflow: str = "order"
) -> RunKey:
    """Let a run end at an hour."""
    run = await session.hold(run_id, workflow=workflow, at=later(hours * 3_600 - 1))
    await end_soundly(session, run, status, at=later(hours * 3_600))
    return run.run_key


async def left(session: StoreSession) -> list[str]:
    page = await session.store.list_runs(RunQuery(limit=1_000))
    return sorted(run.ref.id for run in page.runs)


async def prune(
    session: StoreSession,
    retention: Retention,
    *,
    hours: float = 100,
    archive: Pages | Archive | None = None,
    selection: Selection | None = None,
) -> PruneReport:
    pruning = Pruning(session.store, Watch(hours), retention, selection)
    return await pruning.run(holder="test", archive=archive)


async def test_runs_stay_for_as_long_as_they_are_kept_and_go_then() -> None:
    async with session_on(MemoryHarness()) as session:
        for hour in (1, 2, 3):
            await ended(session, f"at {hour}", hour)
        await session.create("open")
        archive = Pages()
        report = await prune(session, Retention(keep=2 * HOUR), hours=4, archive=archive)
        assert (report.runs, report.events) == (2, 6)
        assert archive.ids == ["at 1", "at 2"]
        assert report.archived_bytes == sum(map(len, archive.lines))
        assert await left(session) == ["at 3", "open"]


async def test_without_a_time_nothing_goes() -> None:
    async with session_on(MemoryHarness()) as session:
        await ended(session, "old", 1)
        assert (await prune(session, Retention())).runs == 0


async def test_the_time_of_a_workflow_counts_before_that_of_a_status_and_that_before_the_other() -> None:
    retention = Retention(
        keep=50 * HOUR,
        by_status={RunStatus.FAILED: 90 * HOUR, RunStatus.CANCELLED: None},
        by_workflow={"report": 10 * HOUR},
    )
    async with session_on(MemoryHarness()) as session:
        for status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
            await ended(session, f"order {status}", 1, status)
            await ended(session, f"report {status}", 1, status, "report")
        await prune(session, retention, hours=11)
        assert await left(session) == ["order cancelled", "order completed", "order failed"]
        await prune(session, retention, hours=51)
        assert await left(session) == ["order cancelled", "order failed"]
        await prune(session, retention, hours=1_000)
        assert await left(session) == ["order cancelled"]


async def test_of_each_workflow_the_newest_stay() -> None:
    async with session_on(MemoryHarness()) as session:
        for hour in range(1, 6):
            await ended(session, f"order {hour}", hour)
        await ended(session, "report", 1, workflow="report")
        await prune(session, Retention(keep=HOUR, newest=2))
        assert await left(session) == ["order 4", "order 5", "report"]


async def test_a_choice_concerns_a_namespace_statuses_and_workflows() -> None:
    async with session_on(MemoryHarness()) as session:
        await ended(session, "completed", 1)
        await ended(session, "failed", 1, RunStatus.FAILED)
        await ended(session, "report", 1, RunStatus.FAILED, "report")
        elsewhere = await session.hold("elsewhere", namespace="other")
        await session.finish(elsewhere, RunStatus.FAILED)
        chosen = Selection(namespace="default", statuses=frozenset({RunStatus.FAILED}), workflows=frozenset({"order"}))
        assert (await prune(session, Retention(keep=HOUR), selection=chosen)).runs == 1
        assert await left(session) == ["completed", "report"]
        assert await session.store.find(elsewhere.run_key) is not None


async def continued(session: StoreSession, run: Held, hours: float) -> Held:
    at = later(hours * 3_600)
    following = creation(session.store.new_run_key(), run.ref.id, generation=run.ref.generation + 1, at=at)
    await end_soundly(session, run, RunStatus.CONTINUED, at=at, creations=[following])
    return await session.take(following.run_key)


async def test_old_generations_of_an_open_run_go_and_it_goes_on() -> None:
    async with session_on(MemoryHarness()) as session:
        run = await session.hold()
        for hour in range(1, 6):
            run = await continued(session, run, hour)
        archive = Pages()
        assert (await prune(session, Retention(keep=3 * HOUR), hours=6, archive=archive)).runs == 3
        assert archive.ids == ["run"] * 3
        await session.advance(run)
        found = [await session.store.find(RunRef(id="run", generation=number), latest=False) for number in range(1, 7)]
        assert [one is not None for one in found] == [False, False, False, True, True, True]


async def test_the_generations_of_a_run_are_judged_by_what_became_of_it() -> None:
    async with session_on(MemoryHarness()) as session:
        first = await session.hold()
        second = await continued(session, first, 1)
        chosen = Selection(statuses=frozenset({RunStatus.FAILED}))
        assert (await prune(session, Retention(keep=HOUR), selection=chosen)).runs == 0
        await session.advance(second, status=RunStatus.FAILED, at=later(7_200))
        assert (await prune(session, Retention(keep=HOUR), selection=chosen)).runs == 2
        assert await left(session) == []


async def test_what_an_open_run_needs_is_not_archived_either() -> None:
    async with session_on(MemoryHarness()) as session:
        parent = await session.hold("parent")
        child = creation(session.store.new_run_key(), "child", parent=parent)
        await session.advance(parent, status=RunStatus.COMPLETED, creations=[child])
        archive = Pages()
        for _ in range(2):
            assert (await prune(session, Retention(keep=HOUR), archive=archive)).runs == 0
        assert archive.lines == []


async def test_a_run_with_which_a_start_would_still_be_answered_stays() -> None:
    async with session_on(MemoryHarness()) as session:
        key = await ended(session, "remembered", 1)
        await ended(session, "other", 1)
        name = AgendaKey(kind=DEDUPLICATION_KIND, namespace="default", id="k")
        known = Remembered(run_id="remembered", run_key=key, window_microseconds=1)
        entry = remembering(name, known, version=session.store.new_run_key(), now=START)
        assert await session.store.change_agenda(AgendaChange(key=name, expected=None, entry=entry))
        await prune(session, Retention(keep=HOUR))
        assert await left(session) == ["remembered"]
        await session.store.change_agenda(AgendaChange(key=name, expected=entry.version, entry=None))
        await prune(session, Retention(keep=HOUR))
        assert await left(session) == []


async def test_a_count_says_what_would_go_and_removes_nothing() -> None:
    async with session_on(MemoryHarness()) as session:
        run = await session.hold()
        for hour in range(1, 4):
            run = await continued(session, run, hour)
        await ended(session, "other", 1)
        pruning = Pruning(session.store, Watch(100), Retention(keep=HOUR))
        assert (await pruning.count()).runs == 4
        assert await left(session) == ["other", "run"]
        assert (await prune(session, Retention(keep=HOUR))).runs == 4


# --- the archive comes first -------------------------------------------------------------------------------------


async def test_what_the_archive_did_not_take_is_not_removed_and_the_turn_is_given_back() -> None:
    def break_down() -> None:
        raise StoreFullError("the archive is full")

    async with session_on(MemoryHarness()) as session:
        await ended(session, "old", 1)
        with pytest.raises(StoreFullError):
            await prune(session, Retention(keep=HOUR), archive=Pages(break_down))
        assert await left(session) == ["old"]
        archive = Pages()
        await prune(session, Retention(keep=HOUR), archive=archive)
        assert (archive.ids, await left(session)) == (["old"], [])


async def test_a_death_after_the_archive_has_it_leaves_a_run_in_both_and_it_is_archived_again() -> None:
    harness = MemoryHarness()
    dying = await harness.session()
    await ended(dying, "old", 1)
    first, second = Pages(), Pages()
    watch = Watch(100)
    first_append = first.append

    async def append_and_die(lines: Sequence[bytes], *, now: Timestamp) -> int:
        written = await first_append(lines, now=now)
        harness.database.kill(dying.worker)
        return written

    first.append = append_and_die  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="was killed"):
        await Pruning(dying.store, watch, Retention(keep=HOUR)).run(holder="dying", archive=first)
    living = await harness.session()
    with pytest.raises(StoreLockedError, match="dying is removing runs"):
        await Pruning(living.store, watch, Retention(keep=HOUR)).run(holder="living", archive=second)
    watch.set(101)
    await Pruning(living.store, watch, Retention(keep=HOUR)).run(holder="living", archive=second)
    assert (first.ids, second.ids, await left(living)) == (["old"], ["old"], [])


async def test_a_pass_removes_what_one_that_died_has_left(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    async with session_on(harness) as session:
        run_key = await ended(session, "removed", 1)
        await session.store.remove_runs([run_key])
        with closing(apsw.Connection(str(harness.path))) as connection:
            connection.execute("INSERT INTO removals (run_key) VALUES (?)", (run_key,))
        await prune(session, Retention(keep=HOUR))
        with closing(apsw.Connection(str(harness.path))) as connection:
            assert connection.execute("SELECT run_key FROM removals").get is None


async def test_many_runs_go_batch_by_batch() -> None:
    async with session_on(MemoryHarness()) as session:
        for number in range(250):
            await ended(session, f"run {number:03}", 1)
        archive, seen = Pages(), list[int]()
        pruning = Pruning(session.store, Watch(100), Retention(keep=HOUR))
        await pruning.run(holder="test", archive=archive, on_progress=lambda so_far: seen.append(so_far.runs))
        assert seen == [100, 200, 250]
        assert len(archive.ids) == 250


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep": timedelta(-1)},
        {"by_status": {RunStatus.RUNNING: HOUR}},
        {"by_workflow": {"w": timedelta(seconds=-1)}},
        {"newest": -1},
        {"newest": 10_001},
        {"every": timedelta(0)},
        {"keep": 30},
        {"every": 5},
        {"newest": 1.5},
        {"archive": "folder"},
        {"by_workflow": {int: None}},
    ],
)
def test_a_retention_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match="Retention"):
        msgspec.structs.replace(Retention(), **wrong)


# --- the files of an archive -------------------------------------------------------------------------------------


def ids_in(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in run_files([folder]):
        runs = list(read_runs(lines_of(path)))
        assert not any(isinstance(one, Damage) for one in runs)
        found[path.name] = [one.run.summary.ref.id for one in runs if isinstance(one, SavedRun)]
    return found


async def test_an_archive_is_a_folder_of_files_by_process_day_and_size(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "archive"
    async with session_on(MemoryHarness()) as session:
        archive = Archive(folder, file_bytes=1)
        for number in range(3):
            await ended(session, f"run {number}", 1)
            await prune(session, Retention(keep=HOUR), archive=archive)
        archive.close()
        same_day = Archive(folder)
        for number in range(3, 6):
            await ended(session, f"run {number}", 1)
            await prune(session, Retention(keep=HOUR), hours=100 + 24 * (number // 5), archive=same_day)
        same_day.close()
    found = ids_in(folder)
    assert sorted(found.values()) == [["run 0"], ["run 1"], ["run 2"], ["run 3", "run 4"], ["run 5"]]
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in found)


async def archived_one_by_one(count: int, folder: Path) -> tuple[Path, list[int]]:
    """Return a file with a part for each of some runs, and what size it had after each."""
    async with session_on(MemoryHarness()) as session:
        archive = Archive(folder)
        sizes: list[int] = []
        for number in range(count):
            await ended(session, f"run {number}", 1)
            await prune(session, Retention(keep=HOUR), archive=archive)
            sizes.append(run_files([folder])[0].stat().st_size)
        archive.close()
    (path,) = run_files([folder])
    return path, sizes


async def test_what_a_death_left_of_the_last_part_of_a_file_harms_nothing_before_it(tmp_path: Path) -> None:
    path, sizes = await archived_one_by_one(2, tmp_path)
    whole = path.read_bytes()
    for size in range(sizes[0], sizes[1], 7):
        path.write_bytes(whole[:size])
        found = [one for one in read_runs(lines_of(path)) if isinstance(one, SavedRun)]
        assert [one.run.summary.ref.id for one in found][:1] == ["run 0"]
        assert len(found) <= 2


async def test_no_bit_of_an_archive_changes_without_a_word_or_harms_other_parts(tmp_path: Path) -> None:
    path, sizes = await archived_one_by_one(3, tmp_path)
    whole = path.read_bytes()
    sound = list(read_runs(lines_of(path)))
    for bit in range(0, 8 * len(whole), 7):
        path.write_bytes(with_flipped(whole, bit))
        found = list(read_runs(lines_of(path)))
        part = sum(size <= bit // 8 for size in sizes)
        assert found == sound or any(isinstance(one, Damage) for one in found)
        assert [one for one in sound if one not in found] in ([], [sound[part]])


def with_flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


@pytest.mark.parametrize("between", [b"\0", bytes(100_000), b"anything", b"\x1f\x8b\x08" * 3])
async def test_what_is_no_part_of_an_archive_is_passed_over_and_said(tmp_path: Path, between: bytes) -> None:
    async with session_on(MemoryHarness()) as session:
        archive = Archive(tmp_path)
        await ended(session, "run", 1)
        await prune(session, Retention(keep=HOUR), archive=archive)
        archive.close()
    (path,) = run_files([tmp_path])
    part = path.read_bytes()
    for text in (between + part, part + between, part + between + part):
        path.write_bytes(text)
        found = list(read_runs(lines_of(path)))
        assert len([one for one in found if isinstance(one, SavedRun)]) == text.count(part)
        assert len([one for one in found if isinstance(one, Damage)]) == 1


async def test_an_archive_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with session_on(MemoryHarness()) as session:
        await ended(session, "old", 1)
        with pytest.raises(StoreUnavailableError, match="file could not be written"):
            await prune(session, Retention(keep=HOUR), archive=Archive(tmp_path / "file"))
        assert await left(session) == ["old"]


EMPTY_PART = [b'{"perdure_runs":1}\n', b'{"end":{"runs":0}}\n']


class Syncs:
    """What is synced, in its order; the one that is numbered `fails_at` is refused."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.synced: list[Path] = []
        self._fails_at = fails_at
        self._sync = os.fsync

    def __call__(self, descriptor: int) -> None:
        if len(self.synced) == self._fails_at:
            self._fails_at = None
            raise OSError(28, "No space left on device")
        self._sync(descriptor)
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())


async def test_an_archive_and_all_folders_that_are_made_for_it_are_durable_with_its_first_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs()
    monkeypatch.setattr("os.fsync", syncs)
    folder = tmp_path / "new" / "archive"
    archive = Archive(folder)
    for _ in range(2):
        await archive.append(EMPTY_PART, now=FAR)
    archive.close()
    (path,) = run_files([folder])
    assert syncs.synced == [tmp_path, folder.parent, folder, path, path]


@pytest.mark.parametrize("fails_at", range(5))
async def test_a_part_whose_sync_fails_leaves_nothing_and_the_next_goes_to_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    syncs = Syncs(fails_at=fails_at)
    monkeypatch.setattr("os.fsync", syncs)
    folder = tmp_path / "new" / "archive"
    archive = Archive(folder)
    written = 0
    failed = False
    while not failed:
        try:
            await archive.append(EMPTY_PART, now=FAR)
            written += 1
        except StoreFullError:
            failed = True
    before = set(folder.glob("*"))
    assert written == max(0, fails_at - 3)
    assert len(before) == (written > 0)
    assert list(before and ids_in(folder)) == [path.name for path in before]
    await archive.append(EMPTY_PART, now=FAR)
    archive.close()
    (path,) = set(folder.glob("*")) - before
    assert [parent for parent in (tmp_path, folder.parent) if parent not in syncs.synced] == []
    assert syncs.synced[-2:] == [folder, path]


@pytest.mark.parametrize("take_away", [Path.unlink, lambda path: path.rename(path.parent.parent / "cold.jsonl.gz")])
async def test_a_file_of_an_archive_that_was_taken_away_gets_no_more_parts(
    tmp_path: Path, take_away: Callable[[Path], object]
) -> None:
    folder = tmp_path / "archive"
    async with session_on(MemoryHarness()) as session:
        archive = Archive(folder)
        for number in range(2):
            await ended(session, f"run {number}", 1)
            await prune(session, Retention(keep=HOUR), archive=archive)
            assert list(ids_in(folder).values()) == [[f"run {number}"]]
            take_away(run_files([folder])[0])
        archive.close()


async def test_a_part_whose_file_was_taken_away_while_it_was_written_counts_as_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sync = tmp_path / "archive", os.fsync

    def replace_and_sync(descriptor: int) -> None:
        sync(descriptor)
        for path in folder.glob("*"):
            path.unlink()
            path.write_bytes(b"another's")

    async with session_on(MemoryHarness()) as session:
        archive = Archive(folder)
        await ended(session, "run", 1)
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", replace_and_sync)
            with pytest.raises(StoreUnavailableError, match=r"could not be written: .* was moved or deleted meanwhile"):
                await prune(session, Retention(keep=HOUR), archive=archive)
        (path,) = folder.glob("*")
        assert (await left(session), path.read_bytes()) == (["run"], b"another's")
        path.unlink()
        await prune(session, Retention(keep=HOUR), archive=archive)
        assert list(ids_in(folder).values()) == [["run"]]
        archive.close()


async def test_whoever_is_cancelled_while_a_part_is_written_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def wait(_descriptor: int) -> None:
        began.set()
        may_end.wait()

    monkeypatch.setattr("os.fsync", wait)
    archive = Archive(tmp_path)
    writing = asyncio.create_task(archive.append(EMPTY_PART, now=FAR))
    await asyncio.to_thread(began.wait)
    writing.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writing.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    archive.close()
    assert list(ids_in(tmp_path).values()) == [[]]
