from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from examples.ledger import LEDGER_FILE, Ledger
from examples.subscription.__main__ import DATA, ask_for, serve_customers, show_account
from examples.subscription.account import (
    Account,
    Bill,
    Cancel,
    ChangePaymentMethod,
    ChangePlan,
    Plan,
    Status,
    account_now,
    requests,
)
from examples.subscription.bank import refusal_of
from examples.subscription.customers import Customer
from examples.subscription.workflow import subscribe
from perdure import Engine, Run
from tests.examples.programs import kill_when, run_program, start_program

CUSTOMERS = {
    customer.id: customer
    for customer in msgspec.json.decode((DATA / "subscriptions.json").read_bytes(), type=list[Customer])
}
QUICK = timedelta(microseconds=100)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(LEDGER_FILE, str(tmp_path / "ledger.db"))
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'subscriptions.db'}"


def payments_of(ledger: Ledger, subscription_id: str) -> list[int]:
    """Return the periods that were paid, once for each time."""
    charges = [each for each in ledger.effects() if each.kind == "charge" and each.subject == subscription_id]
    return [int(each.detail.split(":")[0].removeprefix("period ")) for each in charges]


def kinds_of(ledger: Ledger, subscription_id: str) -> list[str]:
    return [each.kind for each in ledger.effects() if each.subject == subscription_id]


async def serve(customer: Customer, database: str) -> Account:
    return (await serve_customers([customer], database=database, day=QUICK))[customer.id]


async def test_each_period_is_paid_once_until_the_term_is_over(ledger: Ledger, database: str) -> None:
    account = await serve(CUSTOMERS["sub-1"], database)
    assert (account.status, account.periods_paid) == (Status.COMPLETED, 61)
    assert payments_of(ledger, "sub-1") == list(range(1, 62))
    assert kinds_of(ledger, "sub-1") == ["charge", "open", *["charge"] * 60, "close", "message"]


@pytest.mark.usefixtures("ledger")
async def test_a_generation_of_the_run_is_a_year_at_most(database: str) -> None:
    await serve(CUSTOMERS["sub-1"], database)
    async with Engine(database) as engine:
        run = await engine.get_run("sub-1", subscribe)
        assert (await run.describe()).ref.generation == 6


async def test_a_late_payment_is_taken_in_the_grace_period(ledger: Ledger, database: str) -> None:
    account = await serve(CUSTOMERS["sub-2"], database)
    assert (account.status, account.periods_paid) == (Status.COMPLETED, 24)
    assert payments_of(ledger, "sub-2") == list(range(1, 25))
    assert kinds_of(ledger, "sub-2").count("message") == 2 + 1


async def test_a_customer_who_does_not_pay_is_told_three_times_and_let_in_no_more(
    ledger: Ledger, database: str
) -> None:
    account = await serve(CUSTOMERS["sub-5"], database)
    assert (account.status, account.periods_paid) == (Status.RENEWAL_FAILED, 13)
    assert kinds_of(ledger, "sub-5")[-5:] == ["message", "message", "message", "close", "message"]


async def test_without_a_first_payment_nobody_is_let_in(ledger: Ledger, database: str) -> None:
    account = await serve(CUSTOMERS["sub-6"], database)
    assert (account.status, account.periods_paid) == (Status.NEVER_ACTIVATED, 0)
    assert kinds_of(ledger, "sub-6") == ["message"]


async def test_what_goes_wrong_stands_in_the_history(ledger: Ledger, database: str) -> None:
    await serve(CUSTOMERS["sub-5"], database)
    assert payments_of(ledger, "sub-5")
    async with Engine(database) as engine:
        run = await engine.get_run("sub-5")
        named = [str(recorded.event) async for recorded in run.history() if recorded.type == "trace_event_recorded"]
    assert [("payment_failed" in text, "renewal_failed" in text) for text in named] == [(True, False)] * 4 + [
        (False, True)
    ]


async def until(run: Run[Account], has_come: Callable[[Account], bool]) -> Account:
    """Wait for a step after which the account is as it should be."""
    async for _ in run.watch():
        account = await run.query(account_now)
        if has_come(account):
            return account
    raise AssertionError(f"{run} has ended before")


@pytest.mark.usefixtures("ledger")
async def test_what_a_customer_asks_for_during_a_period_is_done_at_once() -> None:
    async with Engine("memory:") as engine:
        run = await engine.start(subscribe, CUSTOMERS["sub-1"].subscription(timedelta(days=1)), None, id="sub-1")
        for request in (ChangePlan(plan=Plan.FAMILY), ChangePaymentMethod(payment_method="tok_other"), Cancel()):
            await run.signal(requests, request)
        account = await until(run, lambda account: account.is_cancelled)
        assert (account.plan, account.payment_method) == (Plan.FAMILY, "tok_other")
        assert account.status is Status.ACTIVE  # what is paid for is not taken away
        await run.terminate()


