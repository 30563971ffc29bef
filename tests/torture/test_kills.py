"""The `kill` tool on a small scale: real processes die, nothing is lost, and each control is found out."""

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from perdure.ports import clock as ports_clock
from perdure.ports.clock import SystemClock
from perdure.stores import opening
from perdure.stores.postgres import clock as server_clock
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.torture.command import main
from perdure.torture.kills import campaign as campaigns
from perdure.torture.kills import copies, run_kills
from perdure.torture.kills.campaign import Campaign
from perdure.torture.kills.clocks import set_machine_clock
from perdure.torture.kills.copies import Round, judge_copies
from perdure.torture.kills.databases import FileDatabase
from perdure.torture.kills.ledger import Effect, Note, append, read
from perdure.torture.kills.oracle import Verdict, judge
from perdure.torture.kills.process import Order, is_standby
from perdure.torture.kills.rows import keep_rows, kept_rows


async def test_three_kills_lose_nothing_and_every_control_is_found_out() -> None:
    report = await run_kills(count=3, seed=1)
    assert report.violations == []
    assert report.survivors == []
    assert len(report.controls) == 6
    assert report.runs >= 3
    assert report.acknowledged > 0
    assert report.effects > 0
    assert json.loads(report.as_json())["violations"] == 0


async def test_kills_on_a_server_lose_nothing() -> None:
    report = await run_kills(count=3, seed=1, on_postgres=True, has_controls=False)
    assert report.violations == []
    assert report.mishaps == []
    assert report.runs >= 3
    assert report.transfers > 0


def test_a_machine_s_clock_is_ahead_for_perdure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ports_clock, opening, server_clock):
        monkeypatch.setattr(module, "time", time)
    set_machine_clock(3_600)
    for now in (SystemClock().now(), server_clock.ServerClock().now()):
        assert 3_590 < now / 1_000_000 - time.time() < 3_610
    assert time.time_ns is not vars(server_clock)["time"].time_ns
    assert time.monotonic_ns is vars(server_clock)["time"].monotonic_ns


async def test_no_process_outlives_a_campaign(tmp_path: Path) -> None:
    async with Campaign(tmp_path, FileDatabase(tmp_path), seed=2) as campaign:
        await campaign.run(1)
    assert campaign.processes
    for process in campaign.processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


async def test_a_campaign_that_finds_something_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path))
    monkeypatch.setattr(campaigns, "judge", _judge_of_a_lost_start)
    report = await run_kills(count=1, seed=3, has_controls=False)
    assert not report.is_good
    assert report.lost == 1
    assert "1 lost" in report.line("kills")
    violation = report.violations[0]
    assert violation.startswith(f"python -m perdure.torture kill --history {tmp_path}\n    lost: ")
    monkeypatch.undo()
    assert main(["kill", "--history", str(tmp_path)]) == 1
    assert violation in capsys.readouterr().out


async def test_a_lie_that_no_kill_has_met_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [Verdict(), Verdict(), Verdict(violations=["lost: a start"])]
    monkeypatch.setattr(campaigns, "judge", lambda _folder: verdicts.pop(0))
    monkeypatch.setattr(FileDatabase, "pace", msgspec.structs.replace(FileDatabase.pace, control_kills=1))
    report = campaigns.KillReport(name="kill", seed=4, controls=[], survivors=[])
    await campaigns._run_control(report, "a lie", "lost", early_customers=True)
    assert (report.controls, report.survivors, verdicts) == (["a lie: 1 x lost"], [], [])


def _judge_of_a_lost_start(folder: Path) -> Verdict:
    append(folder / "notes-0", Note(call="start", state="done", run_id="nowhere", workflow="kill_chain", value=1))
    return judge(folder)


