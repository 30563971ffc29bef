"""A clock that is set back: what a store does about it costs little, however many runs sleep."""

from pathlib import Path

from perdure.kernel.time import Timestamp
from perdure.stores.sql.clock import SLEEPING_RUNS
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import START, later
from tests.stores.sqlite.tracing import told_of


class VirtualClock:
    def now(self) -> Timestamp:
        return START


async def test_the_sleepers_are_looked_at_when_the_clock_was_set_back_and_with_each_renewal_only(
    tmp_path: Path,
) -> None:
    executed: list[str] = []
    with told_of(lambda text, _: executed.append(text)):
        session = StoreSession(SqliteStore(tmp_path / "runs.db", clock=VirtualClock()))
        await session.open(name="worker", lease_seconds=30)
        assert await session.store.renew_lease(now=later(20))
        looks = []
        for seconds in (1, 2, 3):
            await session.claim(now=later(seconds))
            looks.append(executed.count(SLEEPING_RUNS))
        assert await session.store.renew_lease(now=later(4))
        looks.append(executed.count(SLEEPING_RUNS))
        await session.claim(now=START)
        looks.append(executed.count(SLEEPING_RUNS))
        await session.store.close()
    assert looks == [1, 1, 1, 2, 3], "set back once more at last"
