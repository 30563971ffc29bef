"""Runs that leave a database and come back, as programs do it."""

import asyncio
import gzip
import os
import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from perdure import (
    Context,
    Engine,
    ParentClosePolicy,
    Retention,
    RunFailedError,
    RunNotFoundError,
    RunStatus,
    Settings,
    Signal,
    SyncEngine,
    activity,
    current_attempt,
    workflow,
)
from perdure.archiving.event_lines import event_record
from perdure.archiving.files import lines_of, run_files
from perdure.archiving.run_lines import SavedRun, end_line, heading_line, read_runs, run_lines
from perdure.codecs import Compression, Encryption, Payloads
from perdure.errors import InvalidArgumentError
from perdure.kernel.identity import RunRef
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.testing import TestEnvironment
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import decide, double, until, waiting_for_decision

SECRET = "the eagle lands at noon"
DAY = timedelta(days=1)
now = Signal("now", None)


@workflow
async def doubled(_ctx: Context, number: int) -> int:
    return await double(number)


@activity
async def whisper(secret: str) -> str:
    return secret[::-1]


@workflow
async def whispered(_ctx: Context, secret: str) -> str:
    return await whisper(secret)


@workflow
async def betrayed(_ctx: Context, secret: str) -> None:
    raise ValueError(secret)


@workflow
async def counted_down(ctx: Context, left: int) -> str:
    if left:
        ctx.continue_as_new(left - 1)
    return "landed"


@workflow
async def parent_of_waiting(ctx: Context) -> str:
    return await ctx.run_child(waiting_for_decision, id="child")


@workflow
async def abandoning(ctx: Context) -> None:
    ctx.start_child(waiting_for_decision, id="left behind", policy=ParentClosePolicy.ABANDON)


@workflow
async def slow(ctx: Context) -> str:
    await ctx.sleep(3 * DAY)
    return "slept"


@workflow
async def holding_the_door(ctx: Context) -> None:
    async with ctx.lock("door"):
        await ctx.wait_for(now)


def elsewhere(**options: object) -> Engine:
    """Return an engine on an empty database of its own."""
    return Engine(MemoryStore(), **options)  # type: ignore[arg-type]


