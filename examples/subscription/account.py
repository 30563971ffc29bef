"""What a customer subscribes to and may ask for, and the account that a subscription's run keeps about it."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from perdure import Query, Signal

__all__ = [
    "GRACE_DAYS",
    "PERIOD_DAYS",
    "PRICES",
    "Account",
    "Bill",
    "Cancel",
    "ChangePaymentMethod",
    "ChangePlan",
    "Plan",
    "Request",
    "Status",
    "Subscription",
    "account_now",
    "requests",
]

PERIOD_DAYS: Final = 30

GRACE_DAYS: Final = (1, 3, 5)
"""After a payment that failed: how many days until each further try. After the last one nobody waits any more."""


class Plan(StrEnum):
    """What can be subscribed to."""

    BASIC = "basic"
    FAMILY = "family"


PRICES: Final = {Plan.BASIC: Decimal("7.99"), Plan.FAMILY: Decimal("13.99")}
"""What thirty days cost, in euros."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer has signed. `periods`: it ends by itself after so many; None: it goes on until somebody ends it.

    `day`: how long a day takes. Shorter ones make a life that can be watched.
    """

    id: str
    email: str
    plan: Plan
    payment_method: str
    periods: int | None = None
    day: timedelta = timedelta(days=1)


class Status(StrEnum):
    """Where a subscription stands; the last four are ends."""

    CREATED = "created"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    NEVER_ACTIVATED = "never_activated"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    RENEWAL_FAILED = "renewal_failed"


class Account(msgspec.Struct, kw_only=True):
    """All that a subscription's run has to remember: it is handed from each generation of the run to the next.

    `paid_until` is None before the first payment. `is_cancelled`: it ends when what is paid for is over.
    """

    plan: Plan
    payment_method: str
    status: Status = Status.CREATED
    periods_paid: int = 0
    paid_until: datetime | None = None
    is_cancelled: bool = False


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid for one `period` (from 1). `reminders`: how often it was asked for in vain."""

    subscription_id: str
    period: int
    price: Decimal
    payment_method: str
    reminders: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """End the subscription with the period that is paid for."""

    reason: str = ""


class ChangePlan(msgspec.Struct, frozen=True, kw_only=True, tag="change_plan"):
    """Have another plan from the next renewal on."""

    plan: Plan


class ChangePaymentMethod(msgspec.Struct, frozen=True, kw_only=True, tag="change_payment_method"):
    """Pay otherwise. What is past due is tried at once."""

    payment_method: str


Request = Cancel | ChangePlan | ChangePaymentMethod
"""What a customer may ask for, told apart by the field ``type``."""

requests: Signal[Request] = Signal("requests", Request)
"""The customer asks for something. One kind of signal for all, so that they are taken in the order they came."""


@Query
def account_now() -> Account:
    """Say how the account stands."""
    raise NotImplementedError  # only name and types count
