"""The tool for very many runs: the runs are real, and each goal is one that can be missed."""

import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import pytest_asyncio

from perdure import Engine, RunFailedError, RunStatus
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.looking import SqliteLook
from perdure.testing.replaying import Verdict, replay_history
from perdure.torture.loads import searches, subject, tool
from perdure.torture.loads.filling import AGAIN, LIFE_MICROSECONDS, Contents, fill
from perdure.torture.loads.mood import Mood
from perdure.torture.loads.searches import Searched, search
from perdure.torture.loads.subject import Findings, Order, measure, observe
from perdure.torture.loads.tool import CI_GOALS, LONG_GOALS, LoadReport, judge
from perdure.torture.loads.workflows import answer, approval, failing, quick, reminder
from perdure.torture.options import Options

NOW = Timestamp(time.time_ns() // 1_000)
CONTENTS = Contents(waiting=60, closed=300, due=9, generations=40, now=NOW)


@pytest_asyncio.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    done: list[int] = []
    await fill(tmp_path / "load.db", CONTENTS, seed=1, on_progress=done.append)
    assert done == [409]
    yield tmp_path / "load.db"


async def test_a_file_is_filled_with_runs_that_any_worker_goes_on_with(path: Path) -> None:
    async with Engine(f"sqlite:///{path}") as engine:
        runs = [run async for run in engine.all_runs()]
        assert len(runs) == len({run.id for run in runs}) == 370
        (again,) = [run for run in runs if run.labels == AGAIN]
        assert again.ref.generation == 40
        for run in runs[:40]:
            history = [recorded async for recorded in (await engine.get_run(run.id)).history()]
            assert replay_history(history).verdict is Verdict.SAME
        waiting = next(run for run in runs if run.workflow == approval.name and run.status is RunStatus.RUNNING)
        await (await engine.get_run(waiting.id)).signal(answer, 42)
        assert await (await engine.get_run(waiting.id)).result() == 42
        failed = await engine.list_runs(workflow=failing.name)
        with pytest.raises(RunFailedError, match="is not liked"):
            await (await engine.get_run(failed.runs[0].id)).result()


async def test_the_subject_does_what_is_due_and_looks_at_itself(path: Path) -> None:
    ordered = Order(database=str(path), due=9, idle_seconds=0.01, busy_seconds=0.01, ordered_at=time.monotonic())
    found = await measure(ordered)
    assert 0 < found.open_seconds <= found.serving_seconds <= found.caught_up_seconds
    assert found.left == 0
    assert found.resident_megabytes > 1
    assert found.runs_done == 20
    async with SqliteLook(path) as look:
        reminders = await look.list_runs(RunQuery(workflows=frozenset({reminder.name}), statuses=COMPLETED))
        assert len(reminders.runs) == 9
        assert await look.count_runs(RunQuery(workflows=frozenset({quick.name}), statuses=COMPLETED)) > 300


COMPLETED = frozenset({RunStatus.COMPLETED})


async def test_the_subject_is_another_process(path: Path) -> None:
    assert observe(Order(database=str(path), due=9, idle_seconds=0.01)).left == 0
    with pytest.raises(RuntimeError, match=r"(?s)the worker ended with status 1: .*StoreUnavailableError"):
        observe(Order(database=str(path.parent / "none" / "there" / "load.db"), due=1, idle_seconds=0.01))


async def test_every_filter_is_searched_in_both_orders_and_deep(path: Path) -> None:
    found = []
    async for one in search(path, now=NOW, oldest=Timestamp(NOW - LIFE_MICROSECONDS)):
        found.append(one.what)
        apsw.Connection(":memory:").close()  # of another file, and so nothing to count on
    assert len(found) == len(set(found))
    conditions = RunQuery.__struct_fields__
    assert len([what for what in found if "deep page" in what and "oldest_first" in what]) > len(conditions)


GOOD = Findings(
    left=0,
    open_seconds=0.1,
    serving_seconds=0.5,
    serving_cpu_seconds=0.4,
    caught_up_seconds=0.6,
    idle_core_share=0.0,
    resident_megabytes=50.0,
)


FOUND = Searched(what="a page", milliseconds=1.0, cpu_milliseconds=1.0, lookups=40_000)


def reported(*findings: Findings, searched: Searched = FOUND, core_share: float = 1.0) -> LoadReport:
    mood = Mood(sync_milliseconds=1.0, core_share=core_share)
    return LoadReport(name="load", findings=[*findings], searched=[searched], moods=[mood])


def test_memory_that_is_given_back_between_two_looks_counts() -> None:
    memory = subject._Memory()
    memory.look()
    large = bytearray(200_000_000)
    del large
    memory.look()
    assert memory.most > max(megabytes for _, megabytes in memory.seen) + 100


def test_what_meets_the_goals_is_good() -> None:
    assert judge(reported(GOOD), CI_GOALS) == judge(reported(GOOD), LONG_GOALS) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"serving_seconds": 5.5}, "was done after 5.50 s"),
        ({"resident_megabytes": 401.0}, "needed 401 MB"),
        ({"idle_core_share": 0.06}, "took 6% of a core"),
        ({"left": 2}, "2 were not done"),
        ({"megabytes_per_hour": 1.5}, "grew by 1.50 MB an hour"),
    ],
)
def test_each_goal_can_be_missed(bad: dict[str, float], words: str) -> None:
    [wrong] = judge(reported(msgspec.structs.replace(GOOD, **bad)), LONG_GOALS)
    assert words in wrong


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"milliseconds": 51.0}, "p95 of pages is 51.0 ms, at most 50; the slowest: a page"),
        ({"lookups": 60_001}, "a page looked up 60,001 of the file's, at most 60,000: a page"),
        ({"scanned": 1_000}, "1,000 rows were passed that no index had led to: a page"),
        ({"scanned": 1, "is_page": False}, "1 rows were passed that no index had led to: a page"),
    ],
)
def test_each_goal_of_pages_can_be_missed(bad: dict[str, Any], words: str) -> None:
    other = msgspec.structs.replace(FOUND, what="another page")
    report = reported(GOOD, searched=other)
    report.searched.append(msgspec.structs.replace(FOUND, **bad))
    [wrong] = judge(report, LONG_GOALS)
    assert wrong == words


