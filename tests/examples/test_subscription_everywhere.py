"""Five virtual years of a subscription, in which the process dies at every commit and every call of an activity."""

from datetime import timedelta

import pytest

from examples.subscription.account import Bill, Plan, Status, Subscription
from examples.subscription.activities import PaymentRefusedError, charge, close_access, open_access, tell_customer
from examples.subscription.workflow import subscribe
from perdure.testing import EPOCH, TestEnvironment

PERIODS = 60
REFUSED = 17
"""The period whose first payment is refused, so that a reminder follows."""


def play_the_world(env: TestEnvironment) -> None:
    """Let the bank and the post answer without a ledger: each pass begins with an empty one."""

    async def take(bill: Bill) -> str:
        if (bill.period, bill.reminders) == (REFUSED, 0):
            message = "the card has expired"
            raise PaymentRefusedError(message)
        return f"payment-{bill.period}"

    async def admit(subscription_id: str, plan: Plan) -> str:
        return f"{subscription_id} may use {plan}"

    async def shut(subscription_id: str) -> str:
        return f"{subscription_id} may use nothing"

    async def write(subscription_id: str, email: str, text: str) -> str:
        return f"{subscription_id} {email} {len(text)}"

    env.replace(charge, take)
    env.replace(open_access, admit)
    env.replace(close_access, shut)
    env.replace(tell_customer, write)


@pytest.mark.perdure_crash_everywhere
async def test_five_years_of_a_subscription_end_the_same_wherever_the_process_dies(
    perdure_env: TestEnvironment,
) -> None:
    play_the_world(perdure_env)
    ada = Subscription(id="ada", email="ada@example.org", plan=Plan.BASIC, payment_method="card", periods=PERIODS)
    account = await (await perdure_env.start(subscribe, ada, None, id="ada")).result()
    assert (account.status, account.periods_paid) == (Status.COMPLETED, PERIODS)
    assert perdure_env.now() == EPOCH + PERIODS * timedelta(days=30)
    paid = [called.args[0].period for called in perdure_env.calls(charge) if called.args[0].reminders == 0]
    assert sorted(set(paid)) == list(range(1, PERIODS + 1))
