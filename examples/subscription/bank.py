"""The bank, simulated: what a payment method's name says about it decides which payments are refused.

``tok_visa`` always pays, ``tok_expires_in_9`` from the ninth period on never, ``tok_late_in_4`` pays the fourth period
after the second reminder only.
"""

import re

from examples.subscription.account import Bill

__all__ = ["refusal_of"]


def refusal_of(bill: Bill) -> str:
    """Return why a bill is not paid, or an empty string."""
    condition = re.fullmatch(r"tok_(expires|late)_in_(\d+)", bill.payment_method)
    if condition is None:
        return ""
    period = int(condition[2])
    if condition[1] == "expires":
        return "the card has expired" if bill.period >= period else ""
    return "insufficient funds" if bill.period == period and bill.reminders < 2 else ""  # noqa: PLR2004 - told above
