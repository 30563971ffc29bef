"""The server's time as sessions know it."""

import random
import time

import pytest

from perdure.stores.postgres.clock import ServerClock
from perdure.stores.postgres.store import PostgresStore
from perdure.torture.programs.postgres_harness import PostgresHarness

SECOND = 1_000_000_000
AHEAD = 50 * 365 * 86_400 * SECOND


class Machine:
    """A counter, and a server's clock that is ahead of it, in nanoseconds."""

    def __init__(self) -> None:
        self.count = SECOND
        self.ahead = AHEAD
        self.clock = ServerClock(lambda: self.count)

    def ask(self, *, there: int, back: int) -> None:
        """Ask for the time: the question takes `there`, the answer `back`."""
        asked_at = self.count
        shown = (asked_at + there + self.ahead) // 1_000
        self.count += there + back
        self.clock.learn(shown, asked_at=asked_at, answered_at=self.count)

    @property
    def late(self) -> int:
        """By how many nanoseconds what the clock tells is behind what the server's shows."""
        return self.count + self.ahead - self.clock.now() * 1_000


def test_it_is_never_ahead_of_the_server_and_behind_by_no_more_than_the_quickest_question_took() -> None:
    choose = random.Random(4)
    for _ in range(200):
        machine, quickest = Machine(), SECOND
        for _ in range(20):
            there, back = (choose.randrange(1, 10 ** choose.randrange(3, 9)) for _ in range(2))
            quickest = min(quickest, there + back)
            machine.ask(there=there, back=back)
            machine.count += choose.randrange(SECOND // 1_000)
            assert 0 <= machine.late <= quickest + machine.count // 500, "with room for drift"


def test_what_several_questions_have_in_common_is_nearer_than_any_of_them() -> None:
    machine = Machine()
    machine.ask(there=1_000_000, back=9_000_000)
    assert machine.late >= 9_000_000
    machine.ask(there=9_000_000, back=1_000_000)
    assert machine.late < 1_100_000
    machine.ask(there=1_000_000, back=9_000_000)
    assert machine.late < 1_200_000


@pytest.mark.parametrize("seconds", [-3_600, 3_600])
def test_a_server_whose_clock_was_set_is_believed_at_once(seconds: int) -> None:
    machine = Machine()
    machine.ask(there=100_000, back=100_000)
    machine.ahead += seconds * SECOND
    machine.ask(there=2_000_000, back=3_000_000)
    assert 0 <= machine.late <= 5_000_000


@pytest.mark.parametrize("pace", [-400, 400])
def test_a_server_whose_clock_has_another_pace_is_followed(pace: int) -> None:
    machine = Machine()
    for _ in range(500):
        machine.ask(there=100_000, back=100_000)
        machine.count += SECOND
        machine.ahead += pace * SECOND // 1_000_000
        assert 0 <= machine.late < 2_000_000


async def test_a_store_tells_the_time_of_its_server_whatever_its_machine_shows(
    postgres: str, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    with monkeypatch.context() as machine:
        machine.setattr(time, "time_ns", lambda: real() + 3_600 * SECOND)
        store = PostgresStore(postgres)
        assert store.clock.now() * 1_000 > real() + 3_500 * SECOND
        await store.open(session_name="one", lease_seconds=30, on_changes=lambda _: None)
        try:
            before = real()
            told = store.clock.now() * 1_000
        finally:
            await store.close()
    assert abs(told - before) < 60 * SECOND
    assert await harness.fetchval("SELECT count(*) FROM sessions") == 0
