"""Serve subscriptions to their ends, in a world whose days are short; and take what customers ask for.

Started again, after a crash or for fun, it goes on where each subscription stood: what fell due meanwhile is done then.
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path

import msgspec

from examples.ledger import LEDGER_FILE, Ledger
from examples.subscription.account import (
    Account,
    Cancel,
    ChangePaymentMethod,
    ChangePlan,
    Plan,
    Request,
    account_now,
    requests,
)
from examples.subscription.customers import Customer, play_customer
from examples.subscription.workflow import subscribe
from perdure import Engine, RunClosedError, RunNotFoundError

__all__ = ["ask_for", "main", "serve_customers", "show_account"]

DATA = Path(__file__).resolve().parents[1] / "data"


async def serve_customers(customers: list[Customer], *, database: str, day: timedelta) -> dict[str, Account]:
    """Start every customer's subscription and wait for their ends; return the accounts as they stand then."""
    async with Engine(database) as engine:
        runs = []
        for customer in customers:
            runs.append(await engine.start(subscribe, customer.subscription(day), None, id=customer.id))
            await engine.start(play_customer, customer.id, customer.acts, day, id=f"{customer.id}/customer")
        accounts = await asyncio.gather(*(run.result() for run in runs))
    return {run.id: account for run, account in zip(runs, accounts, strict=True)}


async def show_account(subscription_id: str, *, database: str) -> Account:
    """Return an account as it stands, also of a subscription that has ended."""
    async with Engine(database, works=False) as engine:
        return await (await engine.get_run(subscription_id, subscribe)).query(account_now)


async def ask_for(subscription_id: str, request: Request, *, database: str) -> None:
    """Ask for something in a customer's name; it is done by whatever process serves the subscription."""
    async with Engine(database, works=False) as engine:
        await (await engine.get_run(subscription_id, subscribe)).signal(requests, request)


def main() -> None:
    """Read the command line and do what it says."""
    given = make_parser().parse_args()
    os.environ[LEDGER_FILE] = str(given.ledger)
    action: Callable[[argparse.Namespace], Coroutine[object, object, None]] = given.action
    try:
        asyncio.run(action(given))
    except (RunNotFoundError, RunClosedError) as error:
        raise SystemExit(str(error)) from None


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: without a command it serves."""
    parser = argparse.ArgumentParser(prog="python -m examples.subscription", description="Serve subscriptions.")
    parser.add_argument("--db", default="sqlite:///subscriptions.db", help="the database of the runs")
    parser.add_argument(
        "--ledger", type=Path, default=Path("subscriptions-ledger.db"), help="what the simulated world did"
    )
    parser.add_argument("--day", type=float, default=0.005, metavar="SECONDS", help="how long a day takes (0.005)")
    parser.set_defaults(action=_serve, customers=DATA / "subscriptions.json")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a file of customers (this is the default)")
    serve.add_argument("customers", type=Path, nargs="?", default=DATA / "subscriptions.json", help="a JSON file")
    _add_command(commands.add_parser("show", help="show an account"), _show)
    _add_command(commands.add_parser("cancel", help="cancel a subscription"), _ask).set_defaults(request=Cancel())
    plans = _add_command(commands.add_parser("change-plan", help="take another plan"), _ask)
    plans.add_argument("request", type=_change_of_plan, metavar=f"{{{','.join(Plan)}}}")
    methods = _add_command(commands.add_parser("change-payment", help="pay otherwise"), _ask)
    methods.add_argument("request", type=lambda text: ChangePaymentMethod(payment_method=text), metavar="TOKEN")
    return parser


def _add_command(
    parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], Coroutine[object, object, None]]
) -> argparse.ArgumentParser:
    parser.add_argument("id", help="which subscription, such as sub-1")
    parser.set_defaults(action=action)
    return parser


def _change_of_plan(text: str) -> ChangePlan:
    try:
        return ChangePlan(plan=Plan(text))
    except ValueError:
        message = f"there is no plan {text!r}; choose one of {', '.join(Plan)}"
        raise argparse.ArgumentTypeError(message) from None


async def _serve(given: argparse.Namespace) -> None:
    customers = msgspec.json.decode(given.customers.read_bytes(), type=list[Customer])
    accounts = await serve_customers(customers, database=given.db, day=timedelta(seconds=given.day))
    effects = Ledger(given.ledger).effects()
    for subscription_id, account in accounts.items():
        print(f"{subscription_id} {account.status}, {account.periods_paid} periods paid")
        for effect in effects:
            if effect.subject == subscription_id and effect.kind == "message":
                print(f"    {effect.detail}")


async def _show(given: argparse.Namespace) -> None:
    account = await show_account(given.id, database=given.db)
    print(msgspec.json.format(msgspec.json.encode(account)).decode())


async def _ask(given: argparse.Namespace) -> None:
    await ask_for(given.id, given.request, database=given.db)


if __name__ == "__main__":
    main()
