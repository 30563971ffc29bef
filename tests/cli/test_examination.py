import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from perdure import Context, Engine, workflow
from perdure.cli.examination import _check_integrity
from perdure.cli.finding import Verdict
from perdure.cli.open_runs import read_open_runs
from tests.cli.runs import perdure

CHECKS = {
    "perdure", "python", "sqlite", "file locks", "lock files", "disk space", "database", "free pages", "log",
    "settings", "integrity", "sessions", "agenda", "runs", "parked", "copies",
}  # fmt: skip


@workflow(name="examined")
async def examined(_ctx: Context) -> None:
    pass


def checks_of(place: Path, *, code: int) -> dict[str, Any]:
    called = perdure("doctor", "--json", directory=place)
    assert called.code == code, called.err
    return {check["name"]: check for check in called.json["checks"]}


def test_a_sound_database_passes_every_check(place: Path) -> None:
    checks = checks_of(place, code=0)
    assert set(checks) == CHECKS
    assert {name for name, check in checks.items() if check["verdict"] != "ok"} == {"runs"}
    assert checks["settings"]["finding"] == "journal_mode wal, synchronous full, foreign_keys on"


def test_a_table_is_printed_for_people(place: Path) -> None:
    called = perdure("doctor", directory=place)
    assert called.code == 0
    assert "quick_check found nothing" in called.out


def test_a_quick_look_leaves_out_what_reads_everything(place: Path) -> None:
    called = perdure("doctor", "--quick", "--json", directory=place)
    assert called.code == 0
    findings = {check["name"]: check["finding"] for check in called.json["checks"]}
    assert findings.keys() == CHECKS
    assert findings["integrity"] == "left out, as --quick says"


async def test_of_many_open_runs_a_quick_look_reads_the_oldest_and_counts_the_others(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path / 'perdure.db'}", works=False) as engine:
        for number in range(5):
            await engine.start(examined, id=f"run {number}")
        whole = await read_open_runs(engine, most=None)
        assert (whole.count, whole.left, whole.has_more) == (5, 0, False)
        quick = await read_open_runs(engine, most=None, rows=3)
        assert (quick.count, quick.left, quick.has_more) == (3, 2, True)
        exact = await read_open_runs(engine, most=None, rows=5)
        assert (exact.count, exact.left, exact.has_more) == (5, 0, False)


async def test_a_live_session_is_named(place: Path) -> None:
    async with Engine(f"sqlite:///{place / 'perdure.db'}", name="the-night-shift", works=False):
        checks = await asyncio.to_thread(checks_of, place, code=0)
    assert "the-night-shift" in checks["sessions"]["finding"]
    assert checks["runs"]["verdict"] == "ok"


def test_runs_that_are_due_without_a_worker_are_a_warning(place: Path) -> None:
    runs = checks_of(place, code=0)["runs"]
    assert runs["verdict"] == "warn"
    assert "start a worker" in runs["advice"]


def test_a_damaged_file_fails_with_advice(place: Path) -> None:
    database = place / "perdure.db"
    (place / "perdure.db-wal").unlink()
    damaged = bytearray(database.read_bytes())
    damaged[2000:] = b"\xa5" * (len(damaged) - 2000)
    database.write_bytes(damaged)
    called = perdure("doctor", "--json", directory=place)
    assert called.code == 1
    assert called.json["verdict"] == "fail"


def test_tables_that_cannot_be_read_any_more_are_a_finding(place: Path) -> None:
    """They are damaged while it looks, after it has opened the database."""
    database = place / "perdure.db"
    with closing(apsw.Connection(str(database))) as other:
        other.execute("PRAGMA writable_schema = 1")
        other.execute("UPDATE sqlite_schema SET sql = replace(sql, 'tenant TEXT', 'tennnt TEXT')")
    check = _check_integrity(database)
    assert check.verdict is Verdict.FAIL
    assert "no such column: tenant" in check.finding


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "perdure.db"
    other.write_text("these are my notes, please do not touch them\n" * 100)
    before = other.read_bytes()
    called = perdure("doctor", "--json", directory=tmp_path)
    assert called.code == 1
    assert {check["name"]: check["verdict"] for check in called.json["checks"]}["database"] == "fail"
    assert other.read_bytes() == before


def test_without_a_database_the_installation_is_still_examined(tmp_path: Path) -> None:
    called = perdure("doctor", "--json", directory=tmp_path)
    assert called.code == 1
    checks = {check["name"]: check for check in called.json["checks"]}
    assert checks["sqlite"]["verdict"] == "ok"
    assert "there is no database" in checks["database"]["advice"]
    assert list(tmp_path.iterdir()) == []
