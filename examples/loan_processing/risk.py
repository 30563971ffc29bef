"""What the checks found, and what follows from it. Plain functions of values: workflow code may call them freely."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from examples.loan_processing.application import LoanApplication, monthly_payment

__all__ = [
    "Assessment",
    "Checks",
    "CreditReport",
    "EmploymentReport",
    "IdentityReport",
    "PropertyReport",
    "Risk",
    "assess",
]


class CreditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the credit bureau knows: a `score` from 300 to 850, and what is paid back every month already."""

    score: int
    monthly_debt: Decimal


class EmploymentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the employer confirms."""

    is_employed: bool
    monthly_income: Decimal


class IdentityReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the applicant is who they say, and whether a sanctions list names them."""

    is_confirmed: bool
    is_sanctioned: bool


class PropertyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the home is worth, and whether others hold claims on it."""

    appraised_value: Decimal
    has_liens: bool


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """The four checks. None: it could not be made, and a person has to look."""

    credit: CreditReport | None
    employment: EmploymentReport | None
    identity: IdentityReport | None
    property: PropertyReport | None


class Risk(StrEnum):
    """How likely it is that the bank loses money. Only `MEDIUM` is decided by a person."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The risk of an application, with what speaks against it in words."""

    risk: Risk
    reasons: tuple[str, ...]


LOWEST_SCORE: Final = 580
GOOD_SCORE: Final = 680
LARGEST_SHARE_OF_INCOME: Final = Decimal("0.55")
GOOD_SHARE_OF_INCOME: Final = Decimal("0.40")
LARGEST_SHARE_OF_VALUE: Final = Decimal("0.95")
GOOD_SHARE_OF_VALUE: Final = Decimal("0.80")


def assess(application: LoanApplication, checks: Checks) -> Assessment:
    """Weigh what the checks found: one grave finding makes the risk high, one doubt medium."""
    if grave := tuple(_grave_findings(application, checks)):
        return Assessment(risk=Risk.HIGH, reasons=grave)
    if doubts := tuple(_doubts(application, checks)):
        return Assessment(risk=Risk.MEDIUM, reasons=doubts)
    return Assessment(risk=Risk.LOW, reasons=())


def _grave_findings(application: LoanApplication, checks: Checks) -> Iterator[str]:
    if checks.identity is not None and checks.identity.is_sanctioned:
        yield "the applicant is on a sanctions list"
    if checks.identity is not None and not checks.identity.is_confirmed:
        yield "the identity could not be confirmed"
    if checks.employment is not None and not checks.employment.is_employed:
        yield f"{application.applicant.employer} does not employ the applicant"
    if checks.credit is not None and checks.credit.score < LOWEST_SCORE:
        yield f"the credit score is {checks.credit.score}; we need {LOWEST_SCORE}"
    if (share := _share_of_income(application, checks)) > LARGEST_SHARE_OF_INCOME:
        yield f"all loans together would take {share:.0%} of the income; we allow {LARGEST_SHARE_OF_INCOME:.0%}"
    if (share := _share_of_value(application, checks)) > LARGEST_SHARE_OF_VALUE:
        yield f"the loan is {share:.0%} of what the home is worth; we lend {LARGEST_SHARE_OF_VALUE:.0%}"


def _doubts(application: LoanApplication, checks: Checks) -> Iterator[str]:
    for name in checks.__struct_fields__:
        if getattr(checks, name) is None:
            yield f"the {name} check could not be made"
    if checks.credit is not None and checks.credit.score < GOOD_SCORE:
        yield f"the credit score is {checks.credit.score}"
    if (share := _share_of_income(application, checks)) > GOOD_SHARE_OF_INCOME:
        yield f"all loans together would take {share:.0%} of the income"
    if (share := _share_of_value(application, checks)) > GOOD_SHARE_OF_VALUE:
        yield f"the loan is {share:.0%} of what the home is worth"
    if checks.property is not None and checks.property.has_liens:
        yield "others hold claims on the home"


def _share_of_income(application: LoanApplication, checks: Checks) -> Decimal:
    """Return the part of the income that goes into loans, as far as it is known; without an income all of it."""
    debt = checks.credit.monthly_debt if checks.credit else Decimal(0)
    income = checks.employment.monthly_income if checks.employment else application.applicant.monthly_income
    return (debt + monthly_payment(application.amount, application.years)) / income if income else Decimal(1)


def _share_of_value(application: LoanApplication, checks: Checks) -> Decimal:
    """Return the loan as a part of the home's value: the price, where nobody has appraised it."""
    return application.amount / (checks.property.appraised_value if checks.property else application.home.price)
