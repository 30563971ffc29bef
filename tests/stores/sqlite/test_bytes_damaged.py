"""Bytes of the file that have changed: verification ends with a report, and a repair loses nothing that can be read."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure import Context, Engine, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.errors import StoreError
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Defect, VerificationWish
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.verification.tables import defects_by, table_of

go = Signal("go", int)


@workflow(name="bytes.waits")
async def waits(ctx: Context) -> int:
    ctx.set_labels(colour="red")
    return await ctx.wait_for(go) + await ctx.wait_for(go)


def engine(path: Path, *, works: bool = True) -> Engine:
    registry = Registry()
    registry.add_workflow(waits)
    return Engine(f"sqlite:///{path}", registry=registry, works=works)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database of one file with a run that has taken one signal, and waits for another."""
    path = tmp_path / "runs.db"
    async with engine(path) as writer:
        run = await writer.start(waits, id="holds", tenant="ada")
        await run.signal(go, 1)
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as connection:
        return list(connection.execute(query))


def flip(path: Path, place: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        [byte] = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def content(path: Path) -> bytes:
    return path.read_bytes()


def place_of(path: Path, part: bytes) -> int:
    """Return where in the file something begins that is there once."""
    whole = content(path)
    assert whole.count(part) == 1, part
    return whole.index(part)


def key_of(path: Path) -> RunKey:
    [(key,)] = rows(path, "SELECT run_key FROM runs")
    assert isinstance(key, int)
    return RunKey(key)


async def history(path: Path, run_key: RunKey) -> list[int]:
    async with SqliteLook(path) as look:
        return [recorded.sequence for recorded in await look.read_history(run_key)]


def begin_of_row(path: Path) -> int:
    return place_of(path, b"defaultholdsbytes.waits")


async def test_an_index_that_is_the_last_to_know_an_event_is_not_built_anew(path: Path) -> None:
    key = key_of(path)
    [(kind,)] = rows(path, "SELECT type FROM history WHERE sequence = 2")
    before = await history(path, key)
    digits = key.to_bytes(8).lstrip(b"\0")
    flip(path, place_of(path, digits + b"\x02" + str(kind).encode()) + len(digits) - 1, bit=6)
    assert await history(path, key) == before
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True)
    assert await history(path, key) == before
    assert not found.is_sound


@pytest.mark.parametrize("column", ["id", "status", "tenant"])
async def test_a_row_that_its_indexes_contradict_is_taken_from_the_history(path: Path, column: str) -> None:
    before = rows(path, "SELECT * FROM runs")
    [(value,)] = rows(path, f"SELECT {column} FROM runs")
    whole, begin = content(path), begin_of_row(path)
    flip(path, whole.index(str(value).encode(), begin))
    assert rows(path, "SELECT * FROM runs NOT INDEXED") != before
    async with engine(path, works=False) as client:
        assert (await client.verify(repair=True)).is_sound
    async with SqliteLook(path) as look:
        assert (await look.verify(VerificationWish(now=Timestamp(4_000_000_000_000_000)))).is_sound
    async with engine(path) as writer:
        run = await writer.get_run("holds")
        await run.signal(go, 2)
        assert await run.result() == 3


async def test_a_verification_ends_with_a_report_whatever_bit_of_a_row_has_changed(path: Path) -> None:
    whole, begin = content(path), begin_of_row(path)
    changed = path.with_name("changed.db")
    for place in range(begin - 40, begin):
        for bit in range(8):
            changed.write_bytes(whole)
            flip(changed, place, bit)
            try:
                async with SqliteLook(changed) as look:
                    await look.verify(VerificationWish(now=Timestamp(4_000_000_000_000_000)))
            except StoreError:
                pass  # said, too


async def test_a_table_that_cannot_be_checked_hides_no_other(path: Path) -> None:
    tables = "name IN ('history', 'run_labels')"
    for (page,) in rows(path, f"SELECT rootpage FROM sqlite_schema WHERE {tables}"):
        assert isinstance(page, int)
        flip(path, (page - 1) * 4096 + 3, bit=6)  # how many cells there are
    async with SqliteLook(path) as look:
        found = await look.verify(VerificationWish(now=Timestamp(4_000_000_000_000_000)))
    assert {"history", "run_labels"} <= {table_of(defect) for defect in found.defects}


def test_a_check_that_meets_what_it_does_not_expect_reports_that(path: Path) -> None:
    def check(connection: apsw.Connection) -> list[Defect]:
        [(status,)] = connection.execute("SELECT status FROM runs")
        return [Defect(place="row", what=status + 1)]

    with closing(apsw.Connection(str(path))) as connection:
        [defect] = defects_by(check, connection)
    assert "rows that no Perdure wrote: TypeError" in defect.what
