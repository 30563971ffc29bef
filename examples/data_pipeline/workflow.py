"""The pipeline, read from top to bottom: one list, many files side by side, one report."""

from pathlib import PurePath

import msgspec

from examples.data_pipeline.activities import Part, Report, Skipped, list_files, profile_file, write_report
from examples.data_pipeline.files import BadFileError, InputFile
from perdure import ActivityFailedError, Context, Query, workflow

__all__ = ["FilesDone", "Job", "files_done", "profile_folder"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to profile, where to write, and how many files are read at once."""

    folder: str
    output: str
    concurrency: int


class FilesDone(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, in files and bytes; `names` of the files that are done."""

    names: frozenset[str]
    bytes_done: int
    bytes_in_all: int
    files_in_all: int


@Query
def files_done() -> FilesDone:
    """Say how far the run is."""
    raise NotImplementedError  # only name and types count


@workflow(stages=("list", "profile", "report"))
async def profile_folder(ctx: Context, job: Job) -> Report:
    """Profile all CSV files of a folder. One that cannot be read is left out of the report, and named there."""
    files: list[InputFile] = []
    done: list[InputFile] = []

    @ctx.query(files_done)
    def how_far() -> FilesDone:
        return FilesDone(
            names=frozenset(file.name for file in done),
            bytes_done=sum(file.size for file in done),
            bytes_in_all=sum(file.size for file in files),
            files_in_all=len(files),
        )

    async def profile(file: InputFile) -> Part | Skipped:
        try:
            return await profile_file(job.folder, file, str(PurePath(job.output, "parts")))
        except ActivityFailedError as error:
            if error.failure_type != BadFileError.__name__:
                raise  # no fault of this file
            return Skipped(name=file.name, reason=error.failure_message)
        finally:
            done.append(file)

    async with ctx.stage("list"):
        files.extend(await list_files(job.folder))
    async with ctx.stage("profile"):
        outcomes = await ctx.map(profile, files, limit=job.concurrency)
    async with ctx.stage("report"):
        parts = [outcome for outcome in outcomes if isinstance(outcome, Part)]
        skipped = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
        return await write_report(str(PurePath(job.output, "report.md")), parts, skipped)
