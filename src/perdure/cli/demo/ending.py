"""What the demonstration prints when it is over."""

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from perdure.cli.demo.verdict import Verdict
from perdure.cli.printing import make_console, make_table, print_for_people, shortened, verbatim, words

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["print_verdict", "verdict_for_programs"]

_GONE = "The PostgreSQL server was the demonstration's own and is gone; `perdure dev --postgres` starts one that stays."
_RESULT_STYLES = {"completed": "green", "refunded": "yellow", "rejected": "magenta"}
_REASON_CHARACTERS = 48
_WIDTHS_NEEDED = {"to": 110, "why": 150}


def print_verdict(verdict: Verdict, url: str, services: Path, *, is_kept: bool) -> None:
    """Print the table of the orders, the checks, and where to go on, if the database `is_kept`."""
    findings = [
        words(f"  {'ok  ' if finding.holds else 'FAIL'}  {finding.text}", "" if finding.holds else "bold red")
        for finding in verdict.findings
    ]
    refunded = next((order.id for order in verdict.orders if order.refunded), verdict.orders[0].id)
    commands = [
        f"The runs are in {url}. Try next:",
        f"  export PERDURE_URL={shlex.quote(url)}",
        *(
            f"  {_program()} {command}"
            for command in ("list --status failed", f"show {refunded}", f"history {refunded}", "doctor")
        ),
    ]
    print_for_people(
        _table(verdict),
        words(_summary(verdict), "bold"),
        *findings,
        verbatim(f"Effects were counted in {services}."),
        *map(verbatim, commands if is_kept else [_GONE]),
    )


def _table(verdict: Verdict) -> "Table":
    width = make_console().width
    headings = ["order", "to", "result", "stage", ">attempts", ">retries", "refund", "recovered", ">took", "why"]
    left_out = {heading for heading, needed in _WIDTHS_NEEDED.items() if width < needed}
    table = make_table(*(heading for heading in headings if heading not in left_out))
    for order in verdict.orders:
        cells = {
            "order": words(order.id),
            "to": words(order.destination),
            "result": words(order.result, _RESULT_STYLES.get(order.result, "bold red")),
            "stage": words(order.stage),
            ">attempts": words(str(order.attempts)),
            ">retries": words(str(order.retries)),
            "refund": words("yes" if order.refunded else ""),
            "recovered": words("yes" if order.recovered else ""),
            ">took": words(f"{order.seconds:.1f} s"),
            "why": words(shortened(order.reason, _REASON_CHARACTERS)),
        }
        table.add_row(*(cells[heading] for heading in headings if heading not in left_out))
    return table


def _program() -> str:
    """Return how to call this program again: `uv run` says to what it runs that it did."""
    return "uv run --no-dev perdure" if "UV" in os.environ else "perdure"


def _summary(verdict: Verdict) -> str:
    ends = Counter(order.result for order in verdict.orders)
    parts = [f"{ends[result]} {result}" for result in ("completed", "refunded", "rejected")]
    parts += [f"{count} {result}" for result, count in ends.items() if result in {"unfinished", "broken"}]
    kill = verdict.kill
    death = (
        "The worker was never killed."
        if kill is None
        else (
            f"The worker was killed once, with {kill.orders_under_way} orders under way and {kill.calls_cut_off} calls "
            f"without an answer."
        )
    )
    return f"{len(verdict.orders)} orders in {verdict.seconds:.1f} s: {', '.join(parts)}. {death}"


def verdict_for_programs(verdict: Verdict, url: str, services: Path) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "holds": verdict.holds,
        "orders": verdict.orders,
        "summary": dict(Counter(order.result for order in verdict.orders)),
        "kill": verdict.kill,
        "findings": verdict.findings,
        "seconds": round(verdict.seconds, 3),
        "database": url,
        "services": str(services),
    }
