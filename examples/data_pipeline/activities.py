"""The activities: list the files, profile one of them, write the report.

Whatever they write has a name that follows from the input, and is written as a whole: to do it again is harmless.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from examples.data_pipeline.files import BadFileError, InputFile, RowReader, find_files, write_whole
from examples.data_pipeline.profile import FileProfile, join_profiles
from perdure import Retry, activity, current_attempt, exponential, heartbeat

__all__ = ["Checkpoint", "Part", "Report", "Skipped", "list_files", "profile_file", "write_report"]

ROWS_PER_HEARTBEAT: Final = 1_000


class Checkpoint(msgspec.Struct, kw_only=True):
    """How far a file was read: `offset` says where to go on, `bytes_read` is for those who watch."""

    name: str
    offset: int
    bytes_read: int
    profile: FileProfile


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was profiled: the profile stands in the file `path`. `resumed_at`: where the last attempt went on."""

    name: str
    path: str
    rows: int
    resumed_at: int


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be profiled, and why."""

    name: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the pipeline: the report stands in the file `path`."""

    path: str
    files: int
    rows: int
    resumed: int
    skipped: tuple[Skipped, ...]


PATIENT: Final = Retry(attempts=5, backoff=exponential(timedelta(milliseconds=300)))
"""For file servers that come back: waits of 0.3, 0.6, 1.2 and 2.4 seconds."""


@activity(retry=PATIENT, timeout=timedelta(minutes=10))
def list_files(folder: str) -> list[InputFile]:
    """Return the CSV files below a folder."""
    return find_files(Path(folder))


@activity(executor="process", retry=PATIENT, timeout=timedelta(hours=12), heartbeat_timeout=timedelta(minutes=5))
def profile_file(folder: str, file: InputFile, parts: str) -> Part:
    """Profile one file into the folder `parts`. An attempt after a crash goes on at the last saved heartbeat.

    Raises BadFileError for what is no CSV, and for a file that has changed since it was listed.
    """
    path = Path(folder, file.name)
    if path.stat().st_size != file.size:
        raise BadFileError(f"it has {path.stat().st_size} bytes, and had {file.size} when it was listed")
    checkpoint = current_attempt().last_heartbeat(Checkpoint)
    resumed_at = checkpoint.offset if checkpoint else 0
    with RowReader(path, offset=resumed_at) as reader:
        rows = iter(reader)
        profile = checkpoint.profile if checkpoint else FileProfile.of_header(next(rows, []))
        for row in rows:
            profile.add(row)
            if profile.rows % ROWS_PER_HEARTBEAT == 0:
                heartbeat(
                    Checkpoint(name=file.name, offset=reader.offset, bytes_read=reader.bytes_read, profile=profile)
                )
    part = Path(parts, f"{file.name}.json")
    write_whole(part, msgspec.json.encode(profile))
    return Part(name=file.name, path=str(part), rows=profile.rows, resumed_at=resumed_at)


@activity(retry=PATIENT, timeout=timedelta(minutes=10))
def write_report(path: str, parts: list[Part], skipped: list[Skipped]) -> Report:
    """Join the profiles and write them down as a page of Markdown."""
    profiles = [msgspec.json.decode(Path(part.path).read_bytes(), type=FileProfile) for part in parts]
    tables = [_table(profile) for profile in join_profiles(profiles)]
    left_out = [f"- {each.name} was left out: {each.reason}" for each in skipped]
    write_whole(Path(path), "\n\n".join(["# What is in the files", *tables, *left_out, ""]).encode())
    return Report(
        path=path,
        files=len(parts),
        rows=sum(part.rows for part in parts),
        resumed=sum(part.resumed_at > 0 for part in parts),
        skipped=tuple(skipped),
    )


def _table(profile: FileProfile) -> str:
    lines = [
        f"{profile.rows} rows, {profile.ragged} of them with too few or too many values.",
        "",
        "| column | empty | distinct, about | numbers | smallest | largest | mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, column in zip(profile.header, profile.columns, strict=True):
        mean = column.total / column.numbers if column.numbers else None
        measures = ("" if each is None else f"{each:.6g}" for each in (column.smallest, column.largest, mean))
        cells = (name, str(column.empty), str(column.distinct), str(column.numbers), *measures)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
