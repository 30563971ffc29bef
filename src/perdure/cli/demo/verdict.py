"""The end of the demonstration: how each order ended, and whether that is what had to happen."""

from collections.abc import Mapping, Sequence

import msgspec

from perdure.cli.demo.observation import Destination
from perdure.cli.demo.services_census import ServicesCensus
from perdure.cli.run_report import RunReport
from perdure.kernel.transition import RunStatus

__all__ = ["Finding", "Kill", "OrderResult", "Verdict", "judge"]


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """The death of a worker: with how many orders under way, and calls made whose answer it did not live to record.

    `connections_cut_off`: how many of another worker the database server ended then; None: there is none that could.
    """

    process: int
    orders_under_way: int
    calls_cut_off: int
    charges_before: int
    connections_cut_off: int | None = None


class OrderResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an order ended.

    `result`: ``completed``; ``refunded`` (the money was taken and given back); ``rejected`` (no money was taken);
    ``unfinished`` or ``broken``, which must not be. `attempts` counts all attempts of its activities, `retries` those
    made again after a failure. `seconds`: from its start to its end. `reason`: why it was not delivered.
    """

    id: str
    destination: str
    result: str
    stage: str
    attempts: int
    retries: int
    refunded: bool
    recovered: bool
    seconds: float
    reason: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that had to hold, and the count that shows whether it does."""

    holds: bool
    text: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is printed at the end."""

    orders: tuple[OrderResult, ...]
    findings: tuple[Finding, ...]
    kill: Kill | None
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether everything happened as it had to."""
        return all(finding.holds for finding in self.findings)

    def count(self, result: str) -> int:
        """Return how many orders ended so."""
        return sum(order.result == result for order in self.orders)


def judge(
    destinations: Sequence[Destination],
    reports: dict[str, RunReport],
    census: ServicesCensus,
    *,
    kill: Kill | None,
    exit_codes: Sequence[int | None],
    seconds: float,
) -> Verdict:
    """Hold what the runs say against what the services have seen."""
    orders = tuple(_result(destination, reports.get(destination.id)) for destination in destinations)
    return Verdict(
        orders=orders,
        findings=(
            *_findings_on_ends(orders, kill=kill, exit_codes=exit_codes),
            *_findings_on_effects(orders, census),
        ),
        kill=kill,
        seconds=seconds,
    )


def _result(destination: Destination, report: RunReport | None) -> OrderResult:
    if report is None:
        return OrderResult(
            id=destination.id, destination=str(destination), result="unfinished", stage="", attempts=0, retries=0,
            refunded=False, recovered=False, seconds=0.0, reason="never started",
        )  # fmt: skip
    summary = report.summary
    is_refunded = "refund_payment" in report.undone
    microseconds = (summary.closed_at or summary.updated_at) - summary.created_at
    failure = report.last_failure
    return OrderResult(
        id=destination.id,
        destination=str(destination),
        result=_result_word(summary.status, is_refunded=is_refunded),
        stage=report.stage_reached,
        attempts=report.attempts,
        retries=report.retries,
        refunded=is_refunded,
        recovered=report.state.recoveries > 0,
        seconds=microseconds / 1_000_000,
        reason="" if summary.status is RunStatus.COMPLETED or failure is None else failure.failure.message,
    )


def _result_word(status: RunStatus, *, is_refunded: bool) -> str:
    if status is RunStatus.COMPLETED:
        return "completed"
    if status is RunStatus.FAILED:
        return "refunded" if is_refunded else "rejected"
    return "broken" if status.is_closed else "unfinished"


def _findings_on_ends(
    orders: Sequence[OrderResult], *, kill: Kill | None, exit_codes: Sequence[int | None]
) -> list[Finding]:
    ended = sum(order.result in {"completed", "refunded", "rejected"} for order in orders)
    recovered = sum(order.recovered for order in orders)
    killed = 0 if kill is None else 1
    under_way = 0 if kill is None else kill.orders_under_way
    return [
        Finding(holds=ended == len(orders), text=f"{ended} of {len(orders)} orders ended as orders end"),
        Finding(
            holds=killed == 1 and under_way > 0,
            text=f"the worker was killed {'once' if killed else 'never'}, with {under_way} orders under way",
        ),
        *_findings_on_cuts(kill),
        Finding(holds=recovered > 0, text=f"{recovered} orders were recovered by another worker"),
        Finding(
            holds=bool(exit_codes) and set(exit_codes) == {0},
            text=f"what worked then ended by itself (exit code {', '.join(map(str, exit_codes))})",
        ),
    ]


def _findings_on_cuts(kill: Kill | None) -> list[Finding]:
    if kill is None or kill.connections_cut_off is None:
        return []
    count = kill.connections_cut_off
    return [Finding(holds=count > 0, text=f"{count} connections of another worker were ended by the server meanwhile")]


def _findings_on_effects(orders: Sequence[OrderResult], census: ServicesCensus) -> list[Finding]:
    delivered = {order.id for order in orders if order.result == "completed"}
    refunded = {order.id for order in orders if order.result == "refunded"}
    charged_twice = _doubled(census.charges)
    sent_twice = _doubled(census.shipments)
    told_twice = _doubled(census.messages)
    refunded_twice = _doubled(census.refunds)
    wrongly_charged = len(set(census.charges) ^ (delivered | refunded))
    wrongly_refunded = len(set(census.refunds) ^ refunded)
    wrongly_sent = len(set(census.shipments) ^ delivered)
    return [
        Finding(
            holds=not charged_twice and not wrongly_charged,
            text=f"{sum(census.charges.values())} charges: {charged_twice} customers charged twice, "
            f"{wrongly_charged} wrongly or not at all",
        ),
        Finding(
            holds=not refunded_twice and not wrongly_refunded,
            text=f"{sum(census.refunds.values())} refunds: {refunded_twice} made twice, "
            f"{wrongly_refunded} not due or missing",
        ),
        Finding(
            holds=not sent_twice and not wrongly_sent,
            text=f"{sum(census.shipments.values())} parcels: {sent_twice} sent twice, "
            f"{wrongly_sent} wrongly or missing",
        ),
        Finding(
            holds=not told_twice,
            text=f"{sum(census.messages.values())} messages: {told_twice} customers told twice",
        ),
        Finding(
            holds=True,
            text=f"{census.calls} calls: {census.repeated_calls} came again under a known key and had no second effect",
        ),
    ]


def _doubled(counts: Mapping[str, int]) -> int:
    return sum(count > 1 for count in counts.values())
