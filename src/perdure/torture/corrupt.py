"""``corrupt``: bytes, pages and rows of real databases are changed; nothing wrong is read, replayed or kept silent.

After each damage the database is verified, and every history is read: it is what it was, or an error. The whole file is
refused only where SQLite cannot read its tables either. What is not as it was is reported by the verification, which
blames no run whose rows are as they were. Of every third database an engine lets the runs go on: those that are not
hurt come to their end, and none comes to another one. Those of which only tasks are damaged end, too: if whoever claims
these meets the damage, or, every other time, after a repair. Then those that are hurt are terminated: they end, and
give back their locks, or are parked if pages that their end needs are damaged. Every tenth database holds a crowd, of
which a page is struck: the runs on it are passed over, all others are listed, and end.
"""

import asyncio
import random
import tempfile
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from perdure.torture.corruption.crowds import strike_a_crowd
from perdure.torture.corruption.judgement import Judged, judge
from perdure.torture.corruption.originals import DATABASE, Original, original
from perdure.torture.corruption.page_damage import damaged_file
from perdure.torture.corruption.row_damage import TABLES, damage_rows
from perdure.torture.disks.folders import fast_folder
from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Damage as many databases as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    trial = partial(_one_damage, options.workloads_of(_WORKLOADS))
    return run_trials("corrupt", options, trial, count=count, is_controlled=True)


def _one_damage(workloads: Sequence[str], seed: int) -> Tried:
    """Do one of the damages that are named: of a crowd, of the file, or of the rows of a table."""
    if _CROWD in workloads and (len(workloads) == 1 or seed % _CROWD_EACH == 0):
        return _one_of_a_crowd(workloads, seed)
    return _one_of_few(workloads, seed)


def _one_of_a_crowd(workloads: Sequence[str], seed: int) -> Tried:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        what, wrong = strike_a_crowd(Path(folder) / DATABASE, random.Random(seed))
    return Tried(1, _told(workloads, seed, what, wrong), {"that struck a crowd": 1})


def _one_of_few(workloads: Sequence[str], seed: int) -> Tried:
    chance = random.Random(seed)
    made = original(seed // _DAMAGES_EACH)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / DATABASE
        what, judged = _damage(
            made, path, chance, workloads, goes_on=seed % _GOING_ON_EACH == 0, mends=seed % _MENDING_EACH == 0
        )
    tally = {
        "after which the file was refused": int(judged.is_refused),
        "that changed no row": int(judged.is_as_before),
        "after which runs went on": int(judged.has_gone_on),
    }
    return Tried(1, _told(workloads, seed, what, judged.wrong), tally)


def _told(workloads: Sequence[str], seed: int, what: str, wrong: list[str]) -> list[str]:
    repeats = again("corrupt", seed, only=() if workloads == _WORKLOADS else workloads)
    return [f"{repeats}\n    {what}: {one}" for one in wrong]


def _damage(
    made: Original, path: Path, chance: random.Random, workloads: Sequence[str], *, goes_on: bool, mends: bool
) -> tuple[str, Judged]:
    path.write_bytes(made.latest)
    share, touched, what = chance.random(), None, ""
    tables = [table for table in TABLES if table in workloads]
    if tables and (share > _PAGE_SHARE or _FILE not in workloads):
        touched, what = damage_rows(path, chance, tables=tables)
    if _FILE in workloads and (share < _PAGE_SHARE + _BOTH_SHARE or not tables):
        data, of_file = damaged_file(path.read_bytes(), made.earlier, chance)
        path.write_bytes(data)
        touched, what = None, f"{what}; {of_file}" if what else of_file
    try:
        return what, asyncio.run(judge(made, path, touched, goes_on=goes_on, mends=mends))
    except Exception as error:  # noqa: BLE001 - whatever is none of Perdure's errors is what is looked for
        return what, Judged(wrong=[f"{error!r} comes out of {traceback.extract_tb(error.__traceback__)[-1]}"])


_CROWD: Final = "crowd"
_FILE: Final = "file"
_WORKLOADS: Final = (_CROWD, _FILE, *dict.fromkeys(TABLES))
_PAGE_SHARE: Final = 0.5
_BOTH_SHARE: Final = 0.05
_DAMAGES_EACH: Final = 25
_GOING_ON_EACH: Final = 3
_MENDING_EACH: Final = 2
_CROWD_EACH: Final = 10
_USUALLY: Final = 200
_CI: Final = 2_000
_LONG: Final = 20_000
