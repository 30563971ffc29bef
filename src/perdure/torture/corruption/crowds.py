"""A crowd: more runs than fit on a page, of which some cannot be read; all others are listed, and come to their end.

What is struck is a leaf of the rows of runs or of their labels, or a further page of a row that is longer than one; by
garbage, by zeros, or by a sector that the disk does not give. SQLite says of each run by itself whether it is hurt.
Those beside a damaged page of rows may be held up, since their rows cannot always be written.
"""

import asyncio
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final

import apsw

from perdure import Engine
from perdure.errors import PerdureError
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.corruption.originals import DATABASE, code, more, sums
from perdure.torture.disks.folders import fast_folder
from perdure.torture.disks.sectors import PAGE, BadSectorError, DyingDisk, dying_disk

__all__ = ["strike_a_crowd"]


def strike_a_crowd(path: Path, chance: random.Random) -> tuple[str, list[str]]:
    """Make a crowd, strike it, and let it go on; return what was struck, and what is wrong then."""
    path.write_bytes(_crowd())
    with dying_disk() as disk:
        what, of_rows = _strike(path, disk, chance)
        hurt = [run_id for run_id in _IDS if not _can_be_read(path, disk, run_id)]
        beside = set(_beside(hurt)) if of_rows else set[str]()
        return f"{what}, which hurts {len(hurt)} runs", asyncio.run(_wrong(path, disk, set(hurt), beside))


@lru_cache(maxsize=1)
def _crowd() -> bytes:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / DATABASE
        asyncio.run(_made(path))
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute(_LONG_ROW, (_LONG_ID,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


async def _made(path: Path) -> None:
    """Let runs wait for a signal, which comes when nobody works any more."""
    async with Engine(f"sqlite:///{path}", registry=code()) as engine:
        for run_id in _IDS:
            await engine.start(sums, [], 1, "", id=run_id, labels=_LABEL)
    async with Engine(f"sqlite:///{path}", works=False) as client:
        for run_id in _IDS:
            await (await client.get_run(run_id)).signal(more, 1)


def _strike(path: Path, disk: DyingDisk, chance: random.Random) -> tuple[str, bool]:
    """Return what was done, and whether to a page of rows of runs."""
    table, kind = chance.choice((("runs", "leaf"), ("run_labels", "leaf"), ("runs", "overflow")))
    with closing(apsw.Connection(str(path))) as connection:
        pages = [page for (page,) in connection.execute(_PAGES, (table, kind))]
    page, how = chance.choice(pages), chance.choice(("garbage", "zeros", "a bad sector"))
    if how == "a bad sector":
        disk.bad.add(page)
    else:
        with path.open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE if how == "garbage" else b"\0" * PAGE)
    return f"{how} in page {page}, one of {len(pages)} of kind {kind} of {table}", (table, kind) == ("runs", "leaf")


def _can_be_read(path: Path, disk: DyingDisk, run_id: str) -> bool:
    with closing(apsw.Connection(str(path), vfs=disk.vfs)) as connection:
        try:
            return len(connection.execute(_ROW_AND_LABELS, (run_id,)).fetchall()) == 1
        except (apsw.CorruptError, BadSectorError):
            return False


def _beside(hurt: list[str]) -> Iterator[str]:
    """Yield runs whose rows may lie on the pages before and after a damaged one, which hold about as many."""
    first, last, reach = _IDS.index(hurt[0]), _IDS.index(hurt[-1]), len(hurt) + _MORE_BESIDE
    yield from _IDS[max(first - reach, 0) : last + 1 + reach]


async def _wrong(path: Path, disk: DyingDisk, hurt: set[str], beside: set[str]) -> list[str]:
    safe = [run_id for run_id in _IDS if run_id not in hurt | beside]
    try:
        async with Engine(SqliteStore(path, disk=disk), registry=code()) as engine, asyncio.timeout(_SECONDS):
            ended = await asyncio.gather(*(_end(engine, run_id) for run_id in safe), return_exceptions=True)
            listed = [{run.ref.id async for run in engine.all_runs(query)} for query in (RunQuery(), _LABELLED)]
    except (PerdureError, TimeoutError) as error:
        return [f"{len(safe)} runs that can be read do not all end, or are not listed: {error!r:.300}"]
    late = [
        f"run {run_id}, which is not hurt, does not end: {end!r:.200}"
        for run_id, end in zip(safe, ended, strict=True)
        if end != 1
    ]
    others = {run_id for found in listed for run_id in found ^ (set(_IDS) - hurt)}
    return [*late, *(f"run {run_id} is hurt, and listed, or neither" for run_id in sorted(others))]


async def _end(engine: Engine, run_id: str) -> object:
    return await (await engine.get_run(run_id)).result()


_IDS: Final = [f"run-{number:03}" for number in range(180)]
_LONG_ID: Final = _IDS[70]
_LABEL: Final = {"lot": "all"}
_LABELLED: Final = RunQuery(labels=_LABEL)
_MORE_BESIDE: Final = 10
_SECONDS: Final = 60.0
_PAGES: Final = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path"

# id: it was parked once for a reason that needs further pages
_LONG_ROW: Final = """
UPDATE runs SET parked = json_object(
    'reason', json_object('type', 'Long', 'message', hex(zeroblob(6000))), 'since', 0, 'tried', json_array()
)
WHERE id = ?
"""

# id; all pages of the row are read for it, whatever stands there
_ROW_AND_LABELS: Final = """
SELECT hex(parked), end_at, (SELECT group_concat(value) FROM run_labels WHERE run_labels.run_key = runs.run_key)
FROM runs INDEXED BY sqlite_autoindex_runs_1 WHERE namespace = 'default' AND id = ?
"""
