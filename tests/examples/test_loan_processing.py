import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from examples.ledger import LEDGER_FILE, Effect, Ledger
from examples.loan_processing import workflow
from examples.loan_processing.__main__ import DATA, give_review, process_loans, send_documents
from examples.loan_processing.application import Approved, LoanApplication, Rejected, monthly_payment, problems_of
from examples.loan_processing.bureaus import BUREAUS_FILE, Bureaus
from examples.loan_processing.review import Approve, AskForMore, Reject, Review, loan_status, review
from examples.loan_processing.risk import Assessment, Checks, Risk, assess
from examples.loan_processing.workflow import process_loan
from perdure import Engine, NonRetryableError, Run, RunFailedError, UpdateRejectedError
from tests.examples.programs import kill_when, run_program, start_program

APPLICATIONS = {
    application.id: application
    for application in msgspec.json.decode((DATA / "loans.json").read_bytes(), type=list[LoanApplication])
}
BUREAUS = msgspec.json.decode((DATA / "bureaus.json").read_bytes(), type=Bureaus)
APPROVED = {"loan-1001", "loan-1002", "loan-1011"}
REVIEWED = {"loan-1003", "loan-1004", "loan-1009"}
REJECTED = {"loan-1005", "loan-1006", "loan-1008", "loan-1010"}
INVALID = {"loan-1007", "loan-1012"}
GOOD = APPLICATIONS["loan-1001"]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(LEDGER_FILE, str(tmp_path / "ledger.db"))
    monkeypatch.setenv(BUREAUS_FILE, str(DATA / "bureaus.json"))
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'loans.db'}"


def subjects(effects: list[Effect], kind: str) -> list[str]:
    """Return whom a kind of effect concerned, once for each time it happened."""
    return sorted(effect.subject for effect in effects if effect.kind == kind)


def effects_on(ledger: Ledger, application_id: str) -> list[str]:
    return [effect.kind for effect in ledger.effects() if effect.subject == application_id]


async def test_every_application_ends_or_waits_as_its_data_says(ledger: Ledger, database: str) -> None:
    states = await process_loans(list(APPLICATIONS.values()), database=database)
    assert {name for name, state in states.items() if state.startswith("approved")} == APPROVED
    assert {name for name, state in states.items() if state.startswith("waits for review")} == REVIEWED
    assert {name for name, state in states.items() if state.startswith("rejected")} == REJECTED
    assert {name for name, state in states.items() if state.startswith("not processed")} == INVALID
    assert "not of age" in states["loan-1007"]
    effects = ledger.effects()
    assert subjects(effects, "contract") == subjects(effects, "payout") == sorted(APPROVED)
    assert subjects(effects, "notice") == sorted(REJECTED)
    assert subjects(effects, "review_request") == sorted(REVIEWED)
    assert subjects(effects, "message") == sorted(APPROVED | REJECTED | INVALID)


async def test_processing_the_same_applications_again_does_nothing_twice(ledger: Ledger, database: str) -> None:
    first = await process_loans(list(APPLICATIONS.values()), database=database)
    happened = ledger.effects()
    assert await process_loans(list(APPLICATIONS.values()), database=database) == first
    assert ledger.effects() == happened


@pytest.mark.usefixtures("ledger")
async def test_the_four_checks_are_made_side_by_side() -> None:
    async with Engine("memory:") as engine:
        run = await engine.start(process_loan, GOOD, id=GOOD.id)
        await run.result()
        kinds = [recorded.type async for recorded in run.history()]
    assert "".join(kind[0] for kind in kinds if kind in {"activity_scheduled", "stage_started"}) == "sasaaaasssa"


async def waiting_for_review(engine: Engine, application_id: str = "loan-1003") -> Run[Approved | Rejected]:
    run = await engine.start(process_loan, APPLICATIONS[application_id], id=application_id)
    async for _ in run.watch():
        if (await run.query(loan_status)).waits_for == "review":
            break
    return run


