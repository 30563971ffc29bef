"""Transactional activities: what they write to the store's database and their outcome are committed together."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from perdure import (
    Activity,
    ActivityTimeoutError,
    Context,
    Engine,
    Isolation,
    Retry,
    RunFailedError,
    Signal,
    activity,
    current_connection,
    defer,
    fixed,
    workflow,
)
from perdure.errors import InvalidArgumentError, WrongContextError
from perdure.events import ActivityCancelled, ActivityCompleted
from perdure.execution import mail
from perdure.stores.postgres.transactions import Transactions
from tests.journeys.conftest import PAYLOADS
from tests.journeys.workflows import kinds, until
from tests.postgres_server import PostgresServer

LEDGER = "CREATE TABLE ledger (entry text PRIMARY KEY, amount integer NOT NULL)"
ONCE = Retry(attempts=1)
AT_ONCE = Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1)))


class Bank:
    """A database in which activities write: `kind` is the first part of the names of activities that can."""

    def __init__(self, kind: str, url: str, ask: Callable[[str], Any]) -> None:
        self.kind = kind
        self.url = url
        self._ask = ask

    def engine(self, **options: Any) -> Engine:
        return Engine(self.url, **options)

    def step(self, name: str) -> Activity[..., Any]:
        return STEPS[self.kind, name]

    async def ask(self, query: str) -> Any:
        return await self._ask(query)

    async def ledger(self) -> int:
        return int(await self.ask("SELECT count(*) FROM ledger"))


STEPS: dict[tuple[str, str], Activity[..., Any]] = {}


def step(function: Callable[..., Any], **options: Any) -> None:
    kind, _, name = function.__name__.partition("_")
    STEPS[kind, name] = activity(name=f"tx_{function.__name__}", **{"transaction": "serializable", **options})(function)


# --- the same steps on both databases --------------------------------------------------------------------------------

failures: list[str] = []


def sqlite_pay(entry: str, amount: int) -> int:
    connection = current_connection()
    connection.execute("INSERT INTO ledger VALUES (?, ?)", (entry, amount))
    return int(connection.value("SELECT sum(amount) FROM ledger"))


async def postgres_pay(entry: str, amount: int) -> int:
    connection = current_connection()
    await connection.execute("INSERT INTO ledger VALUES ($1, $2)", entry, amount)
    return int(await connection.fetchval("SELECT sum(amount) FROM ledger"))


def _fail_once() -> None:
    if failures:
        raise RuntimeError(failures.pop())


def sqlite_fail(entry: str) -> int:
    total = sqlite_pay(entry, 1)
    _fail_once()
    return total


async def postgres_fail(entry: str) -> int:
    total = await postgres_pay(entry, 1)
    _fail_once()
    return total


def sqlite_end(entry: str) -> None:
    sqlite_pay(entry, 1)
    current_connection().execute("COMMIT")


async def postgres_end(entry: str) -> None:
    await postgres_pay(entry, 1)
    await current_connection().execute("ROLLBACK")


def sqlite_defer(entry: str) -> None:
    sqlite_pay(entry, 1)
    defer()


async def postgres_defer(entry: str) -> None:
    await postgres_pay(entry, 1)
    defer()


for of_both in (sqlite_pay, postgres_pay, sqlite_end, postgres_end, sqlite_defer, postgres_defer):
    step(of_both, retry=ONCE)
step(sqlite_fail, retry=AT_ONCE)
step(postgres_fail, retry=AT_ONCE)


@workflow(name="tx_paying")
async def paying(_ctx: Context, kind: str, name: str, given: list[Any]) -> Any:
    return await STEPS[kind, name](*given)


go = Signal("go", int)


@workflow(name="tx_paying_then_waiting")
async def paying_then_waiting(ctx: Context, kind: str) -> int:
    total = await STEPS[kind, "pay"]("first", 5)
    return int(total) + await ctx.wait_for(go)


@pytest.fixture(params=["sqlite", "postgres"])
async def bank(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bank]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        async with Engine(url, works=False):
            pass
        connection = apsw.Connection(str(tmp_path / "runs.db"))
        connection.execute(LEDGER)

        async def ask(query: str) -> Any:
            return connection.execute(query).get

        yield Bank("sqlite", url, ask)
        connection.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    async with server.database() as url:
        there = await asyncpg.connect(url)
        await there.execute(LEDGER)
        yield Bank("postgres", url, there.fetchval)
        await there.close()


async def test_what_it_writes_and_its_outcome_are_both_there(bank: Bank) -> None:
    async with bank.engine() as engine:
        run = await engine.start(paying, bank.kind, "pay", ["first", 5])
        assert await run.result() == 5
        assert (await kinds(run))[-2:] == ["activity_completed", "run_completed"]
        completed = [recorded.event async for recorded in run.history()][-2]
        assert isinstance(completed, ActivityCompleted)
        assert completed.attempt == 1
        assert completed.started_at is not None
        run = await engine.start(paying, bank.kind, "pay", ["second", 7])
        assert await run.result() == 12
    assert await bank.ledger() == 2


async def test_results_pass_the_codecs(bank: Bank) -> None:
    async with bank.engine(payloads=PAYLOADS) as engine:
        run = await engine.start(paying, bank.kind, "pay", ["first", 5])
        assert await run.result() == 5


async def test_what_a_failed_attempt_wrote_is_undone(bank: Bank) -> None:
    failures[:] = ["not yet"]
    async with bank.engine() as engine:
        run = await engine.start(paying, bank.kind, "fail", ["first"])
        assert await run.result() == 1
        assert "activity_attempt_failed" in await kinds(run)
    assert await bank.ledger() == 1


async def test_an_error_of_the_database_is_that_of_the_activity(bank: Bank) -> None:
    async with bank.engine() as engine:
        for number in range(2):
            run = await engine.start(paying, bank.kind, "pay", ["first", number])
            if number:
                with pytest.raises(RunFailedError, match=r"(?i)unique"):
                    await run.result()
            else:
                await run.result()
    assert await bank.ledger() == 1


async def _die_with_an_outcome_in_the_inbox(bank: Bank, monkeypatch: pytest.MonkeyPatch, *, signals: int) -> None:
    """Let a step be committed, and its worker end before it knows; others have sent so many signals before."""
    with monkeypatch.context() as deaf:
        deaf.setattr(mail.Mail, "read_inbox_of", lambda _mail, _run: None)
        async with bank.engine(works=False) as client:
            run = await client.start(paying_then_waiting, bank.kind, id="run")
            for number in range(signals):
                await run.signal(go, number)
            async with bank.engine():
                await until(lambda: _has_paid(bank))


async def _has_paid(bank: Bank) -> bool:
    return await bank.ledger() == 1


async def test_a_step_that_was_committed_is_not_made_again_by_who_takes_the_run_over(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _die_with_an_outcome_in_the_inbox(bank, monkeypatch, signals=0)
    async with bank.engine() as engine:
        run = await engine.get_run("run")
        await run.signal(go, 1)
        assert await run.result() == 6
        assert (await kinds(run)).count("activity_attempt_failed") == 0
    assert await bank.ledger() == 1


async def test_an_outcome_is_found_behind_more_messages_than_are_read_at_once(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "INBOX_PAGE", 2)
    await _die_with_an_outcome_in_the_inbox(bank, monkeypatch, signals=4)
    async with bank.engine() as engine:
        assert await (await engine.get_run("run")).result() == 5
    assert await bank.ledger() == 1


async def test_one_that_ends_its_transaction_fails_for_good_and_has_written_nothing(bank: Bank) -> None:
    async with bank.engine() as engine:
        run = await engine.start(paying, bank.kind, "end", ["first"])
        with pytest.raises(RunFailedError, match=r"leave COMMIT and ROLLBACK|not authorized"):
            await run.result()
        run = await engine.start(paying, bank.kind, "pay", ["first", 3])
        assert await run.result() == 3


async def test_one_that_defers_fails_for_good_and_has_written_nothing(bank: Bank) -> None:
    async with bank.engine() as engine:
        run = await engine.start(paying, bank.kind, "defer", ["first"])
        with pytest.raises(RunFailedError, match="cannot defer"):
            await run.result()
        assert (await kinds(run)).count("activity_attempt_failed") == 0
    assert await bank.ledger() == 0


async def test_a_function_of_the_other_kind_fails_for_good_and_says_why(bank: Bank) -> None:
    kind, says = ("sqlite", "an `async def`") if bank.kind == "postgres" else ("postgres", "a plain `def`")
    async with bank.engine() as engine:
        run = await engine.start(paying, kind, "pay", ["first", 1])
        with pytest.raises(RunFailedError, match=says):
            await run.result()
        assert (await kinds(run)).count("activity_attempt_failed") == 0


async def test_a_store_in_memory_has_no_transactions() -> None:
    async with Engine("memory:") as engine:
        run = await engine.start(paying, "postgres", "pay", ["first", 1])
        with pytest.raises(RunFailedError, match="needs a database"):
            await run.result()


# --- time and others that are in the way -----------------------------------------------------------------------------

may_end = threading.Event()


def sqlite_slow(entry: str) -> int:
    total = sqlite_pay(entry, 1)
    may_end.wait(10)
    return total


async def postgres_slow(entry: str) -> int:
    return await postgres_pay(entry, 1)


async def postgres_stuck(entry: str) -> None:
    await postgres_pay(entry, 1)
    await asyncio.Event().wait()


async def postgres_stubborn(entry: str) -> None:
    await postgres_pay(entry, 1)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def postgres_add(amount: int) -> int:
    connection = current_connection()
    total = await connection.fetchval("SELECT amount FROM ledger WHERE entry = 'total'")
    await asyncio.sleep(0)
    await connection.execute("UPDATE ledger SET amount = $1 WHERE entry = 'total'", total + amount)
    return int(total) + amount


def sqlite_late(entry: str) -> int:
    return sqlite_slow(entry)


async def postgres_late(entry: str) -> int:
    return await postgres_slow(entry)


step(sqlite_late)
step(postgres_late)
for slow in (sqlite_slow, postgres_slow, postgres_stuck, postgres_stubborn):
    step(slow, timeout=timedelta(seconds=0.1), retry=ONCE)
step(postgres_add, retry=ONCE)


def _late_commits(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Keep steps from being committed with PostgreSQL until the event is set, and from ending with SQLite until
    `may_end` is."""
    may_end.clear()
    may_commit = asyncio.Event()
    commit = Transactions._commit

    async def commit_late(*args: Any) -> None:
        await may_commit.wait()
        await commit(*args)

    monkeypatch.setattr(Transactions, "_commit", commit_late)
    return may_commit


