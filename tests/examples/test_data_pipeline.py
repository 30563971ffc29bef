import csv
import gzip
import io
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from examples.data_pipeline.__main__ import run_pipeline
from examples.data_pipeline.activities import Report, profile_file
from examples.data_pipeline.files import BadFileError, InputFile, RowReader, find_files, write_whole
from examples.data_pipeline.profile import ColumnProfile, FileProfile, join_profiles
from examples.data_pipeline.trips import write_trips
from examples.data_pipeline.workflow import Job, files_done, profile_folder
from perdure import Engine, RunFailedError
from tests.examples.programs import kill_when, run_program, start_program

QUIET = Console(file=io.StringIO())


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    write_trips(tmp_path / "trips", months=5, trips_per_month=300)
    return tmp_path / "trips"


def job_of(folder: Path, *, concurrency: int = 2) -> Job:
    return Job(folder=str(folder), output=str(folder.with_name("output")), concurrency=concurrency)


async def run(job: Job, tmp_path: Path, console: Console = QUIET) -> Report:
    return await run_pipeline(job, database=f"sqlite:///{tmp_path / 'pipeline.db'}", console=console)


def rows_of(path: Path) -> list[list[str]]:
    """Read a whole file at once, as simply as that goes."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(io.StringIO(text.decode())))


def text_of(report: Report) -> str:
    return Path(report.path).read_text()


def profile_of(rows: Iterable[list[str]], header: list[str]) -> FileProfile:
    profile = FileProfile.of_header(header)
    for row in rows:
        profile.add(row)
    return profile


async def test_all_files_are_read_and_joined(trips: Path, tmp_path: Path) -> None:
    report = await run(job_of(trips), tmp_path)
    assert (report.files, report.rows, report.skipped) == (5, 1500, ())
    text = text_of(report)
    header, *_ = rows_of(trips / "trips-2023-01.csv")
    everything = profile_of((row for file in find_files(trips) for row in rows_of(trips / file.name)[1:]), header)
    metres = everything.columns[header.index("metres")]
    assert metres.smallest is not None
    assert f"| metres | 0 | {metres.distinct} | 1500 | {metres.smallest:.6g} |" in text
    assert f"| member | {everything.columns[header.index('member')].empty} | 2 | 0 |" in text


async def test_folders_of_one_name_have_reports_of_their_own(tmp_path: Path) -> None:
    for place, rows in (("a", 1), ("b", 2)):
        write_whole(tmp_path / place / "data" / "numbers.csv", b"number\n" + b"7\n" * rows)
        assert (await run(job_of(tmp_path / place / "data"), tmp_path)).rows == rows


async def test_a_file_that_is_no_csv_is_left_out_and_named(trips: Path, tmp_path: Path) -> None:
    (trips / "torn.csv").write_bytes(b'a,b\n1,"2\n')
    (trips / "binary.csv.gz").write_bytes(b"no gzip")
    report = await run(job_of(trips), tmp_path)
    assert report.files == 5
    assert [skipped.name for skipped in report.skipped] == ["binary.csv.gz", "torn.csv"]
    assert "torn.csv was left out: no CSV after byte" in text_of(report)


async def test_what_is_no_fault_of_a_file_fails_the_run(trips: Path, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file stands where the parts should go")
    async with Engine("memory:") as engine:
        given = await engine.start(profile_folder, job_of(trips), id="pipeline")
        with pytest.raises(RunFailedError, match="profile_file"):
            await given.result()


async def test_no_more_files_are_read_at_once_than_the_job_allows(trips: Path) -> None:
    async with Engine("memory:") as engine:
        given = await engine.start(profile_folder, job_of(trips, concurrency=2), id="pipeline")
        await given.result()
        kinds = [recorded.type async for recorded in given.history()]
        done = await given.query(files_done)
    under_way = most = 0
    for kind in kinds:
        under_way += {"activity_scheduled": 1, "activity_completed": -1}.get(kind, 0)
        most = max(most, under_way)
    assert most == 2
    assert (done.bytes_done, len(done.names)) == (done.bytes_in_all, done.files_in_all)


def test_a_file_that_has_changed_since_it_was_listed_is_not_read(trips: Path, tmp_path: Path) -> None:
    (file, *_) = find_files(trips)
    with (trips / file.name).open("a") as stream:
        stream.write("more\n")
    with pytest.raises(BadFileError, match="when it was listed"):
        profile_file.function(str(trips), file, str(tmp_path))


# --- killed, and started again ---------------------------------------------------------------------------------------


def saved_checkpoints(database: Path) -> int:
    """Return how many heartbeats a program has saved so far."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
            query = "SELECT count(*) FROM history WHERE type = 'activity_heartbeat_recorded'"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_after_a_kill_the_pipeline_goes_on_inside_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    write_trips(folder, months=3, trips_per_month=40_000)
    arguments = ("--db", f"sqlite:///{tmp_path / 'pipeline.db'}", "run", str(folder), "--concurrency", "3")
    program = "examples.data_pipeline"
    process = start_program(program, *arguments, directory=tmp_path)
    kill_when(process, lambda: saved_checkpoints(tmp_path / "pipeline.db") >= 3)
    printed = run_program(program, *arguments, directory=tmp_path)
    assert "3 files, 120000 rows" in printed
    assert "files were read on from a checkpoint" in printed
    parts = {path.name: path.read_bytes() for path in (tmp_path / "trips-profile" / "parts").glob("*.json")}
    for file in find_files(folder):
        header, *rows = rows_of(folder / file.name)
        assert parts[f"{file.name}.json"] == msgspec.json.encode(profile_of(rows, header))


