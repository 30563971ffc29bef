"""From readings to a table: medians, ranges and ratios. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.records import Reading

# A loss that happened once in five repeats happened.
WORST_COUNTS: Final = frozenset({"lost", "run twice"})
_UNEVEN: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one subject over all repeats."""

    workload: str
    subject: str
    metric: str
    unit: str
    value: float  # the median; the worst for losses
    lowest: float
    highest: float
    cpu_microseconds_per_unit: float | None
    server_cpu_microseconds_per_unit: float | None
    fsync_per_second: float
    load: float
    repeats: int
    size: dict[str, int]

    @property
    def is_rate(self) -> bool:
        return self.unit.endswith("/s")


class Summary:
    """All rows of a run, found by (workload, subject, metric)."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._found = {(row.workload, row.subject, row.metric): row for row in self.rows}

    def row(self, workload: str, subject: str, metric: str) -> Row | None:
        return self._found.get((workload, subject, metric))

    def value(self, workload: str, subject: str, metric: str) -> float | None:
        row = self.row(workload, subject, metric)
        return None if row is None else row.value

    def cpu(self, workload: str, subject: str, metric: str) -> float | None:
        row = self.row(workload, subject, metric)
        return None if row is None else row.cpu_microseconds_per_unit

    def advantage(self, row: Row, baseline: str) -> float | None:
        """Say how many times better the row is than the same metric of the baseline; None where there is none."""
        other = self.row(row.workload, baseline, row.metric)
        if other is None or other is row or row.metric in WORST_COUNTS:
            return None
        better, worse = (row.value, other.value) if row.is_rate else (other.value, row.value)
        return better / worse if worse else None


def summarise(readings: Sequence[Reading]) -> Summary:
    """Gather the repeats of each metric, in the order in which they first came."""
    gathered: dict[tuple[str, str, str], list[Reading]] = {}
    for reading in readings:
        gathered.setdefault((reading.workload, reading.subject, reading.figure.metric), []).append(reading)
    order = {name: position for position, name in enumerate(dict.fromkeys(key[0] for key in gathered))}
    return Summary(_row(gathered[key]) for key in sorted(gathered, key=lambda key: order[key[0]]))


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest value that at least `percent` of the values do not exceed (nearest rank).

    >>> percentile([5, 1, 4, 2, 3], 50), percentile([5, 1, 4, 2, 3], 99), percentile([7], 50)
    (3, 5, 7)
    """
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def uneven_workloads(summary: Summary) -> list[str]:
    """Name the workloads during which the disk was so much slower for one subject that a comparison means little."""
    rates: dict[str, list[float]] = {}
    for row in summary.rows:
        rates.setdefault(row.workload, []).append(row.fsync_per_second)
    return [workload for workload, found in rates.items() if max(found) > _UNEVEN * min(found)]


def busy_workloads(summary: Summary, cores: int) -> list[str]:
    """Name the workloads during which more processes wanted a core than there are.

    On such a machine a wake-up after a sync waits for the scheduler's next tick in one process and not in another:
    an engine of two commits has been seen to answer sooner than one bare commit.
    """
    return list(dict.fromkeys(row.workload for row in summary.rows if row.load > cores))


def _row(readings: list[Reading]) -> Row:
    first = readings[0]
    values = [reading.figure.value for reading in readings]
    return Row(
        workload=first.workload,
        subject=first.subject,
        metric=first.figure.metric,
        unit=first.figure.unit,
        value=max(values) if first.figure.metric in WORST_COUNTS else statistics.median(values),
        lowest=min(values),
        highest=max(values),
        cpu_microseconds_per_unit=_median(reading.figure.cpu_microseconds_per_unit for reading in readings),
        server_cpu_microseconds_per_unit=_median(
            reading.figure.server_cpu_microseconds_per_unit for reading in readings
        ),
        fsync_per_second=statistics.median(reading.fsync_per_second for reading in readings),
        load=statistics.median(reading.load for reading in readings),
        repeats=len(readings),
        size=first.size,
    )


def _median(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if measured else None