async def test_a_request_is_taken_by_the_process_that_serves(ledger: Ledger, database: str) -> None:
    day = timedelta(seconds=10)
    async with Engine(database) as engine:
        run = await engine.start(subscribe, CUSTOMERS["sub-1"].subscription(day), None, id="sub-1")
        await until(run, lambda account: account.periods_paid == 1)
        await ask_for("sub-1", Cancel(reason="moving"), database=database)
        await until(run, lambda account: account.is_cancelled)
        assert (await show_account("sub-1", database=database)).is_cancelled
        await run.terminate()
    assert payments_of(ledger, "sub-1") == [1]


def test_subscriptions_survive_kills_of_their_program(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    (tmp_path / "customers.json").write_bytes(msgspec.json.encode([CUSTOMERS[f"sub-{n}"] for n in (1, 2, 5)]))
    place = ("--db", f"sqlite:///{tmp_path / 'subscriptions.db'}", "--ledger", str(tmp_path / "ledger.db"))
    arguments = (*place, "--day", "0.001", "serve", str(tmp_path / "customers.json"))
    for count in (4, 30, 60):
        process = start_program("examples.subscription", *arguments, directory=tmp_path)
        kill_when(process, has_effects(ledger, count))
    printed = run_program("examples.subscription", *arguments, directory=tmp_path)
    assert "sub-1 completed, 61 periods paid" in printed
    assert "sub-5 renewal_failed, 13 periods paid" in printed
    assert payments_of(ledger, "sub-1") == list(range(1, 62))
    assert payments_of(ledger, "sub-2") == list(range(1, 25))
    assert payments_of(ledger, "sub-5") == list(range(1, 14))
    assert kinds_of(ledger, "sub-5").count("message") == 4
    printed = run_program("examples.subscription", *place, "cancel", "sub-5", directory=tmp_path, code=1)
    assert printed.splitlines()[-1].startswith("run default/sub-5 has ended (completed)")


def has_effects(ledger: Ledger, count: int) -> Callable[[], bool]:
    return lambda: len(ledger.effects()) >= count


def test_the_commands_of_customers_reach_their_subscription(tmp_path: Path) -> None:
    place = ("--db", f"sqlite:///{tmp_path / 'subscriptions.db'}", "--ledger", str(tmp_path / "ledger.db"))
    (tmp_path / "customers.json").write_bytes(msgspec.json.encode([CUSTOMERS["sub-5"]]))
    program = "examples.subscription"
    process = start_program(
        program, *place, "--day", "60", "serve", str(tmp_path / "customers.json"), directory=tmp_path
    )
    kill_when(process, has_effects(Ledger(tmp_path / "ledger.db"), 2))
    run_program(program, *place, "change-payment", "sub-5", "tok_visa", directory=tmp_path)
    run_program(program, *place, "change-plan", "sub-5", "family", directory=tmp_path)
    run_program(program, *place, "cancel", "sub-5", directory=tmp_path)
    process = start_program(
        program, *place, "--day", "60", "serve", str(tmp_path / "customers.json"), directory=tmp_path
    )
    kill_when(process, lambda: "true" in run_program(program, *place, "show", "sub-5", directory=tmp_path))
    shown = (tmp_path / "log").read_text()
    account = msgspec.json.decode(shown[shown.rindex("{") :], type=Account)
    assert (account.payment_method, account.plan, account.is_cancelled) == ("tok_visa", Plan.FAMILY, True)


@pytest.mark.parametrize(
    ("payment_method", "period", "reminders", "is_refused"),
    [
        ("tok_visa", 99, 0, False),
        ("tok_expires_in_9", 8, 0, False),
        ("tok_expires_in_9", 9, 3, True),
        ("tok_expires_in_9", 10, 0, True),
        ("tok_late_in_4", 3, 0, False),
        ("tok_late_in_4", 4, 1, True),
        ("tok_late_in_4", 4, 2, False),
        ("tok_late_in_4", 5, 0, False),
    ],
)
def test_the_bank_refuses_what_the_payment_method_says(
    payment_method: str, period: int, reminders: int, is_refused: bool
) -> None:
    bill = Bill(
        subscription_id="sub", period=period, price=Decimal(1), payment_method=payment_method, reminders=reminders
    )
    assert bool(refusal_of(bill)) is is_refused


def test_a_plan_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    said = run_program("examples.subscription", "change-plan", "sub-5", "nonsense", directory=tmp_path, code=2)
    assert "there is no plan 'nonsense'; choose one of basic, family" in said
