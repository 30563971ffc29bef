"""A crowd: more runs than fit on a page, of which some cannot be read; all others are listed, and come to their end.

What is struck is a leaf of the rows of runs or of their labels, or a further page of a row that is longer than one; by
garbage, by zeros, by a sector that the disk does not give, or, of rows, by one bit that is another, often of those that
say where the rows lie and which they are; or an index becomes one from before, as if writes were lost. SQLite says of
each run by itself whether it is hurt, and whether its row is another now: of such a run nothing is demanded. Those
beside a damaged page of rows may be held up, since their rows cannot always be written; beside one in which a bit says
another place or key SQLite may lose them. In the end nothing may be due that nobody claims.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from perdure import Engine
from perdure.errors import PerdureError, StoreCorruptError
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.corruption.judgement import patience_seconds
from perdure.torture.corruption.originals import DATABASE, code, more, sums
from perdure.torture.disks.folders import fast_folder
from perdure.torture.disks.sectors import PAGE, BadSectorError, DyingDisk, dying_disk

__all__ = ["strike_a_crowd"]


def strike_a_crowd(path: Path, chance: random.Random) -> tuple[str, list[str]]:
    """Make a crowd, strike it, and let it go on; return what was struck, and what is wrong then."""
    crowd = _crowd()
    path.write_bytes(crowd.latest)
    with dying_disk() as disk:
        how, what, beside = _strike(path, disk, crowd, chance)
        rows = _rows(path, disk)
        hurt = {run_id for run_id in _IDS if rows[run_id] is None}
        changed = {run_id for run_id in _IDS if rows[run_id] != crowd.rows[run_id]}
        unknown = changed | beside if how == _BIT else changed - hurt
        wrong = asyncio.run(_wrong(path, disk, hurt, unknown, changed | beside))
        return f"{what}, which hurts {len(hurt)} runs and changes {len(changed - hurt)}", wrong


class _Crowd(NamedTuple):
    """A database in which runs have signals unread, as it was before they came, and what is read of each run."""

    latest: bytes
    earlier: bytes
    rows: dict[str, object]


@lru_cache(maxsize=1)
def _crowd() -> _Crowd:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / DATABASE
        asyncio.run(_begin(path))
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute(_LONG_ROW, (_LONG_ID,))
        earlier = _content(path)
        asyncio.run(_tell(path))
        return _Crowd(_content(path), earlier, _rows(path))


async def _begin(path: Path) -> None:
    """Let runs begin that wait for a signal."""
    async with Engine(f"sqlite:///{path}", registry=code()) as engine:
        for run_id in _IDS:
            await engine.start(sums, [], 1, "", [], id=run_id, labels=_LABEL)


async def _tell(path: Path) -> None:
    """Let the signals come while nobody works."""
    async with Engine(f"sqlite:///{path}", works=False) as client:
        for run_id in _IDS:
            await (await client.get_run(run_id)).signal(more, 1)


def _content(path: Path) -> bytes:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def _strike(path: Path, disk: DyingDisk, crowd: _Crowd, chance: random.Random) -> tuple[str, str, set[str]]:
    """Return what was done, with the page, and the runs whose rows lie on it, or on one beside it."""
    table, kind, hows = chance.choice(_STRIKES)
    with closing(apsw.Connection(str(path))) as connection:
        pages = [page for (page,) in connection.execute(_PAGES, (table, kind))]
    page, how = chance.choice(pages), chance.choice(hows)
    begin = (page - 1) * PAGE
    if how == "a bad sector":
        disk.bad.add(page)
    else:
        with path.open("r+b") as file:
            file.seek(begin)
            file.write(_struck(crowd, slice(begin, begin + PAGE), how, chance))
    beside = set(_beside(_on_page(page))) if (table, kind) == ("runs", "leaf") else set[str]()
    return how, f"{how} in page {page}, one of {len(pages)} of kind {kind} of {table}", beside


@cache
def _on_page(page: int) -> list[str]:
    """Return the runs of the crowd whose rows lie on a page: those that a page of zeros makes unreadable."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path, content = Path(folder) / DATABASE, bytearray(_crowd().latest)
        content[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
        path.write_bytes(content)
        return [run_id for run_id, row in _rows(path).items() if row is None]


def _struck(crowd: _Crowd, place: slice, how: str, chance: random.Random) -> bytes:
    """Return what lies in the place of a page then."""
    if how == "an older page":
        return crowd.earlier[place]
    if how == _BIT:
        page = bytearray(crowd.latest[place])
        bit = chance.randrange(8 * chance.choice((_HEAD, PAGE)))
        page[bit // 8] ^= 1 << bit % 8
        return bytes(page)
    return b"\xff" * PAGE if how == "garbage" else b"\0" * PAGE


def _rows(path: Path, disk: DyingDisk | None = None) -> dict[str, object]:
    """Return what can be read of each run by itself, None of one that cannot be read."""
    with closing(apsw.Connection(str(path), vfs=None if disk is None else disk.vfs)) as connection:
        return {run_id: _row(connection, run_id) for run_id in _IDS}


def _row(connection: apsw.Connection, run_id: str) -> object:
    try:
        run_key = connection.execute(_KEY, (run_id,)).get
        found = connection.execute(_ROW_AND_LABELS, (run_key,)).fetchall()
    except (apsw.CorruptError, BadSectorError):
        return None
    except UnicodeDecodeError as error:  # whoever claims it parks it, and writes its row anew
        return str(error)
    return found[0] if len(found) == 1 else None


def _beside(on_page: list[str]) -> Iterator[str]:
    """Yield runs whose rows may lie on the pages before and after one, which hold about as many."""
    first, last, reach = _IDS.index(on_page[0]), _IDS.index(on_page[-1]), len(on_page) + _MORE_BESIDE
    yield from _IDS[max(first - reach, 0) : last + 1 + reach]


async def _wrong(path: Path, disk: DyingDisk, hurt: set[str], unknown: set[str], exempt: set[str]) -> list[str]:
    """Let it go on; return what is wrong: all but the `exempt` must end, all but the `hurt`, and whatever is `unknown`,
    be listed."""
    safe = [run_id for run_id in _IDS if run_id not in exempt]
    store = SqliteStore(path, disk=disk)
    try:
        async with Engine(store, registry=code()) as engine, asyncio.timeout(patience_seconds()) as patience:
            ended = await asyncio.gather(*(_end(engine, run_id, patience) for run_id in safe), return_exceptions=True)
            listed = [await _listed(engine, query) for query in (RunQuery(), _LABELLED)]
            await _wait_until_nothing_is_due(store)
    except (PerdureError, TimeoutError) as error:
        return [f"{len(safe)} runs that can be read do not all end, or are not listed: {error!r:.300}"]
    late = [
        f"run {run_id}, which is not hurt, does not end: {end!r:.200}"
        for run_id, end in zip(safe, ended, strict=True)
        if end != 1
    ]
    readable = set(_IDS) - hurt
    if unknown:  # one that is changed may have another id
        unknown |= set[str]().union(*listed) - set(_IDS)
    amiss = {run_id: run_id in found for found in listed for run_id in (found ^ readable) - unknown}
    told = [
        f"run {run_id} is {'hurt, and listed' if is_listed else 'not listed'}" for run_id, is_listed in amiss.items()
    ]
    return [*late, *sorted(told)]


async def _listed(engine: Engine, query: RunQuery) -> set[str]:
    """List runs; what is met amid a rest between two looks for damage is passed over soon."""
    while True:
        try:
            return {run.ref.id async for run in engine.all_runs(query)}
        except StoreCorruptError:
            await asyncio.sleep(_LOOK_SECONDS)


async def _wait_until_nothing_is_due(store: SqliteStore) -> None:
    """Wait until claims have taken, or pass over, all that is due: what they go on being woken for turns for ever."""
    while True:
        due_at = await store.next_wake_at(workflows=code().workflow_versions)
        if due_at is None or due_at > time.time_ns() // 1_000:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(engine: Engine, run_id: str, patience: asyncio.Timeout) -> object:
    """Return the result of a run; from then on there is as much time for the next one."""
    result = await (await engine.get_run(run_id)).result()
    patience.reschedule(asyncio.get_running_loop().time() + patience_seconds())
    return result


_IDS: Final = [f"run-{number:03}" for number in range(180)]
_LONG_ID: Final = _IDS[70]
_LABEL: Final = {"lot": "all"}
_LABELLED: Final = RunQuery(labels=_LABEL)
_BIT: Final = "another bit"
_STRIKES: Final = (
    ("runs", "leaf", ("garbage", "zeros", "a bad sector", _BIT, _BIT, _BIT)),
    ("run_labels", "leaf", ("garbage", "zeros", "a bad sector")),
    ("runs", "overflow", ("garbage", "zeros", "a bad sector")),
    ("runs_to_claim", "leaf", ("an older page",)),
)
_HEAD: Final = 120
"""How many bytes of a page say where its rows lie, about."""
_MORE_BESIDE: Final = 10
_LOOK_SECONDS: Final = 0.01
_PAGES: Final = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path"

# id: it was parked once for a reason that needs further pages
_LONG_ROW: Final = """
UPDATE runs SET parked = json_object(
    'reason', json_object('type', 'Long', 'message', hex(zeroblob(6000))), 'since', 0, 'tried', json_array()
)
WHERE id = ?
"""

# id
_KEY: Final = "SELECT run_key FROM runs INDEXED BY sqlite_autoindex_runs_1 WHERE namespace = 'default' AND id = ?"

# run_key; all pages of the row are read for it, whatever stands there, and nothing of an index
_ROW_AND_LABELS: Final = """
SELECT runs.*, (SELECT group_concat(value) FROM run_labels WHERE run_labels.run_key = runs.run_key)
FROM runs NOT INDEXED WHERE run_key = ?
"""
