import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import Engine, Every
from tests.cli.runs import Called, greet, perdure

APP = ("--app", "reports")
MODULE = """
from dataclasses import dataclass

from perdure import Context, workflow


@dataclass
class Region:
    name: str


@workflow
async def report(ctx: Context, region: Region, copies: int = 1) -> str:
    return region.name * copies
"""


@pytest.fixture
def reports(place: Path) -> Path:
    """A directory with a database, and a module that defines a workflow."""
    (place / "reports.py").write_text(MODULE)
    return place


def schedules(*arguments: str, at: Path) -> Called:
    return perdure("schedules", *arguments, directory=at)


def create(*arguments: str, at: Path, id: str = "nightly") -> Called:
    return schedules("create", id, "report", '{"name": "north"}', "2", *APP, *arguments, at=at)


def made(*arguments: str, at: Path) -> Any:
    called = create(*arguments, "--json", at=at)
    assert called.code == 0, called.err
    return called.json


def test_a_schedule_is_made_shown_listed_and_deleted(reports: Path) -> None:
    cron = ("--cron", "0 3 * * mon-fri", "--tz", "Europe/Berlin")
    whole = made(*cron, "--label", "team=red", "--note", "for Ada", "--limit", "7", at=reports)
    assert (whole["workflow"], whole["when"]) == ("report", {"cron": "0 3 * * mon-fri", "tz": "Europe/Berlin"})
    assert (whole["labels"], whole["note"], whole["limit"]) == ({"team": "red"}, "for Ada", 7)
    assert (whole["overlap"], whole["catch_up_seconds"], whole["paused"]) == ("skip", 86_400.0, False)
    assert len(whole["next"]) == 5
    assert all("T03:00:00+0" in time["local"] and time["utc"].endswith("Z") for time in whole["next"])
    assert schedules("list", "--json", at=reports).json["schedules"] == [whole]
    listed = schedules("list", at=reports).out
    assert "nightly" in listed
    assert "0 3 * * mon-fri (Europe/Berlin)" in listed
    assert "0 of 7 runs started" in schedules("show", "nightly", at=reports).out
    assert schedules("delete", "nightly", at=reports).code == 0
    assert schedules("list", at=reports).out == "There are no schedules.\n"


def test_times_are_printed_in_the_zone_and_in_utc(reports: Path) -> None:
    made("--at", "09:30", "--weekday", "mon", "--exclude", "2099-01-01", "--tz", "America/New_York", at=reports)
    called = schedules("next", "nightly", "--count", "3", "--json", at=reports)
    times = [(datetime.fromisoformat(one["utc"]), datetime.fromisoformat(one["local"])) for one in called.json["next"]]
    assert len(times) == 3
    for utc, local in times:
        assert utc == local
        assert (local.weekday(), local.hour, local.minute) == (0, 9, 30)
    lines = schedules("next", "nightly", "--count", "3", at=reports).out
    for utc, local in times:
        assert f"{utc:%Y-%m-%d %H:%M:%S}" in lines
        assert f"{local:%a %Y-%m-%d %H:%M:%S} E" in lines


def test_a_schedule_is_changed_paused_and_resumed(reports: Path) -> None:
    made("--every", "15m", "--limit", "3", "--end-at", "2099-01-01T00:00Z", at=reports)
    changed = schedules(
        *("update", "nightly", "--every", "1h", "--offset", "5m", "--overlap", "buffer-one", "--jitter", "10s"),
        *("--catch-up", "unlimited", "--limit", "none", "--end-at", "never", "--json"),
        at=reports,
    ).json
    assert changed["when"] == {"every_seconds": 3600.0, "offset_seconds": 300.0}
    assert (changed["overlap"], changed["jitter_seconds"]) == ("buffer_one", 10.0)
    assert [changed[name] for name in ("catch_up_seconds", "limit", "end_at")] == [None, None, None]
    assert schedules("pause", "nightly", "--note", "repairs", "--json", at=reports).json["paused"]
    assert "paused" in schedules("show", "nightly", at=reports).out
    resumed = schedules("resume", "nightly", "--json", at=reports).json
    assert (resumed["paused"], resumed["note"]) == (False, None)


def test_what_a_worker_did_is_shown_with_outcomes_and_reasons(place: Path) -> None:
    first = asyncio.run(_work(f"sqlite:///{place / 'perdure.db'}"))
    shown = schedules("show", "busy", "--json", at=place).json
    assert [(run["id"], run["cause"], run["status"]) for run in shown["runs"]] == [(first, "trigger", "completed")]
    assert [(skip["count"], skip["reason"]) for skip in shown["skips"]] == [(1, "limit")]
    text = schedules("show", "busy", at=place).out
    assert "completed" in text
    assert "Skipped times" in text
    called = schedules("trigger", "busy", "--json", at=place)
    assert called.json["run_id"].startswith("busy@")


