"""The look for runs that cannot be read ends, and finds all, whatever a damaged page of theirs says."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import apsw
import pytest

from perdure.kernel.identity import RunKey
from perdure.stores.sql.passing import passing_condition
from perdure.stores.sql.statements import RUN_COLUMNS
from perdure.stores.sqlite.scanning import find_unreadable
from perdure.testing.store_conformance.harness import later
from tests.damaging import break_page, pages_of, read_page, write_page
from tests.stores.sqlite.test_unreadable import RUNS, begun, claimed_by, listed_by, session_on

SECTOR = 512
MOST_STEPS = 1_000_000
"""SQLite takes some 10,000 steps for a look at these runs."""


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "runs.db"
    await begun(path)
    return path


def found_in(path: Path) -> list[RunKey]:
    """Look once. Raises apsw.InterruptError if that does not end."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.set_progress_handler(lambda: True, MOST_STEPS)
        return [run.run_key for run in find_unreadable(connection)]


def read_but(path: Path, passed: list[RunKey]) -> int:
    """Read all runs but some, in one statement, as lists and claims do."""
    others = f"runs INDEXED BY sqlite_autoindex_runs_1 WHERE true{passing_condition(frozenset(passed))}"
    query = f"SELECT {RUN_COLUMNS} FROM runs NOT INDEXED WHERE run_key IN (SELECT run_key FROM {others})"
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return len(connection.execute(query).fetchall())


@pytest.mark.parametrize("changed", [1, 32, 64])
async def test_a_key_that_is_another_does_not_hold_up_the_look_at_what_is_behind_it(changed: int, path: Path) -> None:
    """A bit of the key of a leaf's last row is another, the key less or greater, and the next leaf garbage."""
    _, page, following, *_ = pages_of(path, "runs")
    leaf = bytearray(read_page(path, page))
    leaf[last_byte_of_last_key(leaf)] ^= changed
    write_page(path, page, bytes(leaf))
    break_page(path, following)
    found = found_in(path)
    assert RUNS // 2 < read_but(path, found) < RUNS


@pytest.mark.parametrize("changed", [1, 16])
async def test_a_row_that_is_not_in_its_place_is_passed_over(changed: int, path: Path) -> None:
    """It is found by the indexes, and by nobody who asks for its key."""
    page = pages_of(path, "runs")[1]
    leaf = bytearray(read_page(path, page))
    leaf[last_byte_of_last_key(leaf)] ^= changed
    write_page(path, page, bytes(leaf))
    async with session_on(path) as session:
        assert await claimed_by(session) == RUNS - 1
        await session.store.renew_lease(now=later(60))
        assert await claimed_by(session, now=later(60)) == RUNS - 1
        assert len(await listed_by(session, id_prefix="run")) == RUNS - 1
        assert len(session.store._unreadable.unclaimable) == 1  # type: ignore[attr-defined]


def last_byte_of_last_key(leaf: bytearray) -> int:
    """Return where it is: the second of the two numbers with which the last cell of the leaf begins."""
    cells = int.from_bytes(leaf[3:5])
    place = int.from_bytes(leaf[8 + 2 * (cells - 1) :][:2])
    for _ in range(2):
        while leaf[place] & 0x80:
            place += 1
        place += 1
    return place - 1


@pytest.mark.parametrize("seed", range(3))
async def test_all_is_found_that_damaged_sectors_of_a_leaf_keep_from_being_read(seed: int, path: Path) -> None:
    random = Random(seed)
    scatter(path, random)
    for page, damaged in damages(path, random, times=60):
        sound = read_page(path, page)
        write_page(path, page, damaged)
        read_but(path, found_in(path))
        write_page(path, page, sound)


def scatter(path: Path, random: Random) -> None:
    """Let rows grow and shrink, so that they lie on their pages in no order."""
    with closing(apsw.Connection(str(path))) as connection:
        keys = [key for (key,) in connection.execute("SELECT run_key FROM runs")]
        with connection:
            for key in random.sample(keys * 4, len(keys) * 4):
                connection.execute("UPDATE runs SET stage = ? WHERE run_key = ?", ("x" * random.randrange(30), key))


def damages(path: Path, random: Random, *, times: int) -> Iterator[tuple[int, bytes]]:
    """Return leaves of which some sectors are those of another place, or any bytes."""
    leaves = pages_of(path, "runs")
    for _ in range(times):
        page = random.choice(leaves)
        data = read_page(path, page)
        size, start = SECTOR * random.choice((1, 2, 4)), random.randrange(0, len(data), SECTOR)
        part = random.choice((data[:size], random.randbytes(size), b"\xff" * size, bytes(size)))
        yield page, (data[:start] + part + data[start + size :])[: len(data)]
