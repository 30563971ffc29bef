"""Weeks of a loan application in virtual time, and what a person and the world may do to it meanwhile."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from examples.loan_processing.__main__ import DATA
from examples.loan_processing.activities import (
    Contract,
    ask_for_review,
    check_credit,
    check_employment,
    check_identity,
    check_property,
    draw_up_contract,
    pay_out,
    tell_applicant,
    void_contract,
    write_notice,
)
from examples.loan_processing.application import Approved, LoanApplication, Outcome, Rejected
from examples.loan_processing.review import Approve, AskForMore, LoanStatus, documents, loan_status, review
from examples.loan_processing.risk import CreditReport, EmploymentReport, IdentityReport, PropertyReport, Risk
from examples.loan_processing.workflow import process_loan
from perdure import NonRetryableError, Run, RunFailedError
from perdure.testing import EPOCH, TestEnvironment

GOOD, *_ = msgspec.json.decode((DATA / "loans.json").read_bytes(), type=list[LoanApplication])
GOOD_SCORE = 720
DOUBTFUL_SCORE = 640


def play_the_world(env: TestEnvironment, *, score: int = GOOD_SCORE) -> None:
    """Replace what reaches out: the bureaus find a credit score and no fault, and what is asked for is done."""

    async def credit(application: LoanApplication) -> CreditReport:
        return CreditReport(score=score, monthly_debt=Decimal(0))

    async def employment(application: LoanApplication) -> EmploymentReport:
        return EmploymentReport(is_employed=True, monthly_income=application.applicant.monthly_income)

    async def identity(application: LoanApplication) -> IdentityReport:
        return IdentityReport(is_confirmed=True, is_sanctioned=False)

    async def home(application: LoanApplication) -> PropertyReport:
        return PropertyReport(appraised_value=application.home.price, has_liens=False)

    async def sign(application: LoanApplication, monthly_payment: Decimal) -> Contract:
        return Contract(id="contract-1", application_id=application.id, monthly_payment=monthly_payment)

    async def transfer(application: LoanApplication, contract: Contract) -> str:
        return f"payout of {contract.id}"

    async def void(contract: Contract) -> str:
        return f"void {contract.id}"

    async def notice(application: LoanApplication, reasons: tuple[str, ...]) -> str:
        return f"notice: {len(reasons)}"

    async def write(application: LoanApplication, text: str) -> str:
        return text

    env.replace(check_credit, credit)
    env.replace(check_employment, employment)
    env.replace(check_identity, identity)
    env.replace(check_property, home)
    env.replace(draw_up_contract, sign)
    env.replace(pay_out, transfer)
    env.replace(void_contract, void)
    env.replace(write_notice, notice)
    env.replace(ask_for_review, write)
    env.replace(tell_applicant, write)


async def apply(env: TestEnvironment) -> Run[Outcome]:
    return await env.start(process_loan, GOOD, id=GOOD.id)


async def status_of(env: TestEnvironment, run: Run[Outcome]) -> LoanStatus:
    await env.run_until_idle()
    return await run.query(loan_status)


def letters(env: TestEnvironment) -> list[str]:
    return [called.args[1] for called in env.calls(tell_applicant)]


async def test_reviewers_are_reminded_every_three_days(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env, score=DOUBTFUL_SCORE)
    run = await apply(perdure_env)
    await perdure_env.advance(timedelta(days=10))
    asked = perdure_env.calls(ask_for_review)
    assert [(called.at - EPOCH).days for called in asked] == [0, 3, 6, 9]
    assert [called.args[1].partition(":")[0] == "reminder" for called in asked] == [False, True, True, True]
    await run.update(review, Approve(reviewer="anna"))
    assert isinstance(await run.result(), Approved)
    assert perdure_env.now() == EPOCH + timedelta(days=10)


async def test_an_applicant_who_does_not_answer_is_rejected_after_a_fortnight(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env, score=DOUBTFUL_SCORE)
    run = await apply(perdure_env)
    await perdure_env.run_until_idle()
    await run.update(review, AskForMore(reviewer="anna", question="where are the payslips?"))
    outcome = await run.result()
    assert isinstance(outcome, Rejected)
    assert outcome.reasons == ("we got no answer to: where are the payslips?",)
    assert perdure_env.now() == EPOCH + timedelta(days=14)


async def test_a_bureau_that_comes_back_is_asked_again(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env)
    perdure_env.fail_next(check_credit, ConnectionError("no route"), times=2)
    outcome = await (await apply(perdure_env)).result()
    assert isinstance(outcome, Approved)
    assert outcome.reviewer is None
    assert [called.attempt for called in perdure_env.calls(check_credit)] == [1, 2, 3]


async def test_a_bureau_that_stays_away_leaves_the_decision_to_a_person(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env)
    perdure_env.fail_next(check_identity, ConnectionError("no route"), times=None)
    run = await apply(perdure_env)
    await perdure_env.advance(timedelta(minutes=1))
    status = await status_of(perdure_env, run)
    assert status.waits_for == "review"
    assert status.assessment is not None
    assert status.assessment.risk is Risk.MEDIUM
    assert status.assessment.reasons == ("the identity check could not be made",)


async def test_a_contract_whose_money_cannot_be_paid_out_becomes_void(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env)
    perdure_env.fail_next(pay_out, NonRetryableError("the account is closed"))
    run = await apply(perdure_env)
    with pytest.raises(RunFailedError, match="the account is closed"):
        await run.result()
    assert [called.args[0].id for called in perdure_env.calls(void_contract)] == ["contract-1"]
    (letter,) = letters(perdure_env)
    assert letter.startswith("We cannot go on with your application")
    assert "the account is closed" in letter


async def test_a_loan_stands_also_when_no_letter_can_be_sent(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env)
    perdure_env.fail_next(tell_applicant, ConnectionError("no route"), times=None)
    assert isinstance(await (await apply(perdure_env)).result(), Approved)
    assert timedelta(days=1) < perdure_env.now() - EPOCH <= timedelta(days=2)


async def test_a_withdrawn_application_is_not_decided(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env, score=DOUBTFUL_SCORE)
    run = await apply(perdure_env)
    await perdure_env.advance(timedelta(days=1))
    await run.cancel("the applicant has withdrawn")
    await perdure_env.run_until_idle()
    assert (await run.describe()).status == "cancelled"
    assert perdure_env.calls(draw_up_contract) == perdure_env.calls(write_notice) == []


@pytest.mark.perdure_crash_everywhere(passes=30)
async def test_a_review_with_questions_survives_a_death_at_every_step(perdure_env: TestEnvironment) -> None:
    play_the_world(perdure_env, score=DOUBTFUL_SCORE)
    run = await apply(perdure_env)
    await perdure_env.advance(timedelta(days=4))
    await run.update(review, AskForMore(reviewer="anna", question="where are the payslips?"), request_id="ask")
    await perdure_env.advance(timedelta(days=4))
    await run.update(documents, "payslips.pdf", request_id="answer")
    await perdure_env.run_until_idle()
    await run.update(review, Approve(reviewer="bertrand"), request_id="approve")
    outcome = await run.result()
    assert isinstance(outcome, Approved)
    assert outcome.reviewer == "bertrand"
    assert (await run.query(loan_status)).documents == ("payslips.pdf",)
