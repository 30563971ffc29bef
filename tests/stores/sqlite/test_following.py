"""Following: what is read of the histories of runs that are known up to some event."""

from pathlib import Path
from typing import Any

import apsw

from perdure.ports.following import BEGINNING
from perdure.stores.sqlite.following import read_on
from perdure.torture.programs.harnesses import SqliteHarness

LONG = b'"%b"' % (b"x" * 100_000)


async def test_of_the_known_event_its_digest_is_read_and_not_what_it_holds(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "runs.db")
    session = await harness.session()
    runs = [await session.hold(name, input=LONG) for name in ("one", "two", "three")]
    parts = await session.store.read_on({run.run_key: BEGINNING for run in runs}, limit=9)
    await session.advance(runs[-1])
    read: list[object] = []

    def note(_: apsw.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        read.extend(row)
        return row

    connection = apsw.Connection(str(harness.path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.row_trace = note
    later_parts = read_on(connection, {part.run_key: part.place for part in parts}, limit=9)
    connection.close()
    assert [(len(part.events), part.is_last) for part in later_parts] == [(0, True), (0, True), (1, True)]
    assert sum(len(value) for value in read if isinstance(value, str | bytes)) < len(LONG)
    await harness.close()