async def test_a_reviewer_approves(ledger: Ledger) -> None:
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        await run.update(review, Approve(reviewer="anna"))
        outcome = await run.result()
        assert (await run.describe()).labels["risk"] == "medium"
    assert isinstance(outcome, Approved)
    assert outcome.reviewer == "anna"
    assert effects_on(ledger, run.id) == ["review_request", "contract", "payout", "message"]


async def test_a_reviewer_rejects_and_the_applicant_is_told_why(ledger: Ledger) -> None:
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        await run.update(review, Reject(reviewer="anna", reason="the payslips are not plausible"))
        outcome = await run.result()
    assert outcome == Rejected(
        notice_id=next(effect.id for effect in ledger.effects() if effect.kind == "notice"),
        reasons=("the payslips are not plausible",),
        reviewer="anna",
    )
    assert "not plausible" in ledger.effects()[-1].detail


async def test_a_reviewer_asks_for_more_and_decides_when_it_has_come(ledger: Ledger, database: str) -> None:
    await process_loans([APPLICATIONS["loan-1009"]], database=database)
    question = AskForMore(reviewer="anna", question="who holds the claims?")
    assert "documents" in await give_review("loan-1009", question, database=database)
    assert "review" in await send_documents("loan-1009", "land-register.pdf", database=database)
    state = await give_review("loan-1009", Approve(reviewer="bertrand"), database=database)
    assert state.startswith("approved")
    kinds = ["review_request", "message", "review_request", "contract", "payout", "message"]
    assert effects_on(ledger, "loan-1009") == kinds
    details = [effect.detail for effect in ledger.effects()]
    assert details[1] == "who holds the claims?"
    assert details[2] == "land-register.pdf has arrived: who holds the claims?"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (Approve(reviewer="Ingrid Solheim"), "may not decide"),
        (Approve(reviewer=""), "may not decide"),
        (Reject(reviewer="anna", reason=""), "told why"),
        (AskForMore(reviewer="anna", question=""), "told why"),
    ],
)
@pytest.mark.usefixtures("ledger")
async def test_a_review_that_breaks_the_rules_is_rejected(given: Review, problem: str) -> None:
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        with pytest.raises(UpdateRejectedError, match=problem):
            await run.update(review, given)
        assert (await run.query(loan_status)).waits_for == "review"
        await run.cancel()


@pytest.mark.usefixtures("ledger")
async def test_a_review_is_rejected_while_nobody_is_asked_for_one() -> None:
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        await run.update(review, AskForMore(reviewer="anna", question="who holds the claims?"))
        with pytest.raises(UpdateRejectedError, match="does not wait for a review"):
            await run.update(review, Approve(reviewer="anna"))
        await run.cancel()


@pytest.mark.usefixtures("ledger")
async def test_of_two_reviews_at_once_one_counts() -> None:
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        given = [run.update(review, Reject(reviewer=name, reason=f"{name} says so")) for name in ("anna", "bertrand")]
        answers = await asyncio.gather(*given, return_exceptions=True)
        outcome = await run.result()
    assert isinstance(outcome, Rejected)
    assert [type(answer) for answer in answers].count(UpdateRejectedError) == 1
    assert outcome.reviewer == ("bertrand" if answers[1] is None else "anna")