def test_a_program_without_a_terminal_prints_its_result_and_nothing_else(trips: Path, tmp_path: Path) -> None:
    arguments = ("--db", f"sqlite:///{tmp_path / 'pipeline.db'}", "run", str(trips), "--output", str(tmp_path / "out"))
    printed = run_program("examples.data_pipeline", *arguments, directory=tmp_path)
    assert printed == f"5 files, 1500 rows: {tmp_path / 'out' / 'report.md'}\n"


async def test_on_a_terminal_there_is_a_bar_that_ends_full(trips: Path, tmp_path: Path) -> None:
    screen = io.StringIO()
    await run(job_of(trips), tmp_path, Console(file=screen, force_terminal=True, width=120))
    assert "5 of 5 files" in screen.getvalue()
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 40 in screen.getvalue()


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_a_reader_goes_on_after_any_row(name: str, tmp_path: Path) -> None:
    rows = [["a", "b"], ["1", "two\nlines"], ["ä", 'a "quote"'], ["", "x,y"], ["last", ""]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    data = text.getvalue().encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with RowReader(tmp_path / name, offset=0) as reader:
        offsets = [(reader.offset, row) for row in reader]
    assert [row for _, row in offsets] == rows
    for read, (offset, _) in enumerate(offsets, start=1):
        with RowReader(tmp_path / name, offset=offset) as reader:
            assert list(reader) == rows[read:]


NO_CSV = {
    "open.csv": b'a\n"open',
    "binary.csv": b"a\n\xff\n",
    "binary.csv.gz": b"no gzip",
    "torn.csv.gz": gzip.compress(b"a\n1\n")[:-9],
    "changed.csv.gz": gzip.compress(b"a\n1\n")[:10] + b"\xff" * 20,
}


@pytest.mark.parametrize("name", NO_CSV)
def test_what_is_no_csv_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(NO_CSV[name])
    with RowReader(tmp_path / name, offset=0) as reader, pytest.raises(BadFileError, match="after byte"):
        list(reader)


def test_files_are_found_below_the_folder_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "sub/a.csv.gz", "notes.txt", "c.csv.bak"):
        write_whole(tmp_path / name, b"x")
    assert find_files(tmp_path) == [InputFile(name="b.csv", size=1), InputFile(name="sub/a.csv.gz", size=1)]


def test_a_file_is_written_as_a_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    write_whole(tmp_path / "deep" / "file", b"old")
    write_whole(tmp_path / "deep" / "file", b"new")
    assert [path.read_bytes() for path in (tmp_path / "deep").iterdir()] == [b"new"]


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 40, 400, 4_000, 40_000])
def test_distinct_values_are_estimated_well(count: int) -> None:
    column = ColumnProfile()
    for number in range(count):
        column.add(f"value {number}")
        column.add(f"value {number}")
    assert abs(column.distinct - count) <= 3 * 0.046 * count


def test_numbers_are_told_from_texts_and_from_what_is_infinite() -> None:
    column = ColumnProfile()
    for value in ("3", "-1.5", "", "text", "inf", "nan", "1e300"):
        column.add(value)
    assert (column.numbers, column.empty, column.smallest, column.largest, column.total) == (2, 1, -1.5, 3.0, 1.5)


def test_joined_profiles_are_those_of_the_joined_rows() -> None:
    header = ["a", "b"]
    rows = [[str(number % 17), "" if number % 3 else "x"] for number in range(300)]
    parts = [profile_of(rows[:100], header), profile_of([], header), profile_of(rows[100:], header)]
    (joined,) = join_profiles(parts)
    assert joined == profile_of(rows, header)


def test_files_with_other_columns_are_not_joined() -> None:
    profiles = [profile_of([["1"]], ["a"]), profile_of([["2"]], ["b"]), profile_of([["3"], ["4", "5"]], ["a"])]
    assert [(joined.header, joined.rows, joined.ragged) for joined in join_profiles(profiles)] == [
        (("a",), 3, 1),
        (("b",), 1, 0),
    ]