DAMAGES: dict[str, tuple[str, str]] = {
    "a run without its history": ("history", "DELETE FROM history WHERE run_key = (SELECT min(run_key) FROM runs)"),
    "an event that is missing": (
        "history",
        "DELETE FROM history WHERE position = (SELECT min(position) FROM history WHERE sequence = 2)",
    ),
    "an owner that is gone": ("left over", "UPDATE runs SET owner = 1 WHERE run_key = (SELECT min(run_key) FROM runs)"),
    "a session of the dead": ("left over", "INSERT INTO sessions SELECT 99, 'x', 1, 1, 1, 1, 1, 1, ''"),
    "a message for nobody": ("left over", "INSERT INTO inbox (run_key, message_id, data, at) VALUES (0, '', '{}', 1)"),
    "another result": (
        "result",
        "UPDATE history SET data = json_set(data, '$.result', 'wrong') WHERE type = 'run_completed'",
    ),
    "all runs": ("lost", "DELETE FROM runs"),
    "a lock that was not given back": (
        "lock",
        "UPDATE history SET data = json_set(data, '$.operation', 9999) WHERE type = 'lock_released'",
    ),
    "fencing tokens that do not grow": (
        "lock",
        "UPDATE history SET data = json_set(data, '$.fencing_token', 1) WHERE type = 'lock_acquired'",
    ),
    "a transfer that was made twice": ("ledger", "INSERT INTO kill_ledger SELECT * FROM kill_ledger LIMIT 1"),
    "a transfer that is recorded and was not made": (
        "ledger",
        "DELETE FROM kill_ledger WHERE rowid = (SELECT min(rowid) FROM kill_ledger)",
    ),
    "a transfer that was made and is not recorded": (
        "ledger",
        "INSERT INTO kill_ledger VALUES ('of-nobody', 1, 1, 2, 0)",
    ),
    "an amount that came from nowhere": ("ledger", "UPDATE kill_accounts SET balance = balance + 1"),
    "a place in a line that nobody left": (
        "left over",
        "INSERT INTO locks (namespace, key, run_key, operation, holding, requested_at) VALUES ('', 'k', 1, 1, '[]', 1)",
    ),
}


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aftermath")

    async def kill_some() -> None:
        async with Campaign(folder, FileDatabase(folder), seed=4) as campaign:
            await campaign.run(12)
            assert campaign.mishaps == []
        assert judge(folder).violations == []

    asyncio.run(kill_some())
    return folder


