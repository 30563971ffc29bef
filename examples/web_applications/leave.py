"""The workflow, which knows nothing of the web: leave is counted, decided by a person, and then booked or refused."""

from datetime import date, timedelta

import msgspec

from perdure import Context, Signal, activity, workflow

__all__ = ["DATABASE", "Decision", "LeaveRequest", "decide", "request_leave"]

DATABASE = "PERDURE_URL"
"""The environment variable that says where runs are kept: all processes of a server share one file."""

SATURDAY = 5


class LeaveRequest(msgspec.Struct, frozen=True):
    """Who wants to be away, from the first day to the last, both inclusive."""

    employee: str
    first: date
    last: date


class Decision(msgspec.Struct, frozen=True):
    """What the manager says."""

    is_approved: bool
    by: str


decide = Signal("decide", Decision)


@activity
def count_working_days(first: date, last: date) -> int:
    """Return how many days of leave it takes. A plain `def`: it runs in a thread and does not hold the server up."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return sum(day.weekday() < SATURDAY for day in days)


@workflow(stages=("counting", "decision"))
async def request_leave(ctx: Context, request: LeaveRequest) -> str:
    """Return what the employee is told, days or weeks later."""
    async with ctx.stage("counting"):
        days = await count_working_days(request.first, request.last)
    async with ctx.stage("decision"):
        decision = await ctx.wait_for(decide)
    outcome = "booked" if decision.is_approved else "refused"
    return f"{days} days for {request.employee}: {outcome} by {decision.by}"
