"""The tools that let the power fail: on an honest disk they find nothing, and what they report can be repeated."""

import asyncio
import json
import random
from pathlib import Path

import apsw
import pytest

from perdure.torture import powerloss
from perdure.torture.command import main
from perdure.torture.disks.judgement import UnreadableError, contents_of, open_with_store
from perdure.torture.disks.life import DATABASE_NAME, live
from perdure.torture.disks.losses import lose_power, may_commit
from perdure.torture.disks.operations import LostSync, Operation, Sync, Write
from perdure.torture.disks.platter import Content, Platter
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.programs.steps import program


@pytest.mark.parametrize(("tool", "count"), [("powerloss", 30), ("fsyncgate", 60), ("ioerr", 5), ("stateful", 5)])
def test_a_short_run_finds_nothing(
    tool: str, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(powerloss, "_STATES_PER_LIFE", 200)
    assert main([tool, "--count", str(count), "--seed", "1", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["violations"]) == (tool, 0)
    assert result["runs"] > count / 3


def test_what_a_lying_disk_loses_is_named_with_its_moment(tmp_path: Path) -> None:
    operations, answered = a_life(tmp_path / "life")
    is_sync = [isinstance(one, Sync) for one in operations]
    lied = [one for one in operations if not isinstance(one, Sync)]
    lied_answers = [at - sum(is_sync[:at]) for at in answered]
    assert wrong_after(operations, answered, tmp_path) == []
    wrong = wrong_after(lied, lied_answers, tmp_path)
    assert all(one.startswith("before operation ") for one in wrong)
    assert any("lost: what was answered is not there" in one for one in wrong)


def test_what_a_database_holds_changes_only_where_the_tools_look(tmp_path: Path) -> None:
    operations, _ = a_life(tmp_path / "life")
    platter, before, looks = Platter(), contents_of({}, tmp_path), 0
    for operation in operations:
        platter.take(operation)
        holds = contents_of(platter.kept_by_the_kernel(), tmp_path)
        is_looked_at = may_commit(operation, platter.kept_by_the_kernel())
        assert is_looked_at or holds == before, operation
        before, looks = holds, looks + is_looked_at
    assert looks < len(operations) / 3


def test_what_the_kernel_still_has_after_a_failed_sync_is_judged_too(tmp_path: Path) -> None:
    operations, answered = a_life(tmp_path / "life")
    at = len(operations) - 1
    operations.insert(at, LostSync(f"{DATABASE_NAME}-wal"))
    losses = lose_power(operations, answered, tmp_path, random.Random(3), share=1, draws=1, begins=at)
    ways = [loss.left for loss in losses]
    assert ways.count("only the process is gone") == len(operations) - at - 1


def test_a_commit_may_be_there_before_its_last_write_if_the_disk_has_those_bytes_already(tmp_path: Path) -> None:
    operations, answered = a_life(tmp_path / "life")
    log = f"{DATABASE_NAME}-wal"
    last = max(at for at, one in enumerate(operations) if isinstance(one, Write) and one.file == log)
    page = operations[last]
    assert isinstance(page, Write)
    forgotten = [page, Sync(log), Write(log, page.offset, bytes(len(page.data))), LostSync(log)]
    operations[last - 1 : last - 1] = forgotten
    answers = [at + len(forgotten) if at >= last else at for at in answered]
    assert wrong_after(operations, answers, tmp_path, begins=last - 1) == []


def test_what_is_left_must_be_readable_and_agree_with_itself(tmp_path: Path) -> None:
    operations, _ = a_life(tmp_path / "life")
    platter = Platter()
    for operation in operations:
        platter.take(operation)
    image = platter.kept_by_the_kernel()
    open_with_store(image, tmp_path)
    with pytest.raises(UnreadableError, match="NotADBError"):
        contents_of(image | {DATABASE_NAME: Content(bytearray(b"x" * 8_192), 8_192)}, tmp_path)
    contents_of(image, tmp_path)
    connection = apsw.Connection(str(tmp_path / DATABASE_NAME))
    connection.execute("DELETE FROM history WHERE position = (SELECT max(position) FROM history)")
    connection.close()
    data = bytearray((tmp_path / DATABASE_NAME).read_bytes())
    with pytest.raises(UnreadableError, match="is missing: the run's row counts"):
        open_with_store({DATABASE_NAME: Content(data, len(data))}, tmp_path)


def a_life(folder: Path) -> tuple[list[Operation], list[int]]:
    folder.mkdir()
    disk = RecordingDisk()
    answered = asyncio.run(live(program(2, length=12), folder, disk, random.Random(2)))
    disk.close()
    return disk.operations, answered


def wrong_after(operations: list[Operation], answered: list[int], folder: Path, *, begins: int = 0) -> list[str]:
    """Lose power before the first operations from `begins` on, and before some others; say what is wrong then."""
    losses = list(lose_power(operations, answered, folder, random.Random(3), share=0.1, draws=1, begins=begins))
    assert losses
    return [str(loss) for loss in losses if loss.wrong is not None]