async def test_a_review_that_comes_while_a_reminder_is_sent_counts_and_no_other(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reminded, reviewed = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(workflow, "REMINDER_AFTER", timedelta(0))
    monkeypatch.setattr(Ledger, "record", held_up_by("reminder: ", reached=reminded, until=reviewed))
    async with Engine("memory:") as engine:
        run = await engine.start(process_loan, APPLICATIONS["loan-1003"], id="loan-1003")
        await reminded.wait()
        await run.update(review, Approve(reviewer="anna"))
        with pytest.raises(UpdateRejectedError, match="does not wait for a review"):
            await run.update(review, Reject(reviewer="bertrand", reason="too late"))
        reviewed.set()
        assert isinstance(await run.result(), Approved)
        assert (await run.query(loan_status)).waits_for is None
    assert effects_on(ledger, run.id) == ["review_request", "review_request", "contract", "payout", "message"]


def held_up_by(text: str, *, reached: asyncio.Event, until: asyncio.Event) -> Callable[..., Awaitable[str]]:
    """Return a `Ledger.record` that waits with what begins so."""
    record = Ledger.record

    async def record_later(ledger: Ledger, kind: str, subject: str, detail: str = "") -> str:
        if detail.startswith(text):
            reached.set()
            await until.wait()
        return await record(ledger, kind, subject, detail)

    return record_later


@pytest.mark.usefixtures("ledger")
async def test_an_applicant_who_does_not_answer_is_rejected_and_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workflow, "DOCUMENTS_WITHIN", timedelta(0))
    async with Engine("memory:") as engine:
        run = await waiting_for_review(engine)
        await run.update(review, AskForMore(reviewer="anna", question="who holds the claims?"))
        outcome = await run.result()
        assert (await run.query(loan_status)).waits_for is None
    assert isinstance(outcome, Rejected)
    assert outcome.reasons == ("we got no answer to: who holds the claims?",)


