"""Process a file of loan applications as far as that goes without a person, and take what persons have to say.

Started again, after a crash or for fun, it finishes what is unfinished. Applications that wait for a review wait in the
database, not in this process: days may pass until somebody calls it with `review`.
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from examples.ledger import LEDGER_FILE
from examples.loan_processing.application import Approved, LoanApplication, Outcome, Rejected
from examples.loan_processing.bureaus import BUREAUS_FILE
from examples.loan_processing.review import (
    Approve,
    AskForMore,
    LoanStatus,
    Reject,
    Review,
    documents,
    loan_status,
    review,
)
from examples.loan_processing.workflow import process_loan
from perdure import Engine, Run, RunClosedError, RunFailedError, RunNotFoundError, UpdateRejectedError

__all__ = ["give_review", "main", "process_loans", "send_documents"]

DATA = Path(__file__).resolve().parents[1] / "data"


async def process_loans(applications: list[LoanApplication], *, database: str) -> dict[str, str]:
    """Start every application's run; return in words, by application, how it ended or what it waits for."""
    async with Engine(database) as engine:
        runs = [await engine.start(process_loan, application, id=application.id) for application in applications]
        ends = await asyncio.gather(*map(state_of, runs))
    return {run.id: end for run, end in zip(runs, ends, strict=True)}


async def give_review(application_id: str, given: Review, *, database: str) -> str:
    """Give a review; return in words what became of the application. Raises UpdateRejectedError."""
    async with Engine(database) as engine:
        run = await engine.get_run(application_id, process_loan)
        await run.update(review, given)
        return await state_of(run)


async def send_documents(application_id: str, name: str, *, database: str) -> str:
    """Send what a reviewer asked for; return in words what became of the application. Raises UpdateRejectedError."""
    async with Engine(database) as engine:
        run = await engine.get_run(application_id, process_loan)
        await run.update(documents, name)
        return await state_of(run)


async def state_of(run: Run[Outcome]) -> str:
    """Wait until a run has ended or waits for a person, and say which."""
    async for _ in run.watch():
        status = await run.query(loan_status)
        if status.waits_for is not None:
            return words_for_waiting(status)
    try:
        return words_for_outcome(await run.result())
    except RunFailedError as error:
        return f"not processed: {error.failure_message}"


def words_for_waiting(status: LoanStatus) -> str:
    """Say what an application waits for."""
    reasons = "; ".join(status.assessment.reasons) if status.assessment else ""
    return f"waits for {status.waits_for}: {reasons}"


def words_for_outcome(outcome: Outcome) -> str:
    """Say how an application ended."""
    match outcome:
        case Approved(contract_id=contract_id, payout_id=payout_id, monthly_payment=payment):
            return f"approved, {payment} EUR a month: {contract_id}, {payout_id}"
        case Rejected(reasons=reasons):
            return f"rejected: {'; '.join(reasons)}"


def main() -> None:
    """Read the command line, do what it says, print what became of each application."""
    given = make_parser().parse_args()
    os.environ[LEDGER_FILE] = str(given.ledger)
    os.environ[BUREAUS_FILE] = str(DATA / "bureaus.json")
    action: Callable[[argparse.Namespace], Coroutine[object, object, dict[str, str]]] = given.action
    try:
        for application_id, state in asyncio.run(action(given)).items():
            print(f"{application_id} {state}")
    except UpdateRejectedError as error:
        raise SystemExit(f"rejected: {error.failure_message}") from None
    except (RunNotFoundError, RunClosedError) as error:
        raise SystemExit(str(error)) from None


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: without a command it processes."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.loan_processing", description="Process loan applications."
    )
    parser.add_argument("--db", default="sqlite:///loans.db", help="the database of the runs")
    parser.add_argument("--ledger", type=Path, default=Path("loans-ledger.db"), help="what the simulated world did")
    parser.set_defaults(action=_process, applications=DATA / "loans.json")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    process = commands.add_parser("process", help="process a file of applications (this is the default)")
    process.add_argument("applications", type=Path, nargs="?", default=DATA / "loans.json", help="a JSON file")
    reviewing = commands.add_parser("review", help="decide about an application that waits for a review")
    reviewing.add_argument("id", help="which application, such as loan-1003")
    reviewing.add_argument("decision", choices=("approve", "reject", "ask"), help="what you decide")
    reviewing.add_argument("--by", required=True, metavar="NAME", help="who decides")
    reviewing.add_argument("--why", default="", metavar="TEXT", help="the reason of a rejection, or the question")
    reviewing.set_defaults(action=_review)
    sending = commands.add_parser("send", help="send the documents that a reviewer has asked for")
    sending.add_argument("id", help="which application")
    sending.add_argument("documents", help="their name, such as payslips.pdf")
    sending.set_defaults(action=_send)
    return parser


async def _process(given: argparse.Namespace) -> dict[str, str]:
    applications = msgspec.json.decode(given.applications.read_bytes(), type=list[LoanApplication])
    return await process_loans(applications, database=given.db)


async def _review(given: argparse.Namespace) -> dict[str, str]:
    reviews: dict[str, Review] = {
        "approve": Approve(reviewer=given.by),
        "reject": Reject(reviewer=given.by, reason=given.why),
        "ask": AskForMore(reviewer=given.by, question=given.why),
    }
    return {given.id: await give_review(given.id, reviews[given.decision], database=given.db)}


async def _send(given: argparse.Namespace) -> dict[str, str]:
    return {given.id: await send_documents(given.id, given.documents, database=given.db)}


if __name__ == "__main__":
    main()