async def _work(url: str) -> str:
    """Let a schedule start the one run that it may, and skip another time."""
    async with Engine(url) as engine:
        schedule = await engine.schedules.create("busy", greet, "Ada", when=Every(timedelta(days=1)), limit=1)
        run_id = await schedule.trigger()
        await schedule.trigger()
        while (await schedule.describe()).skipped == 0:  # noqa: ASYNC110 - the keeper tells nobody
            await asyncio.sleep(0.01)
        await (await engine.get_run(run_id)).result()
        return run_id


def test_a_backfill_is_asked_for(reports: Path) -> None:
    made("--every", "1h", "--paused", at=reports)
    called = schedules("backfill", "nightly", "2026-01-01T00:00Z", "2026-01-02T00:00Z", "--json", at=reports)
    assert called.json["overlap"] == "buffer_all"
    assert datetime.fromisoformat(called.json["start"]) == datetime(2026, 1, 1, tzinfo=UTC)
    assert "after end" in schedules("backfill", "nightly", "2026-01-02", "2026-01-01", at=reports).err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--cron", "0 3 * mon *"), "  0 3 * mon *\n        ^^^"),
        (("--cron", "0 3 * * *", "--tz", "Europe/Atlantis"), "there is no time zone 'Europe/Atlantis'"),
        (("--cron", "0 3 * * *", "--every", "1h"), "--cron and --every exclude each other"),
        (("--every", "1h", "--tz", "UTC"), "--tz goes with --cron or --at"),
        (("--every", "soon"), "'soon' is no duration"),
        (("--at", "9 o'clock"), '--at "9 o\'clock" cannot be read'),
        (("--at", "09:00", "--weekday", "monday"), "it must be a list of mon, tue"),
        (("--every", "1h", "--limit", "few"), "--limit 'few' cannot be read"),
        (("--every", "1h", "--end-at", "then"), "--end-at: 'then' is no time"),
        (("--every", "1h", "--label", "red"), "not of the form NAME=VALUE"),
        ((), "say when"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write_instead(
    arguments: tuple[str, ...], complaint: str, reports: Path
) -> None:
    called = create(*arguments, at=reports)
    assert (called.code, called.out) == (2, "")
    assert complaint in called.err


def test_the_workflow_and_its_arguments_are_checked(reports: Path) -> None:
    every = ("--every", "1h")
    assert "--app names the module" in schedules("create", "s", "report", *every, at=reports).err
    assert "no workflow named 'absent'" in schedules("create", "s", "absent", *APP, *every, at=reports).err
    wrong = schedules("create", "s", "report", '{"name": 7}', *APP, *every, at=reports)
    assert wrong.code == 2
    assert "report(): argument 'region'" in wrong.err
    assert "missing a required argument" in schedules("create", "s", "report", *APP, *every, at=reports).err


def test_a_schedule_that_is_not_there_or_there_already_is_said_to_be(reports: Path) -> None:
    for command in (("show", "x"), ("next", "x"), ("pause", "x"), ("delete", "x"), ("trigger", "x")):
        called = schedules(*command, at=reports)
        assert called.code == 3
        assert "there is no schedule 'x'" in called.err
    made("--every", "1h", at=reports)
    assert "a schedule 'nightly' exists already" in create("--every", "1h", at=reports).err
    assert "nothing is to be changed" in schedules("update", "nightly", at=reports).err


@pytest.mark.parametrize("times", [("--cron", "0 4 * * *"), ("--at", "04:00")])
def test_other_times_are_meant_in_the_zone_of_the_schedule_unless_another_is_named(
    times: tuple[str, ...], reports: Path
) -> None:
    made("--cron", "0 3 * * *", "--tz", "Europe/Berlin", at=reports)
    kept = schedules("update", "nightly", *times, "--json", at=reports).json
    assert kept["when"]["tz"] == "Europe/Berlin"
    assert all("T04:00:00+0" in time["local"] and not time["utc"].endswith("T04:00:00Z") for time in kept["next"])
    named = schedules("update", "nightly", *times, "--tz", "UTC", "--json", at=reports).json
    assert named["when"]["tz"] == "UTC"
    schedules("update", "nightly", "--every", "1h", at=reports)
    assert schedules("update", "nightly", *times, "--json", at=reports).json["when"]["tz"] == "UTC"


def test_a_schedule_that_cannot_be_read_is_named_after_the_others_and_can_be_deleted(reports: Path) -> None:
    for name in ("a", "b", "c"):
        assert create("--every", "1h", id=name, at=reports).code == 0
    connection = apsw.Connection(str(reports / "perdure.db"))
    connection.execute("UPDATE agenda SET data = '{' WHERE id = 'b'")
    connection.close()
    listed = schedules("list", "--json", at=reports)
    assert [schedule["id"] for schedule in listed.json["schedules"]] == ["a", "c"]
    assert listed.code == 1
    assert "the schedule b of the namespace default cannot be read" in listed.err
    assert "the schedule b of the namespace default cannot be read" in schedules("show", "b", at=reports).err
    assert schedules("delete", "b", at=reports).code == 0
    assert schedules("list", at=reports).code == 0
