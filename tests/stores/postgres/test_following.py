"""Following: what is fetched of the histories of runs that are known up to some event."""

import asyncpg
import pytest

from perdure.ports.following import BEGINNING
from perdure.torture.programs.postgres_harness import PostgresHarness

LONG = b'"%b"' % (b"x" * 100_000)


@pytest.mark.parametrize("most_bytes", [1, 1_000_000])
async def test_of_the_known_event_its_digest_is_fetched_and_not_what_it_holds(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    session = await harness.session()
    runs = [await session.hold(name, input=LONG) for name in ("one", "two", "three", "four")]
    parts = await session.store.read_on({run.run_key: BEGINNING for run in runs}, limit=9)
    for run in runs[1:3]:
        await session.advance(run)
    fetched: list[object] = []
    fetch = asyncpg.Connection.fetch

    async def note(connection: asyncpg.Connection, query: str, *asked: object) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await fetch(connection, query, *asked)
        fetched.extend(value for row in rows for value in row.values())
        return rows

    monkeypatch.setattr(asyncpg.Connection, "fetch", note)
    known = {part.run_key: part.place for part in parts}
    later_parts = await session.store.read_on(known, limit=9, most_bytes=most_bytes)
    counted = {part.run_key: len(part.events) for part in later_parts}
    expected = {1: [0, 1, 0, 0], 1_000_000: [0, 1, 1, 0]}
    assert [counted[run.run_key] for run in runs] == expected[most_bytes]
    assert sum(len(value) for value in fetched if isinstance(value, str | bytes)) < len(LONG)