def test_a_count_may_look_up_more_than_a_page() -> None:
    report = reported(GOOD)
    report.searched.append(msgspec.structs.replace(FOUND, lookups=60_001, is_page=False))
    assert judge(report, LONG_GOALS) == []


def test_no_run_may_be_claimed_before_it_has_something_to_do() -> None:
    report = reported(GOOD)
    report.claimed_early = 3
    assert judge(report, LONG_GOALS) == ["3 runs were claimed that had nothing to do"]


async def test_claims_are_counted_in_the_file(path: Path) -> None:
    assert tool._claimed(path) == 0
    await measure(Order(database=str(path), due=9, idle_seconds=0.01, busy_seconds=0.01, ordered_at=time.monotonic()))
    assert tool._claimed(path) == 9


async def test_rows_to_which_no_index_leads_are_counted(path: Path) -> None:
    with searches._counted(path) as counts:
        async with SqliteLook(path) as look:
            opened = counts.scanned  # it looks through the names of all columns
            await look.list_runs(RunQuery(workflows=frozenset({quick.name})))
            assert counts.lookups > 0
        assert counts.scanned == opened
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            assert connection.execute("SELECT count(*) FROM runs NOT INDEXED WHERE status = 'completed'").get > 300
        assert counts.scanned - opened == 408


def test_on_a_busy_machine_the_time_of_its_own_work_counts() -> None:
    slow = msgspec.structs.replace(GOOD, serving_seconds=9.0)
    page = msgspec.structs.replace(FOUND, milliseconds=51.0)
    assert len(judge(reported(slow, searched=page), CI_GOALS)) == 2
    assert judge(reported(slow, searched=page, core_share=0.4), CI_GOALS) == []
    worked = msgspec.structs.replace(slow, serving_cpu_seconds=2.1)
    [wrong] = judge(reported(worked, core_share=0.4), CI_GOALS)
    assert "was done after 2.10 s" in wrong


def test_of_several_starts_the_quickest_counts_and_the_largest() -> None:
    slow = msgspec.structs.replace(GOOD, serving_seconds=9.0)
    large = msgspec.structs.replace(GOOD, resident_megabytes=999.0)
    assert judge(reported(slow, GOOD), CI_GOALS) == []
    assert len(judge(reported(large, GOOD), CI_GOALS)) == 1


def test_a_run_of_the_tool_tells_what_it_has_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from perdure.torture.command import main

    monkeypatch.setattr(tool, "judge", lambda _report, _goals: ["too slow"])
    monkeypatch.setattr(tool, "_REPETITIONS", 2)
    monkeypatch.setattr(tool, "_IDLE_SECONDS", 0.05)
    assert main(["load", "--count", "40", "--seed", "1"]) == 1
    violation, wrong, line, again = capsys.readouterr().out.splitlines()
    assert violation == again.removeprefix("again: ") == "python -m perdure.torture load --count 40 --seed 1"
    assert wrong.startswith("    too slow (a sync takes ")
    assert line.startswith("load: FAILED: 40 open runs in ")
    assert "; serving after " in line


@pytest.mark.parametrize(("workload", "measured"), [("starts", "findings"), ("pages", "searched")])
def test_one_workload_measures_only_that(workload: str, measured: str) -> None:
    report = tool.run(Options(seed=1, count=60, workloads=(workload,), stops_at_first=True))
    assert isinstance(report, LoadReport)
    assert report.is_good
    assert [name for name in ("findings", "searched") if getattr(report, name)] == [measured]


async def test_runs_that_are_not_done_in_time_are_told_with_the_time_until_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_PATIENCE_SECONDS", 0.05)
    found = await measure(Order(database=str(path), due=10, idle_seconds=0.01, ordered_at=time.monotonic()))
    assert found.left >= 1, "nine are due"
    assert 0 < found.open_seconds <= found.serving_seconds <= found.caught_up_seconds
