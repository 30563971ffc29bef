"""The pipeline in virtual time: files that come late, disks that are full for a while, a death at every step."""

from pathlib import PurePath

import pytest

from examples.data_pipeline.activities import Part, Report, Skipped, list_files, profile_file, write_report
from examples.data_pipeline.files import BadFileError, InputFile
from examples.data_pipeline.workflow import Job, profile_folder
from perdure import Run, RunFailedError
from perdure.testing import TestEnvironment

FILES = [InputFile(name=f"trips-{number}.csv", size=100 * number) for number in range(1, 7)]
JOB = Job(folder="trips", output="output", concurrency=2)


def play_the_disk(env: TestEnvironment, *, torn: str = "") -> None:
    """Replace what touches files."""

    async def find(folder: str) -> list[InputFile]:
        return FILES

    async def count(folder: str, file: InputFile, parts: str) -> Part:
        if file.name == torn:
            raise BadFileError("torn")
        return Part(name=file.name, path=str(PurePath(parts, file.name)), rows=file.size, resumed_at=0)

    async def write(path: str, parts: list[Part], skipped: list[Skipped]) -> Report:
        rows = sum(part.rows for part in parts)
        return Report(path=path, files=len(parts), rows=rows, resumed=0, skipped=tuple(skipped))

    env.replace(list_files, find)
    env.replace(profile_file, count)
    env.replace(write_report, write)


async def begin(env: TestEnvironment) -> Run[Report]:
    return await env.start(profile_folder, JOB, id="profile-trips")


async def test_a_disk_that_is_full_for_a_while_is_waited_for(perdure_env: TestEnvironment) -> None:
    play_the_disk(perdure_env)
    perdure_env.fail_next(profile_file, OSError("no space left"), times=4)
    assert (await (await begin(perdure_env)).result()).files == len(FILES)
    assert len(perdure_env.calls(profile_file)) == len(FILES) + 4


async def test_what_is_no_fault_of_a_file_fails_the_run(perdure_env: TestEnvironment) -> None:
    play_the_disk(perdure_env)
    perdure_env.fail_next(profile_file, OSError("no space left"), times=None)
    with pytest.raises(RunFailedError, match="no space left"):
        await (await begin(perdure_env)).result()
    assert perdure_env.calls(write_report) == []


@pytest.mark.perdure_crash_everywhere
async def test_fan_out_and_fan_in_survive_a_death_at_every_step(perdure_env: TestEnvironment) -> None:
    play_the_disk(perdure_env, torn="trips-3.csv")
    report = await (await begin(perdure_env)).result()
    assert (report.files, report.rows) == (5, 1800)
    assert report.skipped == (Skipped(name="trips-3.csv", reason="torn"),)
    assert report.path == "output/report.md"