@pytest.mark.usefixtures("ledger")
async def test_a_contract_whose_money_cannot_be_paid_out_becomes_void(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Ledger.record

    async def record_no_payout(ledger: Ledger, kind: str, subject: str, detail: str = "") -> str:
        if kind == "payout":
            raise NonRetryableError("the account is closed")
        return await record(ledger, kind, subject, detail)

    monkeypatch.setattr(Ledger, "record", record_no_payout)
    async with Engine("memory:") as engine:
        run = await engine.start(process_loan, GOOD, id=GOOD.id)
        with pytest.raises(RunFailedError, match="the account is closed"):
            await run.result()
    assert effects_on(ledger, GOOD.id) == ["contract", "void", "message"]
    assert "the account is closed" in ledger.effects()[-1].detail


def test_applications_survive_kills_of_their_program(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    applications = [
        msgspec.structs.replace(application, id=f"{name}-{copy}")
        for copy in range(10)
        for name, application in APPLICATIONS.items()
    ]
    (tmp_path / "loans.json").write_bytes(msgspec.json.encode(applications))
    arguments = ("--db", f"sqlite:///{tmp_path / 'loans.db'}", "--ledger", str(tmp_path / "ledger.db"))
    program = "examples.loan_processing"
    for count in (5, 60, 120):
        process = start_program(program, *arguments, "process", str(tmp_path / "loans.json"), directory=tmp_path)
        kill_when(process, has_effects(ledger, count))
    printed = run_program(program, *arguments, "process", str(tmp_path / "loans.json"), directory=tmp_path)
    assert printed.count("waits for review") == 30
    printed = run_program(program, *arguments, "review", "loan-1003-7", "approve", "--by", "anna", directory=tmp_path)
    assert "loan-1003-7 approved" in printed
    effects = ledger.effects()
    granted = sorted([*(f"{name}-{copy}" for name in APPROVED for copy in range(10)), "loan-1003-7"])
    assert subjects(effects, "contract") == subjects(effects, "payout") == granted
    assert subjects(effects, "notice") == sorted(f"{name}-{copy}" for name in REJECTED for copy in range(10))


def has_effects(ledger: Ledger, count: int) -> Callable[[], bool]:
    return lambda: len(ledger.effects()) >= count


def test_a_review_that_is_rejected_ends_its_command_with_the_reason(tmp_path: Path) -> None:
    arguments = ("--db", f"sqlite:///{tmp_path / 'loans.db'}", "--ledger", str(tmp_path / "ledger.db"))
    program = "examples.loan_processing"
    run_program(program, *arguments, directory=tmp_path)
    printed = run_program(
        program, *arguments, "review", "loan-1003", "reject", "--by", "anna", directory=tmp_path, code=1
    )
    assert printed.endswith("\nrejected: the applicant has to be told why, or what for\n")
    printed = run_program(program, *arguments, "send", "loan-1001", "late.pdf", directory=tmp_path, code=1)
    assert printed.splitlines()[-1].startswith("run default/loan-1001 has ended (completed)")
    printed = run_program(program, *arguments, "send", "loan-1", "late.pdf", directory=tmp_path, code=1)
    assert printed.splitlines()[-1].startswith("there is no run default/loan-1;")


# --- the rules -------------------------------------------------------------------------------------------------------


def checks_of(application: LoanApplication, **changes: object) -> Checks:
    person, home = application.applicant.national_id, application.home.title
    checks = Checks(
        credit=BUREAUS.credit.get(person),
        employment=BUREAUS.employment.get(person),
        identity=BUREAUS.identity.get(person),
        property=BUREAUS.property.get(home),
    )
    return msgspec.structs.replace(checks, **changes)


def test_what_is_good_has_a_low_risk_and_no_reasons() -> None:
    assert assess(GOOD, checks_of(GOOD)) == Assessment(risk=Risk.LOW, reasons=())


@pytest.mark.parametrize("missing", ["credit", "employment", "identity", "property"])
def test_a_check_that_could_not_be_made_is_for_a_person(missing: str) -> None:
    found = assess(GOOD, checks_of(GOOD, **{missing: None}))
    assert found == Assessment(risk=Risk.MEDIUM, reasons=(f"the {missing} check could not be made",))


def test_without_any_check_what_the_applicant_says_is_weighed() -> None:
    nothing = Checks(credit=None, employment=None, identity=None, property=None)
    found = assess(msgspec.structs.replace(GOOD, amount=Decimal(300_000)), nothing)
    assert found.risk is Risk.HIGH
    assert "the loan is 97% of what the home is worth" in found.reasons[0]


@pytest.mark.parametrize(
    ("application_id", "risk", "reason"),
    [
        ("loan-1005", Risk.HIGH, "identity could not be confirmed"),
        ("loan-1006", Risk.HIGH, "sanctions list"),
        ("loan-1008", Risk.HIGH, "does not employ"),
        ("loan-1010", Risk.HIGH, "of the income; we allow 55%"),
        ("loan-1003", Risk.MEDIUM, "credit score is 640"),
        ("loan-1009", Risk.MEDIUM, "others hold claims"),
    ],
)
def test_each_finding_has_its_risk(application_id: str, risk: Risk, reason: str) -> None:
    application = APPLICATIONS[application_id]
    found = assess(application, checks_of(application))
    assert found.risk is risk
    assert any(reason in each for each in found.reasons), found.reasons


def application_like(**changes: object) -> LoanApplication:
    return msgspec.structs.replace(GOOD, **changes)


def applicant_like(**changes: object) -> LoanApplication:
    return application_like(applicant=msgspec.structs.replace(GOOD.applicant, **changes))


@pytest.mark.parametrize(
    ("application", "problem"),
    [
        (application_like(amount=Decimal(0)), "not 0 EUR"),
        (application_like(amount=Decimal(310_001)), "larger than the price"),
        (application_like(years=31), "5 to 30 years, not 31"),
        (applicant_like(monthly_income=Decimal(0)), "pays nothing back"),
        (applicant_like(born=date(2008, 3, 3)), "not of age"),
        (applicant_like(email="nobody"), "no e-mail address"),
    ],
)
def test_each_rule_names_its_problem(application: LoanApplication, problem: str) -> None:
    (found,) = problems_of(application)
    assert problem in found


def test_a_good_application_has_no_problems() -> None:
    assert problems_of(GOOD) == []
    assert problems_of(applicant_like(born=date(2008, 3, 2))) == []  # eighteen on the day it was received


def test_the_monthly_payments_pay_a_loan_back() -> None:
    amount, months = Decimal(200_000), 300
    payment = monthly_payment(amount, 25)
    for _ in range(months):
        amount = amount * (1 + Decimal("0.042") / 12) - payment
    assert abs(amount) < months * Decimal("0.01")