@pytest.mark.parametrize(("kind", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_the_oracle_sees(aftermath: Path, tmp_path: Path, kind: str, damage: str) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    assert judge(tmp_path).violations == []
    connection = sqlite3.connect(tmp_path / "torture.db")
    with connection:
        connection.execute(damage)
    connection.close()
    assert judge(tmp_path).count(kind) > 0


def test_rows_that_are_kept_are_judged_as_those_of_a_file(aftermath: Path, tmp_path: Path) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    rows = kept_rows(aftermath)
    (tmp_path / "torture.db").unlink()
    keep_rows(tmp_path, rows)
    assert kept_rows(tmp_path) == rows
    assert judge(tmp_path) == judge(aftermath)


def test_the_oracle_sees_a_missing_an_unasked_and_a_repeated_effect(aftermath: Path, tmp_path: Path) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    done = next(read(tmp_path / "effects", Effect))
    append(tmp_path / "effects", done)
    append(tmp_path / "effects", msgspec.structs.replace(done, key="0-1"))
    found = "\n".join(judge(tmp_path).violations)
    assert "performed more than once under the fencing token" in found
    assert "never recorded as asked for" in found
    (tmp_path / "effects").unlink()
    assert "effect: none of attempt" in "\n".join(judge(tmp_path).violations)


def test_the_oracle_sees_an_effect_of_one_whose_lock_is_another_s_by_now(aftermath: Path, tmp_path: Path) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    first = next(record for record in read(tmp_path / "effects", Effect) if record.lock)
    append(tmp_path / "effects", msgspec.structs.replace(first, lock_token=first.lock_token - 1))
    assert judge(tmp_path).count("lock") > 0


def test_the_oracle_sees_a_lost_signal(aftermath: Path, tmp_path: Path) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    known = next(record for path in sorted(tmp_path.glob("notes-*")) for record in read(path, Note))
    lost = Note(call="signal", state="done", run_id=known.run_id, subject="never sent", value=7)
    append(tmp_path / "notes-0", lost)
    assert judge(tmp_path).count("lost") > 0


def test_the_oracle_sees_a_lost_cancellation_though_the_run_was_cancelled_later(
    aftermath: Path, tmp_path: Path
) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    lost = Note(call="cancel", state="done", run_id=_cancelled(tmp_path), subject="another reason")
    append(tmp_path / "notes-0", lost)
    assert judge(tmp_path).count("lost") == 1


def _cancelled(folder: Path) -> str:
    connection = sqlite3.connect(folder / "torture.db")
    (run_id,) = connection.execute("SELECT id FROM runs WHERE status = 'cancelled'").fetchone()
    connection.close()
    return str(run_id)


@pytest.mark.parametrize(("call", "value"), [("update", [0, 7]), ("stream", [7])])
def test_the_oracle_sees_an_answer_that_the_run_does_not_bear_out(
    aftermath: Path, tmp_path: Path, call: Literal["update", "stream"], value: object
) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    known = next(record for path in sorted(tmp_path.glob("notes-*")) for record in read(path, Note))
    append(tmp_path / "notes-0", Note(call=call, state="done", run_id=known.run_id, value=value))
    assert judge(tmp_path).count("lost") == 1


@pytest.mark.parametrize(("state", "kind"), [("late", "late"), ("failed", "error")])
def test_the_oracle_tells_of_answers_that_were_late_or_errors(
    aftermath: Path, tmp_path: Path, state: Literal["late", "failed"], kind: str
) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    append(tmp_path / "notes-0", Note(call="result", state=state, run_id="one"))
    assert judge(tmp_path).count(kind) == 1


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM history WHERE position = (SELECT max(position) FROM history)", "events, not"),
        ("UPDATE history SET data = json_remove(data, '$.message_id') WHERE type = 'signal_received'", "lacks"),
    ],
    ids=["an event", "signals"],
)
def test_a_point_of_a_copy_that_lacks_something_is_seen(
    aftermath: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, what: str
) -> None:
    shutil.copytree(aftermath, tmp_path, dirs_exist_ok=True)
    assert judge_copies(tmp_path, seed=4).violations == []
    newest = read_contents(tmp_path / "copy").points[-1]

    def rebuild_less(folder: Path, point: Point, target: Path, **how: Any) -> None:
        rebuild(folder, point, target, **how)
        connection = sqlite3.connect(target)
        with connection:
            connection.execute(damage)
        connection.close()

    append(tmp_path / "rounds-1", Round(point=f"{newest.generation}/{newest.number}", checked_at=SystemClock().now()))
    monkeypatch.setattr(copies, "rebuild", rebuild_less)
    assert any(what in violation for violation in judge_copies(tmp_path, seed=4).violations)


def test_a_last_line_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    note = Note(call="cancel", state="asked", run_id="one")
    append(tmp_path / "notes", note)
    with (tmp_path / "notes").open("ab") as file:
        file.write(b'{"call":"cancel","sta')
    assert list(read(tmp_path / "notes", Note)) == [note]
    assert list(read(tmp_path / "missing", Note)) == []


def test_of_a_line_that_a_kill_has_cut_in_two_nothing_is_read_and_the_next_stands_by_itself(tmp_path: Path) -> None:
    path, note = tmp_path / "notes-1", Note(call="start", state="done", run_id="one")
    append(path, note)
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        append(path, note)
        assert list(read(path, Note)) == [note] * (1 + (length >= len(whole) - 1))


def test_every_other_worker_is_a_standby_of_the_rest() -> None:
    workers = [Order(folder="", number=number, url="", seed=1, workloads=()) for number in range(4)]
    assert [is_standby(order) for order in workers] == [False, True, False, True]
    assert not is_standby(msgspec.structs.replace(workers[1], works=False))
    assert not is_standby(msgspec.structs.replace(workers[1], serves_queue=True, only_queue=True))
