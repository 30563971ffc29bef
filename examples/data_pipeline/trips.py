"""Files to profile: the trips of a city's hired bicycles, a file for each month, every third one compressed.

The same seed gives the same files, byte for byte.
"""

import csv
import gzip
import io
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from examples.data_pipeline.files import write_whole

__all__ = ["write_trips"]

HEADER: Final = ("started_at", "minutes", "from_station", "to_station", "bicycle", "kind", "member", "metres", "fare")
STATIONS: Final = (
    "Alter Markt", "Am Kanal", "Bahnhof Nord", "Bahnhof Süd", "Botanischer Garten", "Dom", "Eishalle", "Fähre",
    "Hafen, Tor 3", "Hallenbad", "Klinikum", "Kunsthalle", "Messe", "Mühlenberg", "Oper", "Rathaus", "Schlosspark",
    "Stadion", "Technische Hochschule", 'Theater "Die Insel"', "Tierpark", "Universität", "Wasserturm", "Zeughaus",
)  # fmt: skip


def write_trips(folder: Path, *, months: int, trips_per_month: int, seed: int = 1) -> None:
    """Write the files of so many months into a folder."""
    for month in range(months):
        first = datetime(2023 + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - local time, as such files have it
        text = _csv(_trips(random.Random(seed * 1000 + month), first, trips_per_month))  # noqa: S311 - reproducible
        name = f"trips-{first:%Y-%m}.csv"
        if month % 3 == 2:  # noqa: PLR2004 - every third
            write_whole(folder / f"{name}.gz", gzip.compress(text, mtime=0))
        else:
            write_whole(folder / name, text)


def _csv(rows: Iterator[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    return text.getvalue().encode()


def _trips(chance: random.Random, first: datetime, count: int) -> Iterator[tuple[object, ...]]:
    """Yield trips in the order of their beginning: more by day than by night, most of them short."""
    moment = first
    for _ in range(count):
        moment += timedelta(seconds=chance.expovariate(count / (28 * 86400)))
        metres = round(min(chance.lognormvariate(7.6, 0.7), 40_000))
        minutes = max(1, round(metres / chance.uniform(150, 320)))
        is_electric = chance.random() < 0.4  # noqa: PLR2004 - a share
        fare = f"{0.99 + minutes * (0.15 if is_electric else 0.08):.2f}"
        yield (
            moment.isoformat(sep=" ", timespec="seconds"),
            minutes,
            chance.choice(STATIONS),
            chance.choice(STATIONS),
            f"{'E' if is_electric else 'C'}{chance.randrange(1800):04d}",
            "electric" if is_electric else "classic",
            chance.choice(("yes", "yes", "no", "")),
            metres,
            fare,
        )
