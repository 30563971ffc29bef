"""Five years of a subscription, in virtual time, and with a death of the process at every step."""

from datetime import timedelta

import msgspec
import pytest

from examples.subscription.account import (
    PERIOD_DAYS,
    PRICES,
    Account,
    Bill,
    Cancel,
    ChangePaymentMethod,
    ChangePlan,
    Plan,
    Request,
    Status,
    Subscription,
    account_now,
    requests,
)
from examples.subscription.activities import PaymentRefusedError, charge, close_access, open_access, tell_customer
from examples.subscription.bank import refusal_of
from examples.subscription.customers import Act, play_customer
from examples.subscription.workflow import subscribe
from perdure import Run
from perdure.testing import EPOCH, TestEnvironment

PERIOD = timedelta(days=PERIOD_DAYS)
FIVE_YEARS = 61
"""So many periods: 1830 days."""
SIGNED = Subscription(
    id="sub-1", email="hanna.weiss@example.de", plan=Plan.BASIC, payment_method="tok_visa", periods=FIVE_YEARS
)


def play_the_world(env: TestEnvironment) -> None:
    """Replace what reaches out: the bank decides as in the example, the rest agrees."""

    async def bank(bill: Bill) -> str:
        if refusal := refusal_of(bill):
            raise PaymentRefusedError(refusal)
        return f"payment-{bill.period}"

    async def let_in(subscription_id: str, plan: Plan) -> str:
        return f"{subscription_id} {plan}"

    async def shut_out(subscription_id: str) -> str:
        return subscription_id

    async def write(subscription_id: str, email: str, text: str) -> str:
        return f"{subscription_id} {email} {text}"

    env.replace(charge, bank)
    env.replace(open_access, let_in)
    env.replace(close_access, shut_out)
    env.replace(tell_customer, write)


async def sign(env: TestEnvironment, **changes: object) -> Run[Account]:
    play_the_world(env)
    subscription = msgspec.structs.replace(SIGNED, **changes)
    return await env.start(subscribe, subscription, None, id=subscription.id)


def bills_of(env: TestEnvironment) -> list[tuple[int, int]]:
    """Return which period was asked for on which day."""
    return [(called.args[0].period, (called.at - EPOCH).days) for called in env.calls(charge)]


def messages_of(env: TestEnvironment) -> list[str]:
    return [called.args[2] for called in env.calls(tell_customer)]


async def test_five_years_pass_without_drift(perdure_env: TestEnvironment) -> None:
    account = await (await sign(perdure_env)).result()
    assert (account.status, account.periods_paid) == (Status.COMPLETED, FIVE_YEARS)
    assert account.paid_until == perdure_env.now() == EPOCH + FIVE_YEARS * PERIOD
    assert bills_of(perdure_env) == [(period, 30 * (period - 1)) for period in range(1, FIVE_YEARS + 1)]


async def test_a_history_stays_short_however_long_the_customer_stays(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env)
    longest = 0
    for _ in range(FIVE_YEARS - 1):
        await perdure_env.advance(PERIOD)
        longest = max(longest, (await run.describe()).sequence)
    assert (await run.describe()).ref.generation == 6
    assert longest < 80


async def test_a_late_payment_moves_no_period(perdure_env: TestEnvironment) -> None:
    account = await (await sign(perdure_env, payment_method="tok_late_in_4", periods=6)).result()
    assert bills_of(perdure_env) == [(1, 0), (2, 30), (3, 60), (4, 90), (4, 91), (4, 94), (5, 120), (6, 150)]
    assert account.paid_until == EPOCH + 6 * PERIOD
    assert messages_of(perdure_env)[:2] == [
        "Your payment failed. Next try: in 1 d.",
        "Your payment failed. Next try: in 3 d.",
    ]


async def test_who_does_not_pay_is_let_in_until_the_grace_period_is_over(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env, payment_method="tok_expires_in_3")
    await perdure_env.advance(timedelta(days=60 + 8))
    assert (await run.query(account_now)).status is Status.PAST_DUE
    assert perdure_env.calls(close_access) == []
    assert (await run.result()).status is Status.RENEWAL_FAILED
    assert bills_of(perdure_env)[2:] == [(3, 60), (3, 61), (3, 64), (3, 69)]
    assert perdure_env.now() == EPOCH + timedelta(days=69)


