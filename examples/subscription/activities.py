"""The activities: one call to the outside world each. Their effects have idempotency keys: see `Ledger.record`."""

from datetime import timedelta

from examples.ledger import ledger_from_environment
from examples.subscription.account import Bill, Plan
from examples.subscription.bank import refusal_of
from perdure import NonRetryableError, Retry, activity, exponential

__all__ = ["PaymentRefusedError", "charge", "close_access", "open_access", "tell_customer"]


class PaymentRefusedError(NonRetryableError):
    """The bank says no. Asking again at once changes nothing; the grace period is for that."""


PATIENT = Retry(attempts=5, backoff=exponential(timedelta(milliseconds=300), factor=2))
"""For services that come back: waits of 0.3, 0.6, 1.2 and 2.4 seconds."""

A_MINUTE = timedelta(minutes=1)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def charge(bill: Bill) -> str:
    """Take the money for one period; return the payment's id. Raises PaymentRefusedError."""
    if refusal := refusal_of(bill):
        raise PaymentRefusedError(refusal)
    detail = f"period {bill.period}: {bill.price} EUR by {bill.payment_method}"
    return await ledger_from_environment().record("charge", bill.subscription_id, detail)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def open_access(subscription_id: str, plan: Plan) -> str:
    """Let the customer in, with what the plan holds."""
    return await ledger_from_environment().record("open", subscription_id, plan)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def close_access(subscription_id: str) -> str:
    """Let the customer in no more."""
    return await ledger_from_environment().record("close", subscription_id)


@activity(retry=PATIENT, timeout=A_MINUTE)
async def tell_customer(subscription_id: str, email: str, text: str) -> str:
    """Send a message; return its id."""
    return await ledger_from_environment().record("message", subscription_id, f"to {email}: {text}")
