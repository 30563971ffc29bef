"""The activities: one call to the outside world each. They are recorded, retried and undone by the engine.

An activity may be run again after its effect has happened, when the worker died or the answer was lost. Each one with
an effect therefore hands its idempotency key on (see `Ledger.record`), which is the same for all attempts of one call.
"""

from datetime import timedelta
from decimal import Decimal

import msgspec

from examples.ledger import ledger_from_environment
from examples.loan_processing.application import LoanApplication, problems_of
from examples.loan_processing.bureaus import find_record, known_to_bureaus
from examples.loan_processing.risk import CreditReport, EmploymentReport, IdentityReport, PropertyReport
from perdure import NonRetryableError, Retry, activity, exponential

__all__ = [
    "Contract",
    "InvalidApplicationError",
    "ask_for_review",
    "check_application",
    "check_credit",
    "check_employment",
    "check_identity",
    "check_property",
    "draw_up_contract",
    "pay_out",
    "tell_applicant",
    "void_contract",
    "write_notice",
]


class InvalidApplicationError(NonRetryableError):
    """The application breaks the rules. It would break them again: there is no second attempt."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that both sides have signed."""

    id: str
    application_id: str
    monthly_payment: Decimal


PATIENT = Retry(attempts=5, backoff=exponential(timedelta(milliseconds=300), factor=2))
"""For services that come back: waits of 0.3, 0.6, 1.2 and 2.4 seconds."""

A_MINUTE = timedelta(minutes=1)

FOR_DAYS = Retry(
    attempts=None, backoff=exponential(timedelta(seconds=1), maximum=timedelta(hours=1)), budget=timedelta(days=2)
)
"""For letters: they may go out tomorrow."""


@activity
async def check_application(application: LoanApplication) -> None:
    """Refuse an application that breaks the rules. Raises InvalidApplicationError naming all that is wrong."""
    if problems := problems_of(application):
        raise InvalidApplicationError("; ".join(problems))


@activity(retry=PATIENT, timeout=A_MINUTE)
async def check_credit(application: LoanApplication) -> CreditReport:
    """Ask the credit bureau. Raises NoRecordError, as the three below."""
    return find_record((await known_to_bureaus()).credit, application.applicant.national_id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def check_employment(application: LoanApplication) -> EmploymentReport:
    """Ask the employer."""
    return find_record((await known_to_bureaus()).employment, application.applicant.national_id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def check_identity(application: LoanApplication) -> IdentityReport:
    """Ask the register of persons."""
    return find_record((await known_to_bureaus()).identity, application.applicant.national_id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def check_property(application: LoanApplication) -> PropertyReport:
    """Ask the land register."""
    return find_record((await known_to_bureaus()).property, application.home.title)


@activity(retry=FOR_DAYS, timeout=A_MINUTE)
async def ask_for_review(application: LoanApplication, text: str) -> str:
    """Tell the reviewers that an application waits for one of them."""
    return await ledger_from_environment().record("review_request", application.id, text)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def void_contract(contract: Contract) -> str:
    """Make a contract void."""
    return await ledger_from_environment().record("void", contract.application_id, contract.id)


@activity(retry=PATIENT, timeout=A_MINUTE, compensate=void_contract)
async def draw_up_contract(application: LoanApplication, monthly_payment: Decimal) -> Contract:
    """Have the contract signed. Undone by `void_contract`."""
    detail = f"{application.amount} EUR for {monthly_payment} EUR a month"
    number = await ledger_from_environment().record("contract", application.id, detail)
    return Contract(id=number, application_id=application.id, monthly_payment=monthly_payment)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def pay_out(application: LoanApplication, contract: Contract) -> str:
    """Transfer the money; return the transfer's id."""
    return await ledger_from_environment().record("payout", application.id, f"{application.amount} EUR, {contract.id}")


@activity(retry=PATIENT, timeout=A_MINUTE)
async def write_notice(application: LoanApplication, reasons: tuple[str, ...]) -> str:
    """Write the notice of rejection, in which the reasons must stand; return its id."""
    return await ledger_from_environment().record("notice", application.id, "; ".join(reasons))


@activity(retry=FOR_DAYS, timeout=A_MINUTE)
async def tell_applicant(application: LoanApplication, text: str) -> str:
    """Send a message; return its id."""
    return await ledger_from_environment().record("message", application.id, text)
