"""What goes wrong again and again is told at once, and then with a growing distance."""

import pytest

from perdure.logs import Recurring


class Place:
    """A log that is written at moments that are set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.recurring = Recurring("perdure.recurring", lambda: self.seconds)

    def tell(self, seconds: float, cause: str = "one page") -> None:
        self.seconds = seconds
        self.recurring.error("run %s failed: %s", 7, cause, cause=ValueError(cause))


def test_what_recurs_is_told_after_a_minute_two_and_four_with_how_often_it_was_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    for second in range(600):
        place.tell(float(second))
    more = "(and {} times since that was said last, of this or others)"
    assert [record.getMessage() for record in caplog.records] == [
        "run 7 failed: one page",
        f"run 7 failed: one page {more.format(59)}",
        f"run 7 failed: one page {more.format(119)}",
        f"run 7 failed: one page {more.format(239)}",
    ]


def test_another_cause_is_told_at_once_and_so_is_one_that_was_gone_for_long(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    place.tell(0.0)
    place.tell(1.0, "another")
    place.tell(2.0)
    place.tell(200.0)
    place.tell(201.0)
    assert [(record.getMessage(), record.args) for record in caplog.records] == [
        ("run 7 failed: one page", (7, "one page")),
        ("run 7 failed: another", (7, "another")),
        ("run 7 failed: one page", (7, "one page")),
    ]
