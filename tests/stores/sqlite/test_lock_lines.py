"""What the lines of locks cost: how many of their entries a request reads."""

from pathlib import Path
from typing import Any

import pytest

from perdure.kernel.locking import LockEntry
from perdure.stores.sqlite import lock_lines
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.locking import asks, gives_back


async def _entries_read(path: Path, runs: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let runs ask for one key, each within a lock of its own that another run waits for; then one gives it back.

    Return how many entries each of these transitions has read.
    """
    read: list[int] = []
    entry_of = lock_lines.lock_entry_of

    def counted(row: tuple[Any, ...]) -> LockEntry:
        read[-1] += 1
        return entry_of(row)

    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    asking = []
    for number in range(runs):
        run, other = await session.hold(f"run {number}"), await session.hold(f"other {number}")
        await session.advance(run, locks=[asks(f"own {number}")])
        await session.advance(other, locks=[asks(f"own {number}")])
        asking.append(run)
    with monkeypatch.context() as patched:
        patched.setattr(lock_lines, "lock_entry_of", counted)
        for run in asking:
            read.append(0)
            await session.advance(run, locks=[asks("hot", operation=2, within=(1,))])
        read.append(0)
        await session.advance(asking[0], locks=[gives_back(2)])
    await session.store.close()
    return read


async def test_a_request_within_a_lock_reads_as_much_behind_many_as_behind_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = await _entries_read(tmp_path / "perdure.db", 30, monkeypatch)
    assert set(read[2:30]) == {read[1]}


async def test_a_release_reads_as_much_before_many_as_before_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await _entries_read(tmp_path / "few.db", 3, monkeypatch)
    many = await _entries_read(tmp_path / "many.db", 30, monkeypatch)
    assert many[-1] == few[-1]
    assert 0 < many[-1] < 10
