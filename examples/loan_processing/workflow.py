"""What happens to an application, read from top to bottom. Every `await` may outlive the process that started it."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from examples.loan_processing.activities import (
    ask_for_review,
    check_application,
    check_credit,
    check_employment,
    check_identity,
    check_property,
    tell_applicant,
)
from examples.loan_processing.application import Approved, LoanApplication, Outcome
from examples.loan_processing.decisions import approve_loan, reject_loan
from examples.loan_processing.review import Approve, AskForMore, Reject, Review, ReviewDesk
from examples.loan_processing.risk import Assessment, Checks, Risk, assess
from perdure import ActivityError, ActivityFailedError, ChildRunError, Context, workflow

__all__ = ["process_loan"]

Result = TypeVar("Result")

REMINDER_AFTER = timedelta(days=3)
DOCUMENTS_WITHIN = timedelta(days=14)


@workflow(stages=("validate", "check", "review", "decide", "notify"))
async def process_loan(ctx: Context, application: LoanApplication) -> Outcome:
    """Decide about a loan, and do what follows. Only a medium risk waits for a person."""
    desk = ReviewDesk(application=application)
    desk.open(ctx)
    try:
        async with ctx.stage("validate"):
            await check_application(application)
        async with ctx.stage("check"):
            desk.assessment = assessment = assess(application, await make_checks(application))
            ctx.set_labels(risk=assessment.risk)
        async with ctx.stage("review"):
            decision = await decide(desk, assessment)
        async with ctx.stage("decide"):
            outcome = await carry_out(ctx, application, decision, assessment)
    except ActivityError as error:
        await or_none(tell_applicant(application, f"We cannot go on with your application: {reason_of(error)}."))
        raise
    async with ctx.stage("notify"):
        await or_none(tell_applicant(application, words_for(outcome)))  # a loan stands also when a letter is lost
    return outcome


async def make_checks(application: LoanApplication) -> Checks:
    """Make the four checks side by side. One that cannot be made does not stop the others."""
    credit, employment, identity, home = await asyncio.gather(
        or_none(check_credit(application)),
        or_none(check_employment(application)),
        or_none(check_identity(application)),
        or_none(check_property(application)),
    )
    return Checks(credit=credit, employment=employment, identity=identity, property=home)


async def or_none(call: Awaitable[Result]) -> Result | None:
    """Return what an activity returns, None where it failed for good."""
    try:
        return await call
    except ActivityError:
        return None


async def decide(desk: ReviewDesk, assessment: Assessment) -> Approve | Reject:
    """Return the decision: by the rules where they suffice, by a person where they do not."""
    match assessment.risk:
        case Risk.LOW:
            return Approve(reviewer="")
        case Risk.HIGH:
            return Reject(reviewer="", reason="; ".join(assessment.reasons))
        case Risk.MEDIUM:
            return await decide_by_person(desk, assessment)


async def decide_by_person(desk: ReviewDesk, assessment: Assessment) -> Approve | Reject:
    """Ask for reviews until one decides. Documents that do not come in time are a decision, too."""
    text = "; ".join(assessment.reasons)
    while True:
        given = await review_by_person(desk, text)
        if not isinstance(given, AskForMore):
            return given
        await tell_applicant(desk.application, given.question)
        try:
            with desk.asking_for("documents"):
                async with asyncio.timeout(DOCUMENTS_WITHIN.total_seconds()):
                    name = await desk.next_documents()
        except TimeoutError:
            return Reject(reviewer=given.reviewer, reason=f"we got no answer to: {given.question}")
        text = f"{name} has arrived: {given.question}"


async def review_by_person(desk: ReviewDesk, text: str) -> Review:
    """Ask for a review, and again every three days, until there is one."""
    await ask_for_review(desk.application, text)
    with desk.asking_for("review"):
        while True:
            try:
                async with asyncio.timeout(REMINDER_AFTER.total_seconds()):
                    return await desk.next_review()
            except TimeoutError:
                await ask_for_review(desk.application, f"reminder: {text}")


async def carry_out(
    ctx: Context, application: LoanApplication, decision: Approve | Reject, assessment: Assessment
) -> Outcome:
    """Do what was decided, in a run of its own."""
    reviewer = decision.reviewer or None
    match decision:
        case Approve():
            return await ctx.run_child(approve_loan, application, reviewer, id=f"{application.id}/approval")
        case Reject(reason=reason):
            reasons = assessment.reasons if reviewer is None else (reason,)
            return await ctx.run_child(reject_loan, application, reasons, reviewer, id=f"{application.id}/rejection")


def words_for(outcome: Outcome) -> str:
    """Return what the applicant is told."""
    if isinstance(outcome, Approved):
        return f"Your loan is granted: {outcome.monthly_payment} EUR a month. The money is on its way."
    return f"We cannot grant you this loan: {'; '.join(outcome.reasons)}."


def reason_of(error: ActivityError) -> str:
    """Return in the service's own words why a step failed."""
    return error.failure_message if isinstance(error, ActivityFailedError | ChildRunError) else str(error)
