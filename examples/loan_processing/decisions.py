"""The two decisions, each a workflow of its own: with its own history, and undone by itself when it fails."""

from examples.loan_processing.activities import draw_up_contract, pay_out, write_notice
from examples.loan_processing.application import Approved, LoanApplication, Rejected, monthly_payment
from perdure import Context, workflow

__all__ = ["approve_loan", "reject_loan"]


@workflow(stages=("contract", "payout"))
async def approve_loan(ctx: Context, application: LoanApplication, reviewer: str | None) -> Approved:
    """Sign the contract and pay the money out. A contract whose money cannot be paid out becomes void."""
    async with ctx.stage("contract"):
        contract = await draw_up_contract(application, monthly_payment(application.amount, application.years))
    async with ctx.stage("payout"):
        payout_id = await pay_out(application, contract)
    return Approved(
        contract_id=contract.id,
        payout_id=payout_id,
        monthly_payment=contract.monthly_payment,
        reviewer=reviewer,
    )


@workflow(stages=("notice",))
async def reject_loan(
    ctx: Context, application: LoanApplication, reasons: tuple[str, ...], reviewer: str | None
) -> Rejected:
    """Put the reasons into a notice, as the law asks for."""
    async with ctx.stage("notice"):
        notice_id = await write_notice(application, reasons)
    return Rejected(notice_id=notice_id, reasons=reasons, reviewer=reviewer)
