"""`perdure backup`, `replicate`, `restore` and what `doctor` says of copies, in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import StoreUnavailableError
from perdure.stores.opening import compact_store
from perdure.stores.sqlite.presence import replacing_mark
from tests.cli.runs import Called, perdure
from tests.cli.terminal import on_a_terminal


class Replicating:
    """`perdure replicate` in the background."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> dict[str, Any]:
        """Return what it prints next."""
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def stop(self, number: int = signal.SIGTERM) -> Called:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return Called(code=self.process.returncode, out=out, err=err)


@contextmanager
def replicating(place: Path, *arguments: str, as_json: bool = True) -> Iterator[Replicating]:
    command = [sys.executable, "-W", "error", "-m", "perdure", "replicate", "--to", "copy", *arguments]
    with subprocess.Popen(
        [*command, *(["--json"] if as_json else [])],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as process:
        try:
            yield Replicating(process)
        finally:
            process.kill()


@pytest.fixture
def copied(place: Path) -> Path:
    """A place with a copy that was followed for two changes."""
    with replicating(place, "--every", "10ms") as following:
        assert following.hear()["point"] == "generation-000001/0"
        assert perdure("signal", "waiting", "review", '{"approved": true}', directory=place).code == 0
        assert following.hear()["point"] == "generation-000001/1"
        following.stop()
    return place


def test_a_backup_is_restored(place: Path) -> None:
    made = perdure("backup", "--to", "backup.db", directory=place)
    assert made.code == 0, made.err
    assert "all rows equal" in made.out
    assert perdure("restore", "--from", "backup.db", "--to", "restored.db", directory=place).code == 0
    listed = [perdure("list", "--json", "--db", f"sqlite:///{name}", directory=place) for name in
              ("perdure.db", "restored.db")]  # fmt: skip
    assert [run["id"] for run in listed[0].json["runs"]] == [run["id"] for run in listed[1].json["runs"]]


def test_a_backup_says_what_it_is_for_programs(place: Path) -> None:
    made = perdure("backup", "--to", "backup.db", "--json", directory=place)
    assert made.json["path"] == str(place / "backup.db")
    assert made.json["size_bytes"] == (place / "backup.db").stat().st_size
    assert len(made.json["contents"]) == 32


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("backup", "--to", "perdure.db", "--force"), 2, "the database itself"),
        (("backup", "--to", "there.db"), 1, "exists; nothing was changed"),
        (("backup", "--to", "no/folder.db"), 1, "does not exist"),
        (("backup", "--to", "x.db", "--db", "sqlite:///nowhere.db"), 1, "there is no database"),
        (("replicate", "--to", "copy", "--db", "sqlite:///nowhere.db"), 1, "there is no database"),
        (("replicate", "--to", "copy", "--every", "soon"), 2, "is no duration"),
        (("replicate", "--to", "copy", "--every", "0s"), 2, "longer than nothing"),
        (("restore", "--from", "nowhere", "--to", "x.db"), 1, "there is no copy"),
        (("restore", "--from", "there.db", "--to", "x.db", "--at", "yesterday"), 2, "is no time"),
        (("restore", "--from", "there.db"), 2, "name the database to make"),
        (("restore", "--from", "there.db", "--list"), 1, "no folder of a replication"),
    ],
)
def test_what_cannot_be_done_is_said(place: Path, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    (place / "there.db").write_text("precious")
    before = sorted(path.name for path in place.iterdir())
    called = perdure(*arguments, directory=place)
    assert (called.code, complaint in called.err) == (code, True), called.err
    assert (place / "there.db").read_text() == "precious"
    assert sorted(path.name for path in place.iterdir() if path.name[-4:] not in ("-wal", "-shm")) == [
        name for name in before if name[-4:] not in ("-wal", "-shm")
    ]


def test_a_copy_that_follows_is_restored_to_a_point_in_time(copied: Path) -> None:
    listed = perdure("restore", "--from", "copy", "--list", "--json", directory=copied).json
    before, *_, after = [point["taken_at"] for point in listed["points"]]
    signals = []
    for name, arguments in (("old.db", ("--at", before)), ("new.db", ("--at", after))):
        restored = perdure("restore", "--from", "copy", "--to", name, *arguments, "--json", directory=copied)
        assert restored.code == 0, restored.err
        assert restored.json["taken_at"] == arguments[1]
        shown = perdure("show", "waiting", "--json", "--db", f"sqlite:///{name}", directory=copied)
        signals.append("review" in json.dumps(shown.json["inbox"]))
    assert signals == [False, True]


def test_the_points_in_time_are_drawn(copied: Path) -> None:
    listed = perdure("restore", "--from", "copy", "--list", directory=copied)
    assert "points in time over" in listed.out
    assert "█" in listed.out
    assert "generation-000001" in listed.out
    plain = perdure("restore", "--from", "copy", "--list", directory=copied, PYTHONIOENCODING="ascii")
    assert "|" in plain.out.splitlines()[1]


def test_what_is_not_whole_is_listed_and_not_restored(copied: Path) -> None:
    part = copied / "copy" / "generation-000001" / "00000001.part"
    part.write_bytes(part.read_bytes()[:20])
    listed = perdure("restore", "--from", "copy", "--list", directory=copied)
    assert "not whole after" in listed.out
    breaks = perdure("restore", "--from", "copy", "--list", "--json", directory=copied).json["breaks"]
    assert len(breaks) == 1
    refused = perdure("restore", "--from", "copy", "--to", "restored.db", directory=copied)
    assert refused.code == 1
    assert f"--at {breaks[0]['after'].removesuffix('Z')}" in refused.err
    assert not (copied / "restored.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_a_last_round(place: Path, number: int) -> None:
    with replicating(place, "--every", "1h") as following:
        following.hear()
        assert perdure("signal", "waiting", "review", '{"approved": true}', directory=place).code == 0
        stopped = following.stop(number)
    assert stopped.code == 0, stopped.err
    assert json.loads(stopped.out)["point"] == "generation-000001/1"


def test_people_hear_of_the_first_copy_and_of_the_end(place: Path) -> None:
    with replicating(place, as_json=False) as following:
        assert following.process.stdout is not None
        first = following.process.stdout.readline()
        stopped = following.stop()
    assert "behind, at generation-000001/0" in first
    assert stopped.out.startswith("stopped; the copy in")


def test_a_second_one_is_refused_or_waits_for_its_turn(place: Path) -> None:
    with replicating(place, "--every", "10ms") as first:
        first.hear()
        refused = perdure("replicate", "--to", "copy", directory=place)
        assert refused.code == 1
        assert "another process replicates" in refused.err
        with replicating(place, "--every", "10ms", "--standby") as second:
            first.process.kill()
            first.process.wait()
            assert second.hear()["point"] in ("generation-000001/0", "generation-000002/0")
            second.stop()


def test_a_killed_one_leaves_a_whole_copy(place: Path) -> None:
    with replicating(place, "--every", "10ms") as following:
        following.hear()
        following.process.kill()
        following.process.wait()
    assert perdure("restore", "--from", "copy", "--to", "restored.db", directory=place).code == 0


def copies_checks(place: Path) -> list[dict[str, Any]]:
    checks = perdure("doctor", "--json", directory=place).json["checks"]
    return [check for check in checks if check["name"] == "copies"]


def test_doctor_tells_how_far_the_copies_are(place: Path) -> None:
    (check,) = copies_checks(place)
    assert (check["verdict"], "none follows" in check["finding"]) == ("ok", True)
    with replicating(place, "--every", "10ms") as following:
        following.hear()
        (check,) = copies_checks(place)
        assert check["verdict"] == "ok"
        assert f"{place / 'copy'}: " in check["finding"]
        assert "behind" in check["finding"]
        assert "newest generation-000001/" in check["finding"]


def test_doctor_warns_of_a_copy_that_nobody_follows_up(copied: Path) -> None:
    (standing,) = (copied / "perdure.db.perdure").glob("copy-*.json")
    told = json.loads(standing.read_text())
    standing.write_text(json.dumps({**told, "checked_at": told["checked_at"] - 3_600_000_000}))
    (check,) = copies_checks(copied)
    assert (check["verdict"], "1 h 0 min behind" in check["finding"]) == ("warn", True)
    assert str(standing) in check["advice"]
    standing.write_text(json.dumps({**told, "error": "the disk is full"}))
    (check,) = copies_checks(copied)
    assert (check["verdict"], check["advice"]) == ("warn", "the disk is full")
    shutil.rmtree(copied / "copy")
    assert "cannot be read" in copies_checks(copied)[0]["finding"] or "0 bytes" in copies_checks(copied)[0]["finding"]
    standing.unlink()
    assert "none follows" in copies_checks(copied)[0]["finding"]


def test_on_a_terminal_it_shows_how_far_it_is(place: Path) -> None:
    def stop(process: int) -> str:
        os.kill(process, signal.SIGTERM)
        return ""

    shown = on_a_terminal(
        "replicate", "--to", "copy", "--every", "10ms", directory=place, question="generation-000001/0", answer=stop
    )
    assert shown.code == 0
    assert "behind, at generation-000001/0" in shown.out


def test_while_no_database_has_the_name_commands_say_how_to_go_on(tmp_path: Path) -> None:
    """They do not say that an engine makes one when it is opened: what was there is aside."""
    mark = replacing_mark(tmp_path / "perdure.db")
    mark.parent.mkdir()
    mark.touch()
    for command in ("list", "doctor"):
        called = perdure(command, directory=tmp_path)
        assert called.code == 1
        assert "Run `perdure restore --force` again" in " ".join((called.out + called.err).split())
        assert "An engine makes" not in called.out + called.err
    (tmp_path / "link.db").symlink_to("perdure.db")
    with pytest.raises(StoreUnavailableError, match="Run `perdure restore --force` again"):
        compact_store(f"sqlite:///{tmp_path}/link.db")
    assert [*mark.parent.iterdir()] == [mark]


def test_what_is_damaged_in_the_database_is_told_and_can_be_restored(place: Path) -> None:
    with closing(apsw.Connection(str(place / "perdure.db"))) as other:
        other.execute(
            "UPDATE history SET data = data || ' ' WHERE sequence = 1 AND run_key = (SELECT min(run_key) FROM runs)"
        )
    told = perdure("backup", "--to", "monday.db", directory=place)
    assert told.code == 0, told.err
    assert "damaged: run " in told.out
    assert "--accept-damaged" in told.out
    restore = ("restore", "--from", "monday.db", "--to", "restored.db")
    refused = perdure(*restore, directory=place)
    assert (refused.code, "--accept-damaged" in refused.err) == (1, True), refused.err
    restored = perdure(*restore, "--accept-damaged", "--json", directory=place)
    assert restored.code == 0, restored.err
    assert len(restored.json["damaged"]) == 1
    said = perdure(*restore, "--accept-damaged", "--force", directory=place)
    assert "damaged: run " in said.out
    again = ("backup", "--force", "--to")
    assert perdure(*again, "monday.db", directory=place).code == 0  # the same is damaged there
    (place / "older.db").write_bytes(b"perhaps whole")
    refused = perdure(*again, "older.db", directory=place)
    assert (refused.code, "name another file" in " ".join(refused.err.split())) == (1, True), refused.err
    assert (place / "older.db").read_bytes() == b"perhaps whole"
