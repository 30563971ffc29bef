"""Customers that act by themselves, so that there is something to watch: workflows that signal other runs."""

from contextlib import suppress
from datetime import timedelta

import msgspec

from examples.subscription.account import Plan, Request, Subscription, requests
from perdure import Context, RunClosedError, workflow

__all__ = ["Act", "Customer", "play_customer"]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer asks for, and on which day of the subscription."""

    day: int
    request: Request


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as it stands in the example's data, with what its customer will do."""

    id: str
    email: str
    plan: Plan
    payment_method: str
    periods: int | None = None
    acts: tuple[Act, ...] = ()

    def subscription(self, day: timedelta) -> Subscription:
        """Return what the customer signs, where a day takes so long."""
        return Subscription(
            id=self.id,
            email=self.email,
            plan=self.plan,
            payment_method=self.payment_method,
            periods=self.periods,
            day=day,
        )


@workflow
async def play_customer(ctx: Context, subscription_id: str, acts: tuple[Act, ...], day: timedelta) -> None:
    """Ask for one thing after the other, each on its day, while there is a subscription."""
    begun = ctx.now()
    with suppress(RunClosedError):
        for act in acts:
            await ctx.sleep_until(begun + act.day * day)
            await ctx.signal(subscription_id, requests, act.request)
