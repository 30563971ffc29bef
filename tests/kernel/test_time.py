"""Instants and durations: exact in both directions."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.kernel.time import Timestamp, duration_microseconds, timestamp_from_datetime, timestamp_to_datetime


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)))
def test_a_datetime_comes_back_as_the_same_instant_in_utc(moment: datetime) -> None:
    back = timestamp_to_datetime(timestamp_from_datetime(moment))
    assert back == moment.astimezone(UTC)
    assert back.tzinfo is UTC


@given(st.timedeltas(max_value=timedelta(days=3650)))
def test_a_duration_is_counted_exactly(duration: timedelta) -> None:
    assert timedelta(microseconds=duration_microseconds(duration)) == duration


def test_the_epoch_is_zero_wherever_it_is_looked_at_from() -> None:
    assert timestamp_from_datetime(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert timestamp_to_datetime(Timestamp(1)) == datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)


def test_a_datetime_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone; pass an aware one"):
        timestamp_from_datetime(datetime(2024, 5, 1))  # noqa: DTZ001 - that it is naive is the point