async def test_runs_come_into_another_database_with_all_that_they_are(make_engine: MakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl.gz"
    async with make_engine() as source:
        for number in range(3):
            labels = {"n": str(number)}
            await (
                await source.start(doubled, number, id=f"run {number}", labels=labels, request_id=f"q{number}")
            ).result()
        await (await source.start(counted_down, 3, id="down")).result()
        report = await source.archive.export_runs(file, decrypts=True)
        assert (report.runs, report.open_runs) == (7, 0)
        told = [event_record(one) async for one in (await source.get_run("run 2")).history()]
    assert gzip.decompress(file.read_bytes()).count(b"\n") > 20
    async with elsewhere() as target:
        first = await target.archive.import_runs(file)
        assert (first.imported, first.present, first.damaged, first.refused) == (7, 0, 0, 0)
        again = await target.archive.import_runs(file)
        assert (again.imported, again.present) == (0, 7)
        moved = await target.get_run("run 2", doubled)
        assert await moved.result() == 4
        assert msgspec.json.encode([event_record(one) async for one in moved.history()]) == msgspec.json.encode(told)
        assert await (await target.get_run("down")).result() == "landed"
        assert [run.id for run in (await target.list_runs(labels={"n": "1"})).runs] == ["run 1"]
        same = await target.start(doubled, 100, id="run 0", request_id="q0")
        assert await same.result() == 0


async def test_an_open_run_stays_out_unless_it_is_asked_for_and_then_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    async with TestEnvironment() as source:
        run = await source.start(slow, id="one")
        await source.start(parent_of_waiting, id="parent")
        await source.run_until_idle()
        begun = (await run.describe()).times.created_at
        assert (await source.archive.export_runs(file)).open_runs == 3
        await (await source.get_run("child")).signal(decide, False)
    async with TestEnvironment(start=begun + 2 * DAY) as target:
        report = await target.archive.import_runs(file)
        assert (report.imported, report.left_open) == (0, 3)
        report = await target.archive.import_runs(file, takes_open=True)
        assert (report.imported, report.left_open) == (3, 0)
        await (await target.get_run("child")).signal(decide, True)
        await target.run_until_idle()
        assert (await (await target.get_run("parent")).describe()).status == "completed"
        moved = await target.get_run("one", slow)
        await target.advance(DAY - timedelta(seconds=1))
        assert (await moved.describe()).status == "running"
        await target.advance(timedelta(seconds=1))
        assert await moved.result() == "slept"


@activity
async def pays_once() -> str:
    PAID.append(current_attempt().idempotency_key)
    if len(PAID) == 1:
        await asyncio.Event().wait()
    return PAID[-1]


PAID: list[str] = []


@workflow
async def paying_once(_ctx: Context) -> str:
    return await pays_once()


async def test_a_call_that_is_under_way_has_its_idempotency_key_wherever_its_run_goes(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    PAID.clear()
    async with elsewhere(settings=Settings(shutdown_grace_seconds=0.0)) as source:
        run = await source.start(paying_once, id="order")
        async with asyncio.timeout(30):
            while not PAID:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        await source.archive.export_runs(file)
        await run.terminate()
    async with elsewhere() as target:
        assert (await target.archive.import_runs(file, takes_open=True)).imported == 1
        assert await (await target.get_run("order")).result() == PAID[0]


async def test_a_run_that_holds_a_lock_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    async with elsewhere() as source:
        run = await source.start(holding_the_door, id="holder")
        async with asyncio.timeout(30):
            while not await source.locks(key="door"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        await source.archive.export_runs(file)
        await run.signal(now)
        await run.result()
    async with elsewhere() as target:
        report = await target.archive.import_runs(file, takes_open=True)
        assert (report.imported, report.refused) == (0, 1)
        assert "holds locks" in report.refusals[0].reason


async def test_a_run_whose_id_another_run_has_is_refused_and_the_others_come_in(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    async with elsewhere() as source:
        for run_id in ("taken", "free"):
            await (await source.start(doubled, 1, id=run_id)).result()
        await source.archive.export_runs(file)
    async with elsewhere() as target:
        mine = await target.start(doubled, 21, id="taken")
        await mine.result()
        report = await target.archive.import_runs(file)
        assert (report.imported, report.refused) == (1, 1)
        assert report.refusals[0].run == "default/taken"
        assert "another run, default/taken of " in report.refusals[0].reason
        assert await mine.result() == 42


@workflow
async def parent_of_doubled(ctx: Context, child: str) -> int:
    return await ctx.run_child(doubled, 1, id=child)


async def test_runs_of_two_copies_of_a_database_file_are_never_taken_for_each_other(tmp_path: Path) -> None:
    here, there, file = tmp_path / "here.db", tmp_path / "there.db", tmp_path / "runs.jsonl"
    async with Engine(f"sqlite:///{here}") as engine:
        await (await engine.start(doubled, 1, id="before")).result()
    shutil.copy(here, there)
    async with Engine(f"sqlite:///{there}") as engine:
        await (await engine.start(parent_of_doubled, "child", id="there")).result()
        await engine.archive.export_runs(file)
    async with Engine(f"sqlite:///{here}") as engine:
        for number in range(4):
            await (await engine.start(doubled, 1, id=f"here {number}")).result()
        report = await engine.archive.import_runs(file)
        assert (report.imported, report.present, report.refused) == (2, 1, 0)
        child = (await (await engine.get_run("child")).describe()).parent_key
        assert child == (await (await engine.get_run("there")).describe()).run_key
        again = await engine.archive.import_runs(file)
        assert (again.imported, again.present, again.refused) == (0, 3, 0)


async def test_a_run_that_has_been_elsewhere_is_known_where_it_is_from(tmp_path: Path) -> None:
    first, second, third = (Engine(MemoryStore()) for _ in range(3))
    paths = [tmp_path / f"{number}.jsonl" for number in range(2)]
    async with first, second, third:
        await (await first.start(doubled, 1, id="run")).result()
        await first.archive.export_runs(paths[0])
        assert (await second.archive.import_runs(paths[0])).imported == 1
        await second.archive.export_runs(paths[1])
        for path, imported in ((paths[1], 1), (paths[0], 0)):
            report = await third.archive.import_runs(path)
            assert (report.imported, report.present) == (imported, 1 - imported)
        assert (await first.archive.import_runs(paths[1])).present == 1


@pytest.mark.parametrize(
    ("told", "changes", "why"),
    [
        ("status", {"status": RunStatus.FAILED}, "of status <RunStatus.FAILED: 'failed'>, and its history"),
        ("id", {"ref": RunRef(id="other")}, "of id 'other', and its history 'one'"),
        ("labels", {"labels": {"a": "b"}}, "of labels {'a': 'b'}, and its history {}"),
        ("events", {"history": ()}, "event 3 does not fit those before it"),
    ],
)
async def test_what_verify_would_call_damaged_is_not_taken_in(
    tmp_path: Path, told: str, changes: dict[str, object], why: str
) -> None:
    file = tmp_path / "runs.jsonl"
    async with elsewhere() as source:
        await (await source.start(doubled, 1, id="one")).result()
        await source.archive.export_runs(file)
    [found] = read_runs(lines_of(file))
    assert isinstance(found, SavedRun)
    run = found.run
    if told == "events":
        history = (*run.history[:2], msgspec.structs.replace(run.history[0], sequence=3), *run.history[3:])
        run = msgspec.structs.replace(run, history=history)
    else:
        run = msgspec.structs.replace(run, summary=msgspec.structs.replace(run.summary, **changes))
    lines = [heading_line(now=run.summary.created_at), *run_lines(SavedRun(run, found.origins)), end_line(1)]
    file.write_bytes(b"".join(lines))
    async with elsewhere() as target:
        report = await target.archive.import_runs(file)
        assert (report.imported, report.refused) == (0, 1)
        assert why in report.refusals[0].reason


async def test_a_run_that_went_on_in_two_databases_is_refused_where_it_ended_otherwise(tmp_path: Path) -> None:
    open_, ended = tmp_path / "open.jsonl", tmp_path / "ended.jsonl"
    async with elsewhere() as here, elsewhere() as there:
        run = await here.start(waiting_for_decision, id="run")
        await here.archive.export_runs(open_)
        assert (await here.archive.import_runs(open_, takes_open=True)).present == 1
        assert (await there.archive.import_runs(open_, takes_open=True)).imported == 1
        moved = await there.get_run("run")
        await moved.signal(decide, True)
        await moved.result()
        await there.archive.export_runs(ended)
        await run.terminate()
        assert (await here.archive.import_runs(open_, takes_open=True)).present == 1
        report = await here.archive.import_runs(ended)
        assert (report.present, report.refused) == (0, 1)
        assert "it is here, and terminated: it went on here otherwise" in report.refusals[0].reason


# --- secrets -----------------------------------------------------------------------------------------------------


def secretly(*names: str, keys: dict[str, bytes]) -> Payloads:
    return Payloads(Compression(above=5), Encryption({name: keys[name] for name in names}))


async def test_secrets_stay_encrypted_in_a_file_and_are_read_where_their_key_is(tmp_path: Path) -> None:
    keys = {"a": Encryption.new_key(), "b": Encryption.new_key()}
    file, plain = tmp_path / "runs.jsonl", tmp_path / "plain.jsonl"
    database = MemoryDatabase()
    async with Engine(MemoryStore(database), payloads=secretly("a", keys=keys)) as source:
        await (await source.start(whispered, SECRET, id="w")).result()
        with pytest.raises(RunFailedError, match=SECRET):
            await (await source.start(betrayed, SECRET, id="b")).result()
        await source.archive.export_runs(file)
        await source.archive.export_runs(plain, decrypts=True)
    assert SECRET.encode() not in file.read_bytes()
    assert SECRET[::-1].encode() not in file.read_bytes()
    assert SECRET.encode() in plain.read_bytes()
    async with elsewhere(payloads=secretly("b", keys=keys)) as without_key:
        report = await without_key.archive.import_runs(file)
        assert (report.imported, report.refused) == (0, 2)
        assert all("encrypted with the key 'a'" in refusal.reason for refusal in report.refusals)
    other = MemoryDatabase()
    async with Engine(MemoryStore(other), payloads=secretly("a", "b", keys=keys)) as target:
        assert (await target.archive.import_runs(file)).imported == 2
        assert await (await target.get_run("w")).result() == SECRET[::-1]
        with pytest.raises(RunFailedError, match=SECRET):
            await (await target.get_run("b")).result()
    assert SECRET not in str(other.dump())


async def test_what_was_removed_comes_back_without_any_key(tmp_path: Path) -> None:
    keys = {"a": Encryption.new_key()}
    database = MemoryDatabase()
    async with Engine(MemoryStore(database), payloads=secretly("a", keys=keys)) as engine:
        await (await engine.start(whispered, SECRET, id="w", request_id="q")).result()
    before = database.dump()
    async with Engine(MemoryStore(database), works=False) as keyless:
        report = await keyless.archive.prune(older_than=timedelta(0), archive=tmp_path)
        assert report.runs == 1
        assert not database.dump()["runs"]
        assert (await keyless.archive.import_runs(tmp_path)).imported == 1
    (file,) = run_files([tmp_path])
    assert SECRET.encode() not in gzip.decompress(file.read_bytes())
    after = database.dump()
    for table in ("runs", "events", "requests", "message_requests"):
        assert after[table] == before[table]
    async with Engine(MemoryStore(database), payloads=secretly("a", keys=keys)) as engine:
        assert await (await engine.get_run("w")).result() == SECRET[::-1]


# --- removal -----------------------------------------------------------------------------------------------------


async def test_the_result_of_a_removed_run_is_an_error_that_says_what_became_of_it(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    async with make_engine() as engine:
        run = await engine.start(doubled, 1, id="one")
        await run.result()
        await engine.archive.prune(older_than=timedelta(0), archive=tmp_path)
        with pytest.raises(RunNotFoundError, match=r"has ended and was removed since.*perdure import"):
            await run.result()
        with pytest.raises(RunNotFoundError, match="there is no run"):
            await engine.get_run("one")
        again = await engine.start(doubled, 2, id="one")
        assert await again.result() == 4
        assert (await again.describe()).ref.generation == 1


async def test_only_what_is_meant_goes_and_a_dry_run_only_counts(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for number in range(3):
            await (await engine.start(doubled, number)).result()
        await engine.start(abandoning, id="parent")
        await (await engine.get_run("parent")).result()
        with pytest.raises(RunFailedError):
            await (await engine.start(betrayed, "x")).result()
        prune = engine.archive.prune
        assert (await prune(older_than=timedelta(0), archive=None, dry_run=True)).runs == 4
        assert (await prune(older_than=DAY, archive=None)).runs == 0
        assert (await prune(older_than=timedelta(0), archive=None, statuses=["failed"])).runs == 1
        assert (await prune(older_than=timedelta(0), archive=None, workflows=["doubled"], newest=1)).runs == 2
        assert (await prune(older_than=timedelta(0), archive=None)).runs == 1
        assert {run.id for run in (await engine.list_runs()).runs} == {"parent", "left behind"}


async def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    async with elsewhere() as engine:
        prune = engine.archive.prune
        with pytest.raises(InvalidArgumentError, match="have not ended"):
            await prune(older_than=DAY, archive=None, statuses=["running"])
        with pytest.raises(InvalidArgumentError, match="older_than"):
            await prune(older_than=-DAY, archive=None)
        with pytest.raises(InvalidArgumentError, match="newest"):
            await prune(older_than=DAY, archive=None, newest=-1)
        with pytest.raises(InvalidArgumentError, match="is no path"):
            await engine.archive.export_runs(7)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="no such file"):
            await engine.archive.import_runs(tmp_path / "none")
        with pytest.raises(InvalidArgumentError, match="no files of exported runs"):
            await engine.archive.import_runs(tmp_path)
        file = tmp_path / "there"
        file.write_bytes(b"precious")
        with pytest.raises(InvalidArgumentError, match="exists already"):
            await engine.archive.export_runs(file)
        assert file.read_bytes() == b"precious"
        await engine.archive.export_runs(file, replaces=True)
        assert [found.name for found in os.scandir(tmp_path)] == ["there"]
        report = await engine.archive.import_runs(file)
        assert (report.imported, report.damaged) == (0, 0)


@workflow
async def pruning_itself(_ctx: Context, engine: int) -> None:
    await ENGINES[engine].archive.prune(older_than=DAY, archive=None)


ENGINES: dict[int, Engine] = {}


async def test_workflow_code_cannot_remove_runs() -> None:
    async with elsewhere() as engine:
        ENGINES[1] = engine
        with pytest.raises(RunFailedError, match="used the engine"):
            await (await engine.start(pruning_itself, 1)).result()


async def test_an_engine_with_a_retention_removes_what_is_over_now_and_then(tmp_path: Path) -> None:
    retention = Retention(keep=30 * DAY, archive=tmp_path, every=DAY)
    async with TestEnvironment(settings=Settings(retention=retention)) as env:
        await (await env.start(doubled, 1, id="one")).result()
        sleeper = await env.start(slow, id="two")
        await env.advance(29 * DAY)
        assert await env.count_runs() == 2
        await env.advance(2 * DAY)
        assert [run.id for run in (await env.list_runs()).runs] == ["two"]
        assert (await sleeper.describe()).status == "completed"
        await env.advance(3 * DAY)
        assert await env.count_runs() == 0
    assert len(run_files([tmp_path])) == 2


async def test_retention_beside_a_load_keeps_the_file_small_and_archives_each_run_once(tmp_path: Path) -> None:
    retention = Retention(keep=timedelta(0), archive=tmp_path / "archive", every=timedelta(milliseconds=10))
    async with Engine(f"sqlite:///{tmp_path}/runs.db", settings=Settings(retention=retention)) as engine:
        for lot in range(0, 400, 50):
            await asyncio.gather(*(engine.start(doubled, number, id=str(number)) for number in range(lot, lot + 50)))
        await until(lambda: _has_none(engine))
    runs = [
        one.run
        for file in run_files([tmp_path / "archive"])
        for one in read_runs(lines_of(file))
        if isinstance(one, SavedRun)
    ]
    assert sorted(int(run.summary.ref.id) for run in runs) == list(range(400))
    assert {run.summary.status for run in runs} == {RunStatus.COMPLETED}


async def test_an_engine_removes_nothing_of_another_namespace(tmp_path: Path) -> None:
    path = tmp_path / "both.db"
    async with Engine(f"sqlite:///{path}", namespace="theirs", works=False) as theirs:
        async with Engine(f"sqlite:///{path}", namespace="ours") as engine:
            for each in (engine, theirs):
                await (await each.start(doubled, 1, id="one")).result()
        retention = Retention(keep=timedelta(0), every=timedelta(milliseconds=20))
        async with Engine(f"sqlite:///{path}", namespace="ours", settings=Settings(retention=retention)) as engine:
            await until(lambda: _has_none(engine))
        assert await theirs.count_runs() == 1


async def _has_none(engine: Engine) -> bool:
    return await engine.count_runs() == 0


def test_a_program_without_an_event_loop_exports_imports_and_prunes(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    with SyncEngine(MemoryStore()) as engine:
        engine.start(doubled, 4, id="one").result()
        assert engine.archive.export_runs(file).runs == 1
        assert engine.archive.prune(older_than=timedelta(0), archive=tmp_path / "archive").runs == 1
        assert engine.archive.import_runs(file, tmp_path / "archive").present == 1
        assert engine.get_run("one", doubled).result() == 8
