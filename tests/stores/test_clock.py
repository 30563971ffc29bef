"""What is done about a clock that was set back: the decision of all stores. Times are seconds, and a lease has 30."""

import pytest

from perdure.kernel.time import Timestamp
from perdure.stores.clock import Step, heed

HASTEN, CUT, NOTE, FORGET = Step.HASTEN, Step.CUT_LEASES, Step.NOTE_SETTING_BACK, Step.FORGET_SETTING_BACK
CLAIM = None


@pytest.mark.parametrize(
    ("now", "latest", "set_back_at", "known", "steps"),
    [
        pytest.param(100, 100, None, CLAIM, (), id="it goes on"),
        pytest.param(130, 100, None, 100, (), id="it goes on, and the lease is late"),
        pytest.param(131, 100, None, CLAIM, (Step.NOTE_TIME,), id="it was set forward"),
        pytest.param(100, 100, 90, 80, (FORGET,), id="it has caught up"),
        pytest.param(140, 100, 90, 80, (FORGET, Step.NOTE_TIME), id="it has caught up by being set forward"),
        pytest.param(90, 100, None, CLAIM, (HASTEN, NOTE), id="a claim may only come late"),
        pytest.param(90, 100, 80, CLAIM, (), id="a claim does nothing again"),
        pytest.param(90, 100, 95, CLAIM, (HASTEN, NOTE), id="it was set back once more"),
        pytest.param(90, 100, None, 85, (HASTEN, NOTE), id="a renewal may only come late"),
        pytest.param(90, 100, 89, 85, (HASTEN,), id="so may one after another"),
        pytest.param(90, 100, 59, 85, (HASTEN,), id="a lease after another that came late, too"),
        pytest.param(90, 100, None, 95, (HASTEN, CUT, NOTE), id="it shows less than was known when the lease began"),
        pytest.param(90, 100, None, 90, (HASTEN, NOTE), id="it shows what was known when the lease began"),
        pytest.param(90, 100, 60, 100, (HASTEN, CUT), id="what was decided before may come for a lease"),
        pytest.param(90, 100, 59, 100, (HASTEN, CUT, Step.SET_TIME_BACK, FORGET), id="and no longer"),
        pytest.param(90, 100, None, 110, (HASTEN, NOTE), id="it was set back, and all leases were cut then"),
    ],
)
def test_a_clock_that_was_set_back_is_heeded(
    now: int, latest: int, set_back_at: int | None, known: int | None, steps: tuple[Step, ...]
) -> None:
    assert heeded(now, latest, set_back_at, known) == steps


def test_a_clock_that_is_behind_by_no_more_than_sessions_are_apart_was_not_set_back() -> None:
    assert heeded(98, 100, None, 100, apart=2) == ()
    assert heeded(97, 100, None, 99, apart=2) == (HASTEN, NOTE)
    assert heeded(97, 100, None, 100, apart=2) == (HASTEN, CUT, NOTE)


def heeded(now: int, latest: int, set_back_at: int | None, known: int | None, *, apart: int = 0) -> tuple[Step, ...]:
    return heed(
        now=Timestamp(now),
        latest_time=Timestamp(latest),
        set_back_at=None if set_back_at is None else Timestamp(set_back_at),
        known_time=None if known is None else Timestamp(known),
        lease_microseconds=30,
        apart_microseconds=apart,
    )
