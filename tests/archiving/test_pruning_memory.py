"""How much of what is removed is in memory at once."""

from collections.abc import Sequence

import pytest

from perdure.archiving import filing
from perdure.configuration import Retention
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.keeping import WholeRun
from perdure.torture.programs.harnesses import MemoryHarness
from tests.archiving.test_pruning import HOUR, Pages, ended, left, prune
from tests.archiving.worlds import session_on


@pytest.mark.parametrize("are_large", [True, False])
async def test_runs_with_many_bytes_are_read_and_written_one_by_one(
    monkeypatch: pytest.MonkeyPatch, are_large: bool
) -> None:
    """Each may have a gigabyte."""
    if are_large:
        monkeypatch.setattr(filing, "_READ_BYTES", 1)
        monkeypatch.setattr(filing, "_PART_BYTES", 1)
    happened: list[str] = []

    class Parts(Pages):
        async def append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
            happened.append("written")
            return await super().append(lines, now=now)

    async with session_on(MemoryHarness()) as session:
        for hour in range(3):
            await ended(session, f"run-{hour}", hour)
        reading = session.store.read_whole

        async def read(run_key: RunKey) -> WholeRun | None:
            happened.append("read")
            return await reading(run_key)

        monkeypatch.setattr(session.store, "read_whole", read)
        archive = Parts()
        await prune(session, Retention(keep=HOUR), archive=archive)
        assert await left(session) == []
        assert archive.ids == ["run-0", "run-1", "run-2"]
    assert happened == (["read", "written"] * 3 if are_large else ["read"] * 3 + ["written"])
