"""A loan application as it arrives, the rules that it must keep, and how it can end.

All are plain records: the engine checks them at the boundary and keeps them as readable JSON in the history.
"""

import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import msgspec

__all__ = ["Applicant", "Approved", "Home", "LoanApplication", "Outcome", "Rejected", "monthly_payment", "problems_of"]

LARGEST_AMOUNT = Decimal(2_000_000)
TERMS_IN_YEARS = range(5, 31)
YEARLY_RATE = Decimal("0.042")
AGE_OF_MAJORITY = 18


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for the loan. `national_id` finds them in the registers; `monthly_income` is what they say it is."""

    name: str
    email: str
    born: date
    national_id: str
    employer: str
    monthly_income: Decimal


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """What the loan is for. `title` is its number in the land register."""

    title: str
    address: str
    price: Decimal


class LoanApplication(msgspec.Struct, frozen=True, kw_only=True):
    """A mortgage that somebody asks for: `amount` in euros, to be paid back within `years`."""

    id: str
    received: date
    applicant: Applicant
    home: Home
    amount: Decimal
    years: int


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approved"):
    """The loan was granted and paid out. `reviewer` is None where no person had to decide."""

    contract_id: str
    payout_id: str
    monthly_payment: Decimal
    reviewer: str | None


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """The loan was refused, for the `reasons` that stand in the notice."""

    notice_id: str
    reasons: tuple[str, ...]
    reviewer: str | None


Outcome = Approved | Rejected
"""How an application ends, told apart by the field ``type``."""


def monthly_payment(amount: Decimal, years: int) -> Decimal:
    """Return the constant monthly payment of an annuity loan, in whole cents."""
    rate, months = YEARLY_RATE / 12, years * 12
    return (amount * rate / (1 - (1 + rate) ** -months)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def problems_of(application: LoanApplication) -> list[str]:
    """Return everything that is wrong with an application, in words for the applicant; nothing for a good one."""
    applicant, problems = application.applicant, list[str]()
    if not 0 < application.amount <= LARGEST_AMOUNT:
        problems.append(f"we lend up to {LARGEST_AMOUNT} EUR, not {application.amount} EUR")
    if application.amount > application.home.price:
        problems.append(f"the loan of {application.amount} EUR is larger than the price, {application.home.price} EUR")
    if application.years not in TERMS_IN_YEARS:
        problems.append(f"a loan runs for {TERMS_IN_YEARS[0]} to {TERMS_IN_YEARS[-1]} years, not {application.years}")
    if applicant.monthly_income <= 0:
        problems.append(f"an income of {applicant.monthly_income} EUR pays nothing back")
    if _age(applicant.born, application.received) < AGE_OF_MAJORITY:
        problems.append(f"{applicant.name} is not of age")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", applicant.email):
        problems.append(f"{applicant.email!r} is no e-mail address")
    return problems


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
