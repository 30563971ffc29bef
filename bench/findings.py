"""What a script of its own finds out: figures with their goals, as a table and as JSON lines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

_WIDTH_OF_A_FILE: Final = 140


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure. `goal`: what it must reach, of a rate (a unit that ends in "/s") at least, else at most."""

    metric: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.unit.endswith("/s") else self.value <= self.goal

    def as_json_line(self) -> str:
        record = {"metric": self.metric, "value": self.value, "unit": self.unit, "goal": self.goal, "met": self.is_met}
        return json.dumps(record)


def show(title: str, findings: Iterable[Finding], *, json_lines: Path | None = None) -> None:
    """Print a table; append a line per finding to a file, if one is named."""
    table = Table(title=title, title_justify="left")
    for name in ("", "measured", "unit", "goal", "met?"):
        table.add_column(name, justify="right" if name == "measured" else "left", no_wrap=True)
    for one in findings:
        sign = "≥" if one.unit.endswith("/s") else "≤"
        goal = "" if one.goal is None else f"{sign} {one.goal:,g}"
        met = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: ""}[one.is_met]
        table.add_row(one.metric, f"{one.value:,.{0 if abs(one.value) >= 100 else 2}f}", one.unit, goal, met)
        if json_lines is not None:
            with json_lines.open("a", encoding="utf-8") as lines:
                lines.write(f"{one.as_json_line()}\n")
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH_OF_A_FILE)).print(table)
