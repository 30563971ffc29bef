"""A subscription's life, read from top to bottom. Every `await` may take weeks, and outlive the process that began it.

A generation of the run is a year at most: then it continues as new with the account, so that its history stays short
however long the customer stays.
"""

from datetime import datetime, timedelta
from typing import Final

from examples.subscription.account import (
    GRACE_DAYS,
    PERIOD_DAYS,
    PRICES,
    Account,
    Bill,
    Cancel,
    ChangePaymentMethod,
    ChangePlan,
    Request,
    Status,
    Subscription,
    account_now,
    requests,
)
from examples.subscription.activities import charge, close_access, open_access, tell_customer
from perdure import ActivityError, Context, workflow

__all__ = ["subscribe"]

PERIODS_PER_GENERATION: Final = 12

FAREWELLS: Final = {
    Status.NEVER_ACTIVATED: "Your first payment failed: there is no subscription.",
    Status.COMPLETED: "Your subscription has come to its end. Thank you!",
    Status.CANCELLED: "Your subscription has ended as you wished.",
    Status.RENEWAL_FAILED: "We could not collect your payment: your subscription has ended.",
}


@workflow
async def subscribe(ctx: Context, subscription: Subscription, account: Account | None = None) -> Account:
    """Serve a subscription to its end, and return the account as it stands then."""
    account = account or Account(plan=subscription.plan, payment_method=subscription.payment_method)
    ctx.query(account_now)(lambda: account)
    if account.status is Status.CREATED and not await activate(ctx, subscription, account):
        return await close(ctx, subscription, account, Status.NEVER_ACTIVATED)
    for _ in range(PERIODS_PER_GENERATION):
        await serve_period(ctx, account)
        if account.is_cancelled:
            return await close(ctx, subscription, account, Status.CANCELLED)
        if account.periods_paid == subscription.periods:
            return await close(ctx, subscription, account, Status.COMPLETED)
        status = await renew(ctx, subscription, account)
        if status is not Status.ACTIVE:
            return await close(ctx, subscription, account, status)
    return ctx.continue_as_new(subscription, account)


async def activate(ctx: Context, subscription: Subscription, account: Account) -> bool:
    """Take the first payment and let the customer in; return whether it was paid."""
    if not await pay(ctx, subscription, account, reminders=0):
        return False
    await open_access(subscription.id, account.plan)
    return True


async def serve_period(ctx: Context, account: Account) -> None:
    """Do what the customer asks for until the paid period is over."""
    while (request := await next_request(ctx, until=account.paid_until or ctx.now())) is not None:
        grant(ctx, account, request)


async def renew(ctx: Context, subscription: Subscription, account: Account) -> Status:
    """Take the payment for the next period, trying again during the grace period; return how the subscription stands.

    A customer who cancels during the grace period need not pay any more.
    """
    if await pay(ctx, subscription, account, reminders=0):
        return Status.ACTIVE
    account.status = Status.PAST_DUE
    for reminders, days in enumerate(GRACE_DAYS, start=1):
        await tell_customer(subscription.id, subscription.email, f"Your payment failed. Next try: in {days} d.")
        await wait_in_grace(ctx, account, until=ctx.now() + days * subscription.day)
        if account.is_cancelled:
            return Status.CANCELLED
        if await pay(ctx, subscription, account, reminders=reminders):
            return Status.ACTIVE
    ctx.trace_event("renewal_failed", period=str(account.periods_paid + 1))
    return Status.RENEWAL_FAILED


async def pay(ctx: Context, subscription: Subscription, account: Account, *, reminders: int) -> bool:
    """Try to take the payment for the next period; return whether it was paid. The periods follow without gaps."""
    bill = Bill(
        subscription_id=subscription.id,
        period=account.periods_paid + 1,
        price=PRICES[account.plan],
        payment_method=account.payment_method,
        reminders=reminders,
    )
    try:
        await charge(bill)
    except ActivityError:
        ctx.trace_event("payment_failed", period=str(bill.period), reminders=str(reminders))
        return False
    account.status = Status.ACTIVE
    account.periods_paid = bill.period
    account.paid_until = (account.paid_until or ctx.now()) + PERIOD_DAYS * subscription.day
    return True


async def wait_in_grace(ctx: Context, account: Account, *, until: datetime) -> None:
    """Wait for the next try, which comes at once when the customer cancels or pays otherwise."""
    while (request := await next_request(ctx, until=until)) is not None:
        grant(ctx, account, request)
        if not isinstance(request, ChangePlan):
            return


async def next_request(ctx: Context, *, until: datetime) -> Request | None:
    """Return the next thing that the customer asks for, None if there is nothing until then."""
    try:
        return await ctx.wait_for(requests, timeout=max(until - ctx.now(), timedelta(0)))
    except TimeoutError:
        return None


def grant(ctx: Context, account: Account, request: Request) -> None:
    """Do what the customer asks for."""
    match request:
        case Cancel(reason=reason):
            account.is_cancelled = True
            ctx.trace_event("cancelled", reason=reason)
        case ChangePlan(plan=plan):
            account.plan = plan
        case ChangePaymentMethod(payment_method=payment_method):
            account.payment_method = payment_method


async def close(ctx: Context, subscription: Subscription, account: Account, end: Status) -> Account:
    """Let the customer in no more, and say so."""
    account.status = end
    ctx.set_labels(end=end)
    if end is not Status.NEVER_ACTIVATED:
        await close_access(subscription.id)
    await tell_customer(subscription.id, subscription.email, FAREWELLS[end])
    return account
