"""What the harness shows: a line per measurement as it ends, then the table and the goals."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.goals import Verdict
from bench.records import Reading
from bench.summary import Row, Summary
from bench.workloads import WORKLOADS


def progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def line_of(readings: Sequence[Reading], repeats: int) -> str:
    """Say in one line what a measurement found."""
    first = readings[0]
    figures = " · ".join(
        f"{reading.figure.metric} {_number(reading.figure.value)} {reading.figure.unit}" for reading in readings
    )
    where = f"{first.workload:<3} {first.subject:<16} {first.repeat}/{repeats}"
    return f"{where}  {figures}  (fsync {first.fsync_per_second:,.0f}/s, load {first.load})"


def figures_table(summary: Summary, baselines: Sequence[str]) -> Table:
    table = Table(title="Medians of the repeats", title_justify="left")
    for name in ("", "subject", "metric"):
        table.add_column(name, no_wrap=True)
    table.add_column("median", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    better = [f"better than\n{baseline}" for baseline in baselines]
    for name in ("lowest", "highest", *better, "CPU µs\na unit", "server's\nCPU µs", "fsync/s", "load"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for row in summary.rows:
        if previous and row.workload != previous:
            table.add_section()
        previous = row.workload
        table.add_row(*_cells(row, [summary.advantage(row, baseline) for baseline in baselines]))
    return table


def reduced_sizes(summary: Summary) -> list[str]:
    """Name every size that is not the workload's own: a rate hardly changes with it, a total does."""
    lines = (
        f"{row.workload} of {row.subject} was smaller: {less}" for row in summary.rows if (less := _difference(row))
    )
    return list(dict.fromkeys(lines))


def goals_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Goals", title_justify="left")
    for name in ("goal", "measured", "must", "stretch", "met must?", "met stretch?"):
        table.add_column(name)
    for verdict in verdicts:
        table.add_row(
            verdict.goal,
            verdict.measured,
            verdict.must,
            verdict.stretch,
            "[green]yes[/]" if verdict.met_must else "[bold red]NO[/]",
            {True: "[green]yes[/]", False: "no", None: ""}[verdict.met_stretch],
        )
    return table


def legend(workloads: Sequence[str]) -> str:
    return "\n".join(f"{name}: {WORKLOADS[name].sentence}" for name in workloads)


def _cells(row: Row, advantages: Sequence[float | None]) -> tuple[str, ...]:
    times = (row.cpu_microseconds_per_unit, row.server_cpu_microseconds_per_unit)
    return (
        row.workload,
        row.subject,
        row.metric,
        _number(row.value),
        row.unit,
        _number(row.lowest),
        _number(row.highest),
        *("" if advantage is None else f"{_number(advantage)}x" for advantage in advantages),
        *("" if cpu is None else _number(cpu) for cpu in times),
        f"{row.fsync_per_second:,.0f}",
        f"{row.load:.1f}",
    )


def _difference(row: Row) -> str:
    full = WORKLOADS[row.workload].size
    return ", ".join(
        f"{name} {count:,} instead of {full[name]:,}" for name, count in row.size.items() if count != full[name]
    )


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
