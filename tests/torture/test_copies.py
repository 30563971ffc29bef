"""The `copies` tool on a small scale: points in time are what they were, and what is wrong is said."""

import json
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.stores.sqlite.copies.expiry import Expiry
from perdure.stores.sqlite.copies.placing import place, reserved
from perdure.torture.command import main
from perdure.torture.copies.interruption import interrupt
from perdure.torture.copies.trial import Trial
from perdure.torture.disks.operations import Delete, MakeFolder
from perdure.torture.disks.recording import RecordingDisk


def test_points_in_time_are_what_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copies", "--count", "100", "--seed", "3", "--processes", "1", "--json"]) == 0
    line, machine = capsys.readouterr().out.splitlines()
    assert line.startswith("copies: ok: ")
    assert json.loads(machine)["runs"] > 20


def test_what_goes_before_a_base_whose_first_point_is_merged_has_had_its_time() -> None:
    assert main(["copies", "--count", "1", "--seed", "270147", "--processes", "1", "--workload", "points"]) == 0


async def test_a_seed_repeats_what_it_did(tmp_path: Path) -> None:
    """Each round finds the log as long as it was the first time: no thread of a store's copies it at its own time."""
    found = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        trial = Trial(tmp_path / str(number), 7)
        await trial.run()
        found.append((sorted(trial._expected), trial._chance.getstate()))
    assert found[0] == found[1] == found[2]


async def test_a_point_that_is_something_else_is_a_violation(tmp_path: Path) -> None:
    trial = Trial(tmp_path, 3)
    await trial.run()
    trial._expected = {name: {b"other rows"} for name in trial._expected}
    assert trial.judge() > 1
    assert trial.wrong
    assert all("is not what the database was" in wrong for wrong in trial.wrong)


async def test_a_point_that_is_gone_is_a_violation(tmp_path: Path) -> None:
    trial = Trial(tmp_path, 3)
    await trial.run()
    generation = max(path for path in (tmp_path / "copy").iterdir() if path.is_dir())
    trial._expected[f"{generation.name}/999"] = set()
    trial.judge()
    assert trial.wrong == [f"{generation.name}/999 is gone, and its generation is not"]


async def test_a_sound_point_that_goes_for_damage_is_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(tmp_path, 3)
    await trial.run()
    monkeypatch.setattr(Expiry, "_is_old", lambda *_: True)
    trial.judge()
    assert trial.wrong
    assert all("has gone before its time, since a bit of the time in" in wrong for wrong in trial.wrong)


@pytest.mark.parametrize("seed", [1, 2, 3, 10, 11, 767_102])
def test_whoever_is_interrupted_leaves_the_old_or_the_new_one(tmp_path: Path, seed: int) -> None:
    interruptions, wrong = interrupt(tmp_path, seed)
    assert interruptions > 5
    assert wrong == []


def test_the_folder_of_locks_and_the_index_of_a_log_are_noted_like_other_files(tmp_path: Path) -> None:
    path, unnamed, disk = tmp_path / "data.db", tmp_path / "new.db", RecordingDisk(root=tmp_path)
    for file in (path, unnamed):
        with closing(apsw.Connection(str(file))) as connection:
            connection.execute("CREATE TABLE t (a)")
    path.with_name("data.db-shm").write_bytes(b"left")
    with closing(disk), reserved(path, disk) as reservation:
        place(unnamed, path, disk, reservation)
    assert MakeFolder("data.db.perdure") in disk.operations
    assert Delete("data.db-shm", is_durable=False) in disk.operations
