"""When: nominal times compared with an oracle that looks at every quarter of an hour of thousands of days."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise, product
from random import Random
from zoneinfo import ZoneInfo

import pytest

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp, timestamp_from_datetime, timestamp_to_datetime
from perdure.timekeeping.specs import Calendar, Cron, Every, When, next_after

DAYS = {"Australia/Lord_Howe": 10_000, "Europe/Berlin": 2_000, "America/New_York": 2_000}
"""How many days of each zone; the first one's clock is set by half an hour."""
FIRST = datetime(2007, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
"""Offsets of these zones, and the minutes of all these patterns, are multiples of it: nothing happens in between."""

Sightings = dict[tuple[int, int], list[tuple[datetime, datetime]]]
"""Hour and minute -> when a local clock showed them: (instant, the local time that counts for it, naive)."""


def watch_clock(zone: str) -> tuple[Sightings, Sightings]:
    """Walk along a local clock; return what it shows at each quarter, and when each local time counts once.

    Once means: when the clock first shows the time, or has jumped over it.
    """
    tz = ZoneInfo(zone)
    each: Sightings = {}
    once: Sightings = {}
    furthest = FIRST.astimezone(tz).replace(tzinfo=None) - QUARTER
    for number in range(DAYS[zone] * 96):
        instant = FIRST + QUARTER * number
        local = instant.astimezone(tz).replace(tzinfo=None)
        each.setdefault((local.hour, local.minute), []).append((instant, local))
        while furthest < local:
            furthest += QUARTER
            once.setdefault((furthest.hour, furthest.minute), []).append((instant, furthest))
    return each, once


def chosen(
    sightings: Sightings, times: Iterable[tuple[int, int]], is_day: Callable[[datetime], bool]
) -> list[datetime]:
    return sorted({instant for at in times for instant, local in sightings[at] if is_day(local)})


def any_day(_local: datetime) -> bool:
    return True


def nominal_times(when: When, *, last: datetime) -> Iterator[datetime]:
    instant = Timestamp(timestamp_from_datetime(FIRST) - 1)
    while (following := next_after(when, instant)) is not None:
        instant = following
        moment = timestamp_to_datetime(instant)
        if moment >= last:
            return
        yield moment


@pytest.mark.parametrize("zone", DAYS)
def test_thousands_of_days_lose_no_time_and_double_none(zone: str) -> None:
    each, once = watch_clock(zone)
    quarters = (0, 15, 30, 45)
    cases: list[tuple[When, list[datetime]]] = [
        (Cron("30 2 * * *", zone), chosen(once, [(2, 30)], any_day)),
        (Cron("*/15 1-3 * * *", zone), chosen(once, product((1, 2, 3), quarters), any_day)),
        (Cron("0 * * * *", zone), chosen(each, product(range(24), (0,)), any_day)),
        (Cron("15 */2 * * *", zone), chosen(each, product(range(0, 24, 2), (15,)), any_day)),
        (Cron("0 2 1 * sun", zone), chosen(once, [(2, 0)], lambda t: t.day == 1 or t.weekday() == 6)),
        (Cron("45 1 L * *", zone), chosen(once, [(1, 45)], lambda t: (t + timedelta(days=1)).day == 1)),
        (
            Cron("0 2 * 3,4,10,11 sun#1", zone),
            chosen(once, [(2, 0)], lambda t: t.weekday() == 6 and t.day <= 7 and t.month in (3, 4, 10, 11)),
        ),
        (
            Calendar(
                times=[time(1, 30), time(2, 15)], weekdays=["sun", "mon"], exclusions=[date(2010, 3, 28)], tz=zone
            ),
            chosen(
                once,
                [(1, 30), (2, 15)],
                lambda t: t.weekday() in (6, 0) and t.date() != date(2010, 3, 28),
            ),
        ),
    ]
    for when, expected in cases:
        actual = list(nominal_times(when, last=FIRST + timedelta(days=DAYS[zone])))
        assert len(set(actual)) == len(actual)
        assert actual == expected, (when, sorted(set(actual) ^ set(expected))[:5])


@pytest.mark.parametrize("zone", [*DAYS, "Antarctica/Troll", "Pacific/Apia", "UTC"])
def test_the_next_time_is_the_same_from_wherever_one_looks(zone: str) -> None:
    random = Random(zone)
    for expression in ("*/20 * * * *", "30 2 * * *", "0 0 29 2 *", "0 */3 * * 7"):
        when = Cron(expression, zone)
        times = []
        instant = timestamp_from_datetime(datetime(2011, 1, 1, tzinfo=UTC))
        for _ in range(2_000):
            found = next_after(when, instant)
            if found is None or found > timestamp_from_datetime(datetime(2024, 3, 5, tzinfo=UTC)):
                break
            instant = found
            times.append(found)
        assert times == sorted(set(times))
        for earlier, later in pairwise(times):
            assert next_after(when, Timestamp(random.randrange(earlier, later))) == later


def test_a_skipped_time_happens_at_the_end_of_the_gap_and_a_repeated_one_the_first_time() -> None:
    when = Cron("30 2 * * *", tz="Europe/Berlin")
    found = [
        timestamp_to_datetime(after(when, datetime(2025, month, day, tzinfo=UTC))) for month, day in ((3, 30), (10, 26))
    ]
    assert found == [datetime(2025, 3, 30, 1, 0, tzinfo=UTC), datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]


def test_a_day_that_a_zone_skips_happens_at_its_end() -> None:
    when = Cron("0 12 * * *", tz="Pacific/Apia")  # there was no 30 December 2011
    found = timestamp_to_datetime(after(when, datetime(2011, 12, 30, 0, 0, tzinfo=UTC)))
    assert found == datetime(2011, 12, 30, 10, 0, tzinfo=UTC)


def after(when: When, moment: datetime) -> Timestamp:
    found = next_after(when, timestamp_from_datetime(moment))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@yearly", datetime(2027, 1, 1, tzinfo=UTC)),
        ("@weekly", datetime(2026, 11, 29, tzinfo=UTC)),
        ("10 30 8 * * *", datetime(2026, 11, 26, 8, 30, 10, tzinfo=UTC)),
        ("0 0 L-1 feb *", datetime(2027, 2, 27, tzinfo=UTC)),
        ("0 0 * * friL", datetime(2026, 11, 27, tzinfo=UTC)),
        ("0 0 * * 5#5", datetime(2027, 1, 29, tzinfo=UTC)),
        ("0 0 * * sat-sun", datetime(2026, 11, 28, tzinfo=UTC)),
        ("0 0 * * sun-sun", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0 0 * * 0-1", datetime(2026, 11, 29, tzinfo=UTC)),
        ("5/20 * ? * *", datetime(2026, 11, 25, 12, 5, tzinfo=UTC)),
        ("0 0 29 2 1", datetime(2026, 11, 30, 0, 0, tzinfo=UTC)),
        ("0 0 29 2 */1", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_cron_expressions_mean_what_cron_says(expression: str, expected: datetime) -> None:
    if expression == "0 0 29 2 1":
        expected = datetime(2027, 2, 1, tzinfo=UTC)  # either day field is enough, in February
    assert timestamp_to_datetime(after(Cron(expression), datetime(2026, 11, 25, 12, tzinfo=UTC))) == expected


def test_a_date_that_never_comes_has_no_next_time() -> None:
    assert next_after(Cron("0 0 30 2 *"), Timestamp(0)) is None


def test_intervals_are_counted_from_the_epoch_with_their_offset() -> None:
    when = Every(timedelta(minutes=15), offset=timedelta(minutes=5))
    start = datetime(2026, 11, 25, 12, 5, tzinfo=UTC)
    assert timestamp_to_datetime(after(when, start)) == start + timedelta(minutes=15)
    assert timestamp_to_datetime(after(when, start - timedelta(microseconds=1))) == start


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cron("* * * *"),
        lambda: Cron("60 * * * *"),
        lambda: Cron("*/0 * * * *"),
        lambda: Cron("5-1 * * * *"),
        lambda: Cron("0 0 L-31 * *"),
        lambda: Cron("0 0 * * fri#6"),
        lambda: Cron("0 0 * * foo"),
        lambda: Cron("²  0 * * *"),
        lambda: Cron("@reboot"),
        lambda: Cron(7),  # type: ignore[arg-type]
        lambda: Cron("@daily", tz="Europe/Atlantis"),
        lambda: Cron("@daily", tz="../../etc/passwd"),
        lambda: Cron("@daily", tz="Europe/Berlin" * 1_000),
        lambda: Cron("@daily", tz="Europe/Ber\0lin"),
        lambda: Cron(f"{'9' * 5_000} * * * *"),
        lambda: Cron(f"*/{'9' * 5_000} * * * *"),
        lambda: Cron("0," * 100_000 + "0 * * * *"),
        lambda: Every(timedelta(milliseconds=1)),
        lambda: Every(5),  # type: ignore[arg-type]
        lambda: Calendar(times=[]),
        lambda: Calendar(times=time(9)),  # type: ignore[arg-type]
        lambda: Calendar(times=[time(9)], months=[13]),
        lambda: Calendar(times=[time(9)], days=[0]),
        lambda: Calendar(times=[time(9)], weekdays=["monday"]),
    ],
)
def test_what_means_no_time_is_refused_where_it_is_written(make: Callable[[], When]) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


@pytest.mark.parametrize(
    ("expression", "pointing"),
    [
        ("60 * * * *", "^^"),
        ("0 3  x-y * *", "     ^^^"),
        ("* * * * * mon,foo", "          ^^^^^^^"),
    ],
)
def test_an_unreadable_cron_expression_is_pointed_at_where_it_is_wrong(expression: str, pointing: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Cron(expression)
    assert str(caught.value).splitlines()[1:] == [f"  {expression}", f"  {pointing}"]