async def test_another_payment_method_is_tried_at_once(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env, payment_method="tok_expires_in_3", periods=3)
    await perdure_env.advance(timedelta(days=62))
    await run.signal(requests, ChangePaymentMethod(payment_method="tok_visa"))
    account = await run.result()
    assert (account.status, account.paid_until) == (Status.COMPLETED, EPOCH + 3 * PERIOD)
    assert bills_of(perdure_env)[2:] == [(3, 60), (3, 61), (3, 62)]


async def test_who_cancels_keeps_what_is_paid_for(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env)
    await perdure_env.advance(timedelta(days=40))
    await run.signal(requests, Cancel(reason="moving abroad"))
    assert (await run.result()).status is Status.CANCELLED
    assert perdure_env.now() == EPOCH + 2 * PERIOD
    assert bills_of(perdure_env) == [(1, 0), (2, 30)]


async def test_who_cancels_in_the_grace_period_pays_no_more(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env, payment_method="tok_expires_in_2")
    await perdure_env.advance(timedelta(days=32))
    for request in (ChangePlan(plan=Plan.FAMILY), Cancel()):  # a change of plan alone is no reason to ask again
        await run.signal(requests, request)
    assert (await run.result()).status is Status.CANCELLED
    assert bills_of(perdure_env) == [(1, 0), (2, 30), (2, 31)]
    assert perdure_env.now() == EPOCH + timedelta(days=32)


async def test_a_change_of_plan_counts_from_the_next_bill_and_over_the_years(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env, periods=20)
    await perdure_env.advance(timedelta(days=10))
    await run.signal(requests, ChangePlan(plan=Plan.FAMILY))
    await run.result()
    prices = [called.args[0].price for called in perdure_env.calls(charge)]
    assert prices == [PRICES[Plan.BASIC], *[PRICES[Plan.FAMILY]] * 19]


@pytest.mark.parametrize("day", [0, 1, 359, 360, 361])
async def test_a_customer_is_heard_also_where_a_generation_ends(perdure_env: TestEnvironment, day: int) -> None:
    acts: tuple[Act, ...] = (Act(day=day, request=Cancel()),)
    run = await sign(perdure_env)
    await perdure_env.start(play_customer, "sub-1", acts, timedelta(days=1), id="customer")
    account = await run.result()
    assert account.status is Status.CANCELLED
    paid_before, paid_after = max(day - 1, 0) // PERIOD_DAYS + 1, day // PERIOD_DAYS + 1
    assert account.periods_paid in {paid_before, paid_after}  # on day 360 both are due: one comes first


async def test_a_subscription_that_has_ended_takes_no_requests(perdure_env: TestEnvironment) -> None:
    requested: tuple[Request, ...] = (Cancel(), Cancel())
    run = await sign(perdure_env, periods=1)
    acts = tuple(Act(day=40 * number, request=request) for number, request in enumerate(requested, start=1))
    customer = await perdure_env.start(play_customer, "sub-1", acts, timedelta(days=1), id="customer")
    assert (await run.result()).status is Status.COMPLETED
    await customer.result()


@pytest.mark.perdure_crash_everywhere(passes=10)
async def test_five_years_end_the_same_wherever_the_process_dies(perdure_env: TestEnvironment) -> None:
    account = await (await sign(perdure_env, payment_method="tok_late_in_17")).result()
    assert (account.status, account.periods_paid) == (Status.COMPLETED, FIVE_YEARS)
    assert account.paid_until == perdure_env.now() == EPOCH + FIVE_YEARS * PERIOD
    assert {period for period, _ in bills_of(perdure_env)} == set(range(1, FIVE_YEARS + 1))


@pytest.mark.perdure_crash_everywhere(passes=10)
async def test_a_troubled_year_survives_a_death_at_every_step(perdure_env: TestEnvironment) -> None:
    run = await sign(perdure_env, payment_method="tok_late_in_4")
    await perdure_env.advance(timedelta(days=100))
    await run.signal(requests, ChangePlan(plan=Plan.FAMILY), request_id="change")
    await perdure_env.advance(timedelta(days=280))
    await run.signal(requests, Cancel(reason="moving abroad"), request_id="cancel")
    account = await run.result()
    assert (account.status, account.plan, account.periods_paid) == (Status.CANCELLED, Plan.FAMILY, 13)
