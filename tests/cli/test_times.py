from datetime import UTC, datetime, timedelta

import pytest

from perdure.cli.times import iso, parse_duration, parse_moment, show_moment
from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp, timestamp_from_datetime

NOON = timestamp_from_datetime(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("2w", timedelta(days=14)),
    ],
)
def test_a_duration_is_read_in_its_units(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "5", "h", "1x", "-1s", "1 h", "s5", "9" * 400 + "w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_duration(text)


def test_a_moment_is_a_time_or_a_duration_back() -> None:
    assert parse_moment("2h", now=NOON) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert parse_moment("2026-02-28T13:00+01:00", now=NOON) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    for text in ("yesterday", "999999999w", "0001-01-01T00:00+14:00", "9999-12-31T23:00-14:00"):
        with pytest.raises(InvalidArgumentError):
            parse_moment(text, now=NOON)


def test_instants_are_written_for_programs_in_utc_and_for_people_without_todays_date() -> None:
    assert iso(Timestamp(NOON + 5)) == "2026-03-01T12:00:00.000005Z"
    assert iso(None) is None
    assert len(show_moment(NOON, now=NOON)) == len("12:00:00")
    assert len(show_moment(NOON, now=Timestamp(NOON + 3 * 86_400_000_000))) == len("2026-03-01 12:00:00")
