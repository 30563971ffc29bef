"""What each misuse is told, word for word: what happened, where, and what to do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from perdure import (
    Context,
    Engine,
    IdPolicy,
    PerdureError,
    ResultTimeoutError,
    Run,
    RunClosedError,
    RunExistsError,
    RunNotFoundError,
    Settings,
    Signal,
    SyncEngine,
    UsageError,
    activity,
    current_attempt,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.errors import (
    EngineClosedError,
    InvalidArgumentError,
    PayloadError,
    SchemaTooNewError,
    StoreFullError,
    StoreLockedError,
    StoreUnavailableError,
    UnknownWorkflowError,
    WrongContextError,
)
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.opening import open_store
from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.disks.failing import failing_disk
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

go = Signal("go", int)
ANYTHING: Any = 5  # given where something else is wanted
A_TEXT: Any = "much"


class Order(msgspec.Struct):
    id: str
    total: int


@activity
async def bill(order: Order) -> int:
    return order.total


@workflow
async def billing(ctx: Context, order: Order) -> int:
    return await bill(order)


@workflow
async def expectant(ctx: Context) -> int:
    return await ctx.wait_for(go)


async def undecorated(ctx: Context) -> None: ...


Call = Callable[[Any, Run[int], Run[int]], Awaitable[object]]
"""A misuse of an engine, with a run that has ended ("closed") and one that waits ("open")."""

NOT_OUTSIDE = (
    "workflow code used the engine or the handle of a run, and would do so again on every replay; use ctx.run_child, "
    "ctx.start_child and ctx.signal, or use the engine in an activity"
)
CLOSED = "run default/closed has ended (completed) and takes no more messages; read its result, or start another run"

MISUSES: dict[str, tuple[Call, type[PerdureError], str]] = {
    "a wrong input": (
        lambda engine, *_: engine.start(billing, ANYTHING),
        PayloadError,
        "billing(): argument 'order': expected Order, got int",
    ),
    "a wrong field": (
        lambda engine, *_: engine.start(billing, Order("o", A_TEXT)),
        PayloadError,
        "billing(): argument 'order' -> $.total: expected int, got str",
    ),
    "no input": (
        lambda engine, *_: engine.start(billing),
        InvalidArgumentError,
        "billing(): missing a required argument: 'order'; it takes (order)",
    ),
    "too much input": (
        lambda engine, *_: engine.start(expectant, ANYTHING),
        InvalidArgumentError,
        "expectant(): too many positional arguments; it takes ()",
    ),
    "a plain function": (
        lambda engine, *_: engine.start(undecorated),
        UsageError,
        "start: undecorated is a function; decorate it with @workflow",
    ),
    "an activity": (
        lambda engine, *_: engine.start(bill, Order("o", 1)),
        UsageError,
        "start: <activity bill> is not a workflow; pass a function that is decorated with @workflow",
    ),
    "a name of a workflow": (
        lambda engine, *_: engine.start("billing"),
        UsageError,
        "start: 'billing' is a text; pass the workflow itself, not its name",
    ),
    "a call of a workflow": (
        lambda *_: expectant(ANYTHING),
        WrongContextError,
        "workflow expectant was called like a function; start it: await engine.start(expectant, ...)",
    ),
    "an id that is taken": (
        lambda engine, *_: engine.start(expectant, id="closed", id_policy=IdPolicy.FAIL),
        RunExistsError,
        "a run default/closed exists already (completed); choose another id, or another id_policy",
    ),
    "an id that another workflow has": (
        lambda engine, *_: engine.start(expectant, id="closed"),
        RunExistsError,
        "a run default/closed exists already, of the workflow 'billing', not 'expectant'; choose another id",
    ),
    "an id that is too long": (
        lambda engine, *_: engine.start(expectant, id=""),
        InvalidArgumentError,
        "the id of a run is ''; it must be a text of 1 to 500 characters",
    ),
    "an unknown id": (
        lambda engine, *_: engine.get_run("nobody"),
        RunNotFoundError,
        "there is no run default/nobody; compare its id with those that list_runs() gives",
    ),
    "an id that is no text": (
        lambda engine, *_: engine.get_run(ANYTHING),
        InvalidArgumentError,
        "the id of a run is 5 (int); it must be a text",
    ),
    "a function to get the run of": (
        lambda engine, *_: engine.get_run("open", undecorated),
        UsageError,
        "get_run: undecorated is a function; decorate it with @workflow",
    ),
    "another workflow than the run's": (
        lambda engine, *_: engine.get_run("open", billing),
        UsageError,
        "run default/open is one of the workflow 'expectant', not of 'billing'",
    ),
    "a signal to a closed run": (lambda _, closed, __: closed.signal(go, 1), RunClosedError, CLOSED),
    "a cancellation of a closed run": (lambda _, closed, __: closed.cancel(), RunClosedError, CLOSED),
    "a termination of a closed run": (lambda _, closed, __: closed.terminate(), RunClosedError, CLOSED),
    "a suspension of a closed run": (lambda _, closed, __: closed.suspend(), RunClosedError, CLOSED),
    "a resumption of a closed run": (lambda _, closed, __: closed.resume(), RunClosedError, CLOSED),
    "a priority of a closed run": (lambda _, closed, __: closed.set_priority(1), RunClosedError, CLOSED),  # type: ignore[arg-type]
    "a body of the wrong type": (
        lambda _, __, run: run.signal(go, "one"),  # type: ignore[misc]
        PayloadError,
        "signal 'go': expected int, got str",
    ),
    "no signal": (
        lambda _, __, run: run.signal("go"),  # type: ignore[arg-type]
        InvalidArgumentError,
        "run.signal: 'go' is no signal; declare one, approved = Signal(\"approved\", bool), and pass it",
    ),
    "a result that takes too long": (
        lambda _, __, run: run.result(timeout=timedelta(0)),
        ResultTimeoutError,
        "run default/open did not end within 0 s and goes on; call result() again to wait for it",
    ),
    "a limit of time in seconds": (
        lambda _, __, run: run.result(timeout=ANYTHING),
        InvalidArgumentError,
        "timeout is 5; it must be a timedelta from zero, e.g. timedelta(seconds=5)",
    ),
    "a query that nobody answers": (
        lambda _, __, run: run.query("mood"),
        InvalidArgumentError,
        "run default/open answers no query 'mood'; it answers: none",
    ),
    "a page of nothing": (
        lambda engine, *_: engine.list_runs(limit=0),
        InvalidArgumentError,
        "limit is 0; it must be an integer from 1 to 2147483647",
    ),
    "a list by a workflow itself": (
        lambda engine, *_: engine.list_runs(workflow=expectant),
        InvalidArgumentError,
        "workflow (a name) is <workflow expectant version 1> (Workflow); it must be a text",
    ),
    "a second entry": (
        lambda engine, *_: engine.__aenter__(),
        UsageError,
        "this engine is open already; describe another one with Engine(...)",
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
async def test_a_misuse_is_told_what_happened_where_and_what_to_do(make_engine: MakeEngine, misuse: str) -> None:
    call, kind, message = MISUSES[misuse]
    async with make_engine() as engine:
        closed = await engine.start(billing, Order("o", 1), id="closed")
        assert await closed.result() == 1
        open_run = await engine.start(expectant, id="open")
        with pytest.raises(kind) as refused:
            await call(engine, closed, open_run)
        assert str(refused.value) == message
        await open_run.signal(go, 2)
        assert await open_run.result() == 2


# --- in workflow code --------------------------------------------------------------------------------------------


IN_CODE: dict[str, tuple[Callable[[Any, Any], Any], type[PerdureError], str]] = {
    "a wrong input of an activity": (
        lambda *_: bill(ANYTHING),
        PayloadError,
        "bill(): argument 'order': expected Order, got int",
    ),
    "a wrong field of an activity": (
        lambda *_: bill(Order("o", A_TEXT)),
        PayloadError,
        "bill(): argument 'order' -> $.total: expected int, got str",
    ),
    "a wrong option of a call": (
        lambda *_: bill.options(timeout=ANYTHING),
        InvalidArgumentError,
        "activity bill: timeout is 5; it must be a timedelta above zero, or None for no limit",
    ),
    "a call of a workflow": (
        lambda ctx, _: expectant(ctx),
        WrongContextError,
        "workflow expectant was called like a function; start it: await ctx.run_child(expectant, ...)",
    ),
    "a child that is a function": (
        lambda ctx, _: ctx.run_child(undecorated),
        UsageError,
        "a child run: undecorated is a function; decorate it with @workflow",
    ),
    "a wrong input of a child": (
        lambda ctx, _: ctx.run_child(billing, ANYTHING),
        PayloadError,
        "billing(): argument 'order': expected Order, got int",
    ),
    "a wait for a text": (
        lambda ctx, _: ctx.wait_for("go"),
        InvalidArgumentError,
        "ctx.wait_for: 'go' is no signal; declare one, approved = Signal(\"approved\", bool), and pass it",
    ),
    "a wait for seconds": (
        lambda ctx, _: ctx.wait_for(go, timeout=ANYTHING),
        InvalidArgumentError,
        "ctx.wait_for: timeout is 5; it must be a timedelta, or None",
    ),
    "a signal that is a text": (
        lambda ctx, _: ctx.signal("open", "go"),
        InvalidArgumentError,
        "ctx.signal: 'go' is no signal; declare one, approved = Signal(\"approved\", bool), and pass it",
    ),
    "a signal of the wrong type": (
        lambda ctx, _: ctx.signal("open", go, "one"),
        PayloadError,
        "signal 'go': expected int, got str",
    ),
    "a sleep until a text": (
        lambda ctx, _: ctx.sleep_until("noon"),
        InvalidArgumentError,
        "ctx.sleep_until: the moment is 'noon'; it must be a datetime with a time zone, e.g. datetime.now(UTC)",
    ),
    "a compensation that is a function": (
        lambda ctx, _: ctx.add_compensation(len),
        InvalidArgumentError,
        "ctx.add_compensation: <built-in function len> is no activity; decorate the function with @activity",
    ),
    "wrong arguments of the next generation": (
        lambda ctx, _: ctx.continue_as_new(1, 2, 3),
        InvalidArgumentError,
        "misusing_in_code(): too many positional arguments; it takes (misuse)",
    ),
    "an attempt where there is none": (
        lambda *_: current_attempt(),
        WrongContextError,
        "current_attempt() was called outside an activity that the engine runs",
    ),
    "a start by the engine": (lambda _, engine: engine.start(expectant), WrongContextError, NOT_OUTSIDE),
    "a list by the engine": (lambda _, engine: engine.list_runs(), WrongContextError, NOT_OUTSIDE),
    "a thread": (
        lambda *_: asyncio.to_thread(print),
        WrongContextError,
        "loop.run_in_executor() does not work inside a workflow, which must replay the same way: do it in an activity",
    ),
}
engines: list[Engine] = []


@workflow
async def misusing_in_code(ctx: Context, misuse: str) -> tuple[str, str]:
    try:
        done = IN_CODE[misuse][0](ctx, engines[-1])
        if done is not None:
            await done
    except UsageError as error:
        return type(error).__name__, str(error)
    return "", "nothing was refused"


@pytest.mark.parametrize("misuse", IN_CODE)
async def test_a_misuse_in_workflow_code_is_told_there(make_engine: MakeEngine, misuse: str) -> None:
    _, kind, message = IN_CODE[misuse]
    async with make_engine() as engine:
        engines[:] = [engine]
        run = await engine.start(misusing_in_code, misuse)
        assert await run.result() == (kind.__name__, message)


async def test_the_handle_of_a_run_is_refused_in_workflow_code(make_engine: MakeEngine) -> None:
    handles: list[Run[int]] = []

    @workflow
    async def asking(ctx: Context) -> str:
        try:
            return str(await handles[0].result())
        except WrongContextError as error:
            return str(error)

    async with make_engine() as engine:
        handles.append(await engine.start(expectant))
        assert await (await engine.start(asking)).result() == NOT_OUTSIDE


async def test_a_context_is_refused_wherever_its_workflow_s_code_is_not_running(make_engine: MakeEngine) -> None:
    contexts: list[Context] = []

    @workflow
    async def lending(ctx: Context) -> int:
        contexts.append(ctx)
        return await ctx.wait_for(go)

    @workflow
    async def borrowing(ctx: Context) -> None:
        contexts[0].set("stolen", 1)

    message = (
        "the context of run default/lender was used, or an activity called, where its workflow's code is not running: "
        "outside, in another run, or in a query handler, a validator or a condition, which may only read. What it does "
        "there would be missing on the replay; do it in the workflow's code"
    )
    async with make_engine() as engine:
        lender = await engine.start(lending, id="lender")
        with pytest.raises(WrongContextError) as refused:
            contexts[0].set("key", 1)
        assert str(refused.value) == message
        failed = await engine.start(borrowing)
        with pytest.raises(PerdureError) as failure:
            await failed.result()
        said = f"run default/{failed.id} of workflow borrowing failed: WrongContextError: {message} ("
        assert str(failure.value).startswith(said)
        await lender.signal(go, 3)
        assert await lender.result() == 3
        with pytest.raises(WrongContextError):
            contexts[0].set("key", 2)
        with pytest.raises(WrongContextError):
            await contexts[0].wait_for(go)


async def test_a_workflow_that_is_not_defined_here_is_named_with_those_that_are() -> None:
    database, registry = MemoryDatabase(), Registry()
    registry.add_workflow(billing)
    async with Engine(MemoryStore(database), works=False) as client:
        await client.start(expectant, id="elsewhere")
    async with Engine(MemoryStore(database), registry=registry) as engine:
        run = await engine.get_run("elsewhere")
        with pytest.raises(UnknownWorkflowError) as refused:
            await run.query("mood")
        assert str(refused.value) == (
            "no workflow named 'expectant' is defined in this process; import the module that defines it. "
            "Known: billing."
        )


# --- the engine itself -------------------------------------------------------------------------------------------


async def test_an_engine_that_is_not_open_says_how_to_open_it() -> None:
    engine = Engine("memory:")
    message = "the engine is not open; use it inside `async with Engine(...) as engine:`"
    with pytest.raises(EngineClosedError) as refused:
        await engine.start(expectant)
    assert str(refused.value) == message
    with pytest.raises(EngineClosedError) as refused:
        _ = engine.worker
    assert str(refused.value) == message
    async with engine:
        run = await engine.start(expectant)
    for late in (run.result(), run.signal(go, 1), run.describe()):
        with pytest.raises(EngineClosedError) as refused:
            await late
        assert str(refused.value) == "the engine was closed; open it again to go on"


def test_an_engine_is_not_used_outside_its_event_loop() -> None:
    with SyncEngine("memory:") as engine, pytest.raises(EngineClosedError) as refused:
        engine._client.start(expectant).send(None)  # type: ignore[union-attr]
    assert str(refused.value) == "the engine is used outside its event loop; in synchronous code use SyncEngine"


URLS = {
    "postgresql://shop:correct@horse@host/orders": (
        "the URL of the PostgreSQL server cannot be used: it has an '@' that does not stand between password and host. "
        "In a user, a password or a value write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A. Write for example "
        "'postgresql://user:password@host:5432/database?sslmode=verify-full&schema=perdure'."
    ),
    "postgres://host/orders?search_path=shop": (
        "the URL of the PostgreSQL server cannot be used: search_path is what Perdure sets itself; say schema=NAME "
        "instead. Write for example "
        "'postgresql://user:password@host:5432/database?sslmode=verify-full&schema=perdure'."
    ),
    "sqlite:///": "the store url 'sqlite:///' names no file; write for example 'sqlite:///perdure.db'",
    "sqlite:///:memory:": (
        "the store url 'sqlite:///:memory:' would be a file of that name; a store in memory is 'memory:'"
    ),
    "sqlite:///~/orders.db": (
        "the store url 'sqlite:///~/orders.db': '~' is not replaced; write the whole path, after four slashes"
    ),
    "orders.db": (
        "'orders.db' names no store; use 'sqlite:///path' (three slashes: relative to the working directory, four: "
        "absolute), 'postgresql://host/database' or 'memory:'"
    ),
}


@pytest.mark.parametrize("url", URLS)
async def test_a_url_of_no_store_is_told_which_there_are(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        async with Engine(url):
            pass
    assert str(refused.value) == URLS[url]


def test_what_is_no_url_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Engine(Path("orders.db"))  # type: ignore[arg-type]
    assert str(refused.value) == (
        f"Engine: {Path('orders.db')!r} is neither a url nor a store; pass a text such as 'sqlite:///orders.db'"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"active_runs": 0}, "Settings: active_runs is 0; it must be a number above zero"),
        ({"active_runs": "many"}, "Settings: active_runs is 'many'; it must be a number above zero"),
        ({"thread_slots": -1}, "Settings: thread_slots is -1; it must be a number from zero"),
        ({"lease_seconds": float("nan")}, "Settings: lease_seconds is nan; it must be a number above zero"),
        (
            {"replicate_keep_seconds": float("inf")},
            "Settings: replicate_keep_seconds is inf; it must be a number above zero",
        ),
        ({"standby_share": 1.5}, "Settings: standby_share is 1.5; it must be a share of the time, up to 1"),
        ({"standby_runs": 0}, "Settings: standby_runs is 0; it must be a number above zero"),
        (
            {"standby": True, "only_queues": True, "queues": ("gpu",)},
            "Settings: standby is set, and only_queues, too; whoever claims no runs takes none over",
        ),
        ({"replicate_to": 5}, "Settings: replicate_to is 5; it must be a text, the path of a folder"),
    ],
)
def test_a_setting_that_cannot_work_is_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        Settings(**setting)
    assert str(refused.value) == message


# --- the database ------------------------------------------------------------------------------------------------


QUICKLY = Settings(lock_patience_seconds=0.05, retry_store_seconds=0.001)


async def test_a_database_of_a_newer_perdure_is_named_with_both_versions(tmp_path: Path) -> None:
    path, known = tmp_path / "orders.db", len(migrations())
    async with Engine(f"sqlite:///{path}"):
        pass
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {known + 1}")
    connection.close()
    with pytest.raises(SchemaTooNewError) as refused:
        async with Engine(f"sqlite:///{path}"):
            pass
    assert str(refused.value) == (
        f"the database {path} has schema version {known + 1}; this Perdure knows versions up to {known}. Nothing was "
        f"changed. Upgrade Perdure, or choose another database."
    )


async def test_a_database_that_another_program_locks_is_named_and_served_again_after_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    store = open_store(f"sqlite:///{path}", settings=QUICKLY)
    async with Engine(store, settings=QUICKLY, works=False) as engine:
        foreign = apsw.Connection(str(path))
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError) as refused:
            await engine.start(expectant)
        assert str(refused.value) == (
            f"committing failed on the database {path}: database is locked. Another program holds the database's "
            f"lock; nothing of this call was saved. Find it (for example with `fuser`) and end its transaction; calls "
            f"then succeed again by themselves."
        )
        foreign.execute("ROLLBACK")
        foreign.close()
        await until(lambda: _can_start(engine))


async def test_a_full_disk_is_named_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with failing_disk() as disk:
        disk.error = apsw.FullError
        store = SqliteStore(path, settings=SqliteSettings(settling_pause_seconds=0.002), disk=disk)
        async with Engine(store, settings=QUICKLY, works=False) as engine:
            disk.plan("write log", first=1, length=1_000)
            with pytest.raises(StoreFullError) as refused:
                await engine.start(expectant, id="full")
            assert engine.trouble is refused.value
            disk.heal()
            assert str(refused.value) == (
                f"committing failed on the database {path}: a planned failure of write log. The disk is full (or "
                f"this user's quota, or the database's size limit); nothing of this call was saved. Make room: calls "
                f"succeed again by themselves."
            )
            with pytest.raises(RunNotFoundError):
                await engine.get_run("full")
            await until(lambda: _can_start(engine))
            assert engine.trouble is None


async def test_an_engine_closes_on_a_full_disk_as_if_it_were_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "orders.db"
    with failing_disk() as disk:
        disk.error = apsw.FullError
        store = SqliteStore(path, settings=SqliteSettings(settling_pause_seconds=0.002), disk=disk)
        async with Engine(store, settings=QUICKLY) as engine:
            run = await engine.start(expectant)
            disk.plan("write log", first=1, length=1_000)
    assert "the session ends as if it were killed, which harms nothing: committing failed" in caplog.text
    async with Engine(f"sqlite:///{path}", settings=QUICKLY) as engine:
        seen = await engine.get_run(run.id)
        await seen.signal(go, 7)
        assert await seen.result() == 7


async def _can_start(engine: Engine) -> bool:
    """Start a run, unless the engine still refuses because of the trouble a moment ago."""
    try:
        await engine.start(expectant, id="later")
    except StoreUnavailableError:
        return False
    return True