async def test_one_that_is_committed_when_its_time_is_over_was_in_time(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_out = _late_commits(monkeypatch)
    async with bank.engine() as engine:
        cancel = engine.worker.attempts.cancel

        def cancelled(running: Any) -> None:
            cancel(running)
            timed_out.set()
            may_end.set()

        monkeypatch.setattr(engine.worker.attempts, "cancel", cancelled)
        run = await engine.start(paying, bank.kind, "slow", ["first"])
        assert await run.result() == 1
        assert timed_out.is_set()
        assert "activity_timed_out" not in await kinds(run)
    assert await bank.ledger() == 1


@workflow(name="tx_giving_up")
async def giving_up(_ctx: Context, kind: str) -> str:
    try:
        async with asyncio.timeout(1.0):
            await STEPS[kind, "late"]("first")
    except TimeoutError:
        return "given up"
    return "paid"


async def test_a_step_that_is_given_up_while_it_is_committed_has_been_made_for_the_workflow_too(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = _late_commits(monkeypatch)
    async with bank.engine() as engine:
        submit = engine.worker.committer.submit

        def submitted(write: Any, *args: Any, **options: Any) -> None:
            submit(write, *args, **options)
            if any(isinstance(recorded.event, ActivityCancelled) for recorded in getattr(write, "events", ())):
                given_up.set()
                may_end.set()

        monkeypatch.setattr(engine.worker.committer, "submit", submitted)
        run = await engine.start(giving_up, bank.kind)
        assert await run.result() == "paid"
        assert given_up.is_set()
        assert "activity_cancelled" not in await kinds(run)
    assert await bank.ledger() == 1


@pytest.mark.parametrize("name", ["stuck", "stubborn"])
async def test_one_that_runs_out_of_time_has_written_nothing(name: str, postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    await connection.execute(LEDGER)
    async with Engine(postgres) as engine:
        run = await engine.start(paying, "postgres", name, ["first"])
        with pytest.raises(RunFailedError, match=ActivityTimeoutError.__name__):
            await run.result()
    assert await connection.fetchval("SELECT count(*) FROM ledger") == 0
    await connection.close()


async def test_transactions_that_are_in_each_other_s_way_are_made_again_without_another_attempt(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    await connection.execute(LEDGER)
    await connection.execute("INSERT INTO ledger VALUES ('total', 0)")
    async with Engine(postgres) as engine:
        runs = [await engine.start(paying, "postgres", "add", [1]) for _ in range(8)]
        assert sorted([await run.result() for run in runs]) == [*range(1, 9)]
    assert await connection.fetchval("SELECT amount FROM ledger") == 8
    await connection.close()


# --- what may be said ------------------------------------------------------------------------------------------------


def test_there_is_no_connection_outside_of_a_transactional_activity() -> None:
    with pytest.raises(WrongContextError, match="transaction=") as raised:
        current_connection()
    assert isinstance(raised.value, Exception)


def test_an_isolation_is_one_of_three_and_needs_no_executor() -> None:
    with pytest.raises(InvalidArgumentError, match="allowed are read_committed, repeatable_read, serializable"):
        activity(name="tx_wrong", transaction="chaos")(sqlite_pay)
    with pytest.raises(InvalidArgumentError, match="leave out executor"):
        activity(name="tx_wrong", transaction=Isolation.SERIALIZABLE, executor="thread")(sqlite_pay)
    with pytest.raises(InvalidArgumentError, match="allowed are loop, thread, process, hybrid"):
        activity(name="tx_wrong", executor="transaction")(sqlite_pay)
