"""Exports: a file is there whole or not at all, and each run is in it once."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from perdure.archiving.exporting import export_runs
from perdure.archiving.files import Archive, lines_of, written_whole
from perdure.archiving.run_lines import SavedRun, read_runs
from perdure.errors import InvalidArgumentError, StoreUnavailableError, UsageError
from perdure.kernel.identity import RunRef
from perdure.ports.store import Page, RunQuery
from perdure.testing.store_conformance.harness import later
from perdure.torture.programs.harnesses import MemoryHarness
from tests.archiving.test_pruning import Watch, continued
from tests.archiving.worlds import session_on
from tests.stores.sqlite.copies.live_database import create, files_in, opened, rows_of


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_file_that_somebody_else_wrote_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"

    def write_theirs() -> None:
        path.write_bytes(b"theirs\n")

    async def export() -> None:
        async with written_whole(path, replaces=False) as write:
            await write([b"mine\n"])
            write_theirs()

    with pytest.raises(InvalidArgumentError, match="exists already"):
        await export()
    assert contents(tmp_path) == {"runs.jsonl": b"theirs\n"}


async def test_a_file_is_written_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    async with written_whole(tmp_path / "runs.jsonl", replaces=False) as write:
        await write([b"mine\n"])
    assert contents(tmp_path) == {"runs.jsonl": b"mine\n"}


@pytest.mark.parametrize(
    "name", ["data.db", "data.db-wal", "data.db-journal", "link.db", "data.db.perdure/presence.lock"]
)
async def test_no_export_replaces_a_database_or_a_part_of_it(tmp_path: Path, name: str) -> None:
    database = tmp_path / "data.db"
    (tmp_path / "link.db").symlink_to(database)
    async with opened(database) as session:
        await create(session, "run", runs=5)
        before, rows = files_in(tmp_path), rows_of(database)
        with pytest.raises(UsageError, match=r"is a database|a part of the database|holds the lock files"):
            await export_runs(session.store, Watch(2), tmp_path / name, RunQuery(), replaces=True)
        assert (files_in(tmp_path), rows_of(database)) == (before, rows)


async def test_an_export_replaces_what_a_link_leads_to_and_only_files(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "runs.jsonl")
    async with written_whole(tmp_path / "link.jsonl", replaces=True) as write:
        await write([b"mine\n"])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "runs.jsonl").read_bytes() == b"mine\n"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgumentError, match="no file that could be replaced"):
        async with written_whole(tmp_path / "pipe", replaces=True):
            pass


HEADING = b'{"perdure_runs":1,'


async def test_where_there_are_no_links_too_another_s_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.jsonl"

    def be_late(*_paths: object) -> None:
        path.write_bytes(b"theirs\n")
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", be_late)
    with pytest.raises(InvalidArgumentError, match="exists already"):
        async with written_whole(path, replaces=False) as write:
            await write([b"mine\n"])
    assert contents(tmp_path) == {"runs.jsonl": b"theirs\n"}


async def test_where_there_are_no_links_a_disk_that_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_links(*_paths: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def refuse(*_paths: object) -> None:
        raise OSError(errno.EIO, "planned")

    with monkeypatch.context() as disk:
        disk.setattr("os.link", refuse_links)
        disk.setattr("os.replace", refuse)
        with pytest.raises(StoreUnavailableError, match="planned"):
            async with written_whole(tmp_path / "runs.jsonl", replaces=False) as write:
                await write([b"mine\n"])
        assert contents(tmp_path) == {}
    async with written_whole(tmp_path / "runs.jsonl", replaces=False) as write:
        await write([b"mine\n"])


@pytest.mark.parametrize("whose", ["mine", "theirs"])
async def test_where_there_are_no_links_an_export_is_not_removed_for_a_renaming_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """It was done, which a network that asks twice answers with an error; or another export has the name by then."""
    path, replace = tmp_path / "runs.jsonl", os.replace

    def refuse_links(*_paths: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def fail(partial: Path, to: Path) -> None:
        if whose == "mine":
            replace(partial, to)
        else:
            to.write_bytes(b"theirs\n")
        raise FileNotFoundError(errno.ENOENT, "planned")

    monkeypatch.setattr("os.link", refuse_links)
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StoreUnavailableError, match="planned"):
        async with written_whole(path, replaces=False) as write:
            await write([b"mine\n"])
    assert contents(tmp_path) == {"runs.jsonl": f"{whose}\n".encode()}


async def test_a_disk_that_refuses_a_link_is_not_taken_for_one_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(errno.EIO, "planned")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(StoreUnavailableError, match="planned"):
        async with written_whole(tmp_path / "runs.jsonl", replaces=False) as write:
            await write([b"mine\n"])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "data", "stays"),
    [
        (".runs.jsonl.0123abcd.part", b"", False),  # of this very file, killed before it wrote
        (".older.jsonl.gz.0123abcd.part", gzip.compress(HEADING, mtime=0), False),
        (".older.jsonl.0123abcd.part", HEADING, False),
        (".older.jsonl.0123abcd.part", b"somebody else's", True),
        (".older.jsonl.gz.0123abcd.part", gzip.compress(HEADING, mtime=0)[:12], True),
        ("older.jsonl.0123abcd.part", HEADING, True),
        (".older.jsonl.part", HEADING, True),
    ],
)
async def test_what_a_killed_export_has_left_is_cleared_away_by_the_next_and_nothing_else(
    tmp_path: Path, name: str, data: bytes, *, stays: bool
) -> None:
    (tmp_path / name).write_bytes(data)
    async with written_whole(tmp_path / "runs.jsonl", replaces=False) as write:
        await write([b"mine\n"])
    assert contents(tmp_path) == {"runs.jsonl": b"mine\n", **({name: data} if stays else {})}


async def test_what_an_export_that_lives_writes_is_left_alone_by_another(tmp_path: Path) -> None:
    async with written_whole(tmp_path / "runs.jsonl", replaces=True) as write:
        await write([HEADING])
        async with written_whole(tmp_path / "runs.jsonl", replaces=True) as write_other:
            await write_other([b"other\n"])
        archive = Archive(tmp_path)
        await archive.append([b"archived\n"], now=later(0))
        archive.close()
    assert contents(tmp_path)["runs.jsonl"] == HEADING


async def test_a_new_file_of_an_archive_clears_away_what_a_killed_export_has_left_there(tmp_path: Path) -> None:
    (tmp_path / ".older.jsonl.0123abcd.part").write_bytes(HEADING)
    archive = Archive(tmp_path)
    await archive.append([b"archived\n"], now=later(0))
    archive.close()
    assert [name for name in contents(tmp_path) if name.endswith(".part")] == []


@pytest.mark.parametrize(("page", "generations"), [(1, [1, 2]), (2, [1])], ids=["before it is read", "after that"])
async def test_a_run_that_goes_on_as_new_while_it_is_exported_is_in_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, generations: list[int]
) -> None:
    file = tmp_path / "runs.jsonl"
    async with session_on(MemoryHarness()) as session:
        run = await session.hold(at=later(0))
        await session.hold("other", at=later(10))
        listing, pages = session.store.list_runs, list[Page]()

        async def list_slowly(query: RunQuery) -> Page:
            pages.append(await listing(query))
            if len(pages) == page:
                await continued(session, run, 1)
            return pages[-1]

        monkeypatch.setattr("perdure.archiving.exporting._PAGE_RUNS", 1)
        monkeypatch.setattr(session.store, "list_runs", list_slowly)
        report = await export_runs(session.store, Watch(2), file, RunQuery())
        latest = await session.store.find(RunRef(id="run"))
        assert latest is not None
        assert latest.ref.generation == 2
    found = [one.run.summary.ref for one in read_runs(lines_of(file)) if isinstance(one, SavedRun)]
    assert report.runs == len(found)
    assert [ref.generation for ref in found if ref.id == "run"] == generations
    assert [ref.id for ref in found if ref.id != "run"] == ["other"]
