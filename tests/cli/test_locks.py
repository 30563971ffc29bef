"""`perdure locks` and the locks of `perdure show`, on a database with a holder and two that wait for it."""

import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, Signal, workflow
from tests.cli.runs import perdure

RELEASE = Signal("release", int)
NASTY_KEY = "evil\x1b[2Jkey"


@workflow(name="cli.locking")
async def locking(ctx: Context, key: str) -> None:
    async with ctx.lock(key):
        await ctx.wait_for(RELEASE)


async def fill(url: str) -> None:
    async with Engine(url) as engine:
        for name, key in (("first", "k"), ("second", "k"), ("third", "k"), ("other", NASTY_KEY)):
            await engine.start(locking, key, id=name)
            while not any(entry.run.id == name for entry in await engine.locks()):  # noqa: ASYNC110 - it is no news
                await asyncio.sleep(0.001)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locks")
    asyncio.run(fill(f"sqlite:///{folder / 'perdure.db'}"))
    return folder


def test_holders_and_waiters_are_listed_in_the_order_in_which_they_asked(locked: Path) -> None:
    called = perdure("locks", "--json", directory=locked)
    assert called.code == 0, called.err
    shown = [(lock["key"], lock["run"], lock["state"], lock["limit"]) for lock in called.json["locks"]]
    assert shown == [
        ("k", "first", "held", 1),
        ("k", "second", "waiting", 1),
        ("k", "third", "waiting", 1),
        (NASTY_KEY, "other", "held", 1),
    ]
    assert called.json["next_after"] is None
    assert called.json["locks"][0]["granted_at"].endswith("Z")
    assert called.json["locks"][1]["granted_at"] is None


def test_filters_and_pages_narrow_the_list(locked: Path) -> None:
    assert [one["run"] for one in perdure("locks", "--json", "--key", NASTY_KEY, directory=locked).json["locks"]] == [
        "other"
    ]
    assert [one["key"] for one in perdure("locks", "--json", "--run", "second", directory=locked).json["locks"]] == [
        "k"
    ]
    page = perdure("locks", "--json", "--limit", "3", directory=locked).json
    rest = perdure("locks", "--json", "--after", str(page["next_after"]), directory=locked).json
    assert [one["run"] for one in rest["locks"]] == ["other"]
    assert "--after" in perdure("locks", "--limit", "3", directory=locked).out


def test_a_table_is_printed_for_people_without_control_characters(locked: Path) -> None:
    shown = perdure("locks", directory=locked).out
    assert "holds" in shown
    assert "waits" in shown
    assert "\x1b" not in shown


def test_no_locks_are_said_and_a_run_that_is_not_there_is_an_error(locked: Path) -> None:
    assert perdure("locks", "--key", "free", directory=locked).out == "No locks are held or waited for.\n"
    missing = perdure("locks", "--run", "nobody", directory=locked)
    assert (missing.code, missing.out) == (3, "")


def test_a_waiting_run_shows_for_which_lock_and_behind_whom(locked: Path) -> None:
    run = perdure("show", "third", "--json", directory=locked).json
    assert [(lock["key"], lock["state"], lock["waits_for"]) for lock in run["locks"]] == [
        ("k", "waiting", ["first", "second"])
    ]
    shown = perdure("show", "third", directory=locked).out
    assert "no worker: it waits for the lock k" in shown
    assert "waits for first, second" in shown
    assert "held" in perdure("show", "first", directory=locked).out
