"""Warm runs: how many are kept, and which make room."""

import pytest

from perdure.execution.warm_runs import WarmRun, WarmRuns
from perdure.kernel.identity import RunKey, WorkflowVersion

REST_SECONDS = 10.0


class Noted(WarmRun):
    """A run that notes that it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def run_of(size_bytes: int = 10) -> Noted:
    run = Noted(WorkflowVersion("order", "1"), code="1.0")
    run.size_bytes = size_bytes
    return run


def kept(*, most: int = 100, most_bytes: int = 1_000) -> WarmRuns:
    return WarmRuns(most=most, most_bytes=most_bytes, rest_seconds=REST_SECONDS)


def keys(runs: WarmRuns) -> list[int]:
    return list(runs)


def test_the_least_recently_moved_makes_room() -> None:
    runs, noted = kept(most=2), {number: run_of() for number in (1, 2, 3)}
    runs.put(RunKey(1), noted[1], 0.0, has_moved=True)
    runs.put(RunKey(2), noted[2], 1.0, has_moved=True)
    runs.put(RunKey(1), noted[1], 2.0, has_moved=True)
    runs.put(RunKey(3), noted[3], 3.0, has_moved=True)
    assert keys(runs) == [1, 3]
    assert [run.is_closed for run in noted.values()] == [False, True, False]


def test_bytes_of_histories_are_limited() -> None:
    runs = kept(most_bytes=100)
    for number in (1, 2, 3):
        runs.put(RunKey(number), run_of(40), 0.0, has_moved=True)
    assert keys(runs) == [2, 3]
    runs.put(RunKey(4), run_of(100), 0.0, has_moved=True)
    assert keys(runs) == [4]
    runs.put(RunKey(5), run_of(101), 0.0, has_moved=True)
    assert keys(runs) == []


def test_what_is_taken_or_let_go_takes_no_room() -> None:
    runs = kept(most_bytes=100)
    runs.put(RunKey(1), run_of(60), 0.0, has_moved=True)
    taken = runs.take(RunKey(1))
    assert isinstance(taken, Noted)
    taken.size_bytes += 30  # it has moved on
    runs.put(RunKey(1), taken, 0.0, has_moved=True)
    assert runs.has_room(0.0)
    runs.put(RunKey(2), run_of(20), 0.0, has_moved=True)
    assert (keys(runs), taken.is_closed) == ([2], True)
    runs.discard(RunKey(2))
    runs.discard(RunKey(2))
    runs.put(RunKey(3), run_of(100), 0.0, has_moved=True)
    assert keys(runs) == [3]
    runs.clear()
    assert len(runs) == 0


def test_a_newcomer_displaces_none_that_has_moved_just_now() -> None:
    runs = kept(most=1)
    assert runs.has_room(0.0)
    runs.put(RunKey(1), run_of(), 5.0, has_moved=True)
    assert not runs.has_room(5.0 + REST_SECONDS - 0.1)
    assert runs.has_room(5.0 + REST_SECONDS)


def test_what_does_not_move_has_the_places_that_are_free_and_an_eighth_of_the_bytes_is_none_of_them() -> None:
    runs = kept(most=3, most_bytes=80)
    assert runs.places == 3
    runs.put(RunKey(1), run_of(70), 0.0, has_moved=True)
    assert runs.places == 2
    runs.put(RunKey(2), run_of(1), 0.0, has_moved=True)
    assert (runs.places, runs.has_room(0.0)) == (0, True)


def test_what_does_not_move_displaces_none_and_has_no_place_before_there_is_room_for_it() -> None:
    runs, newcomer = kept(most_bytes=100), run_of(60)
    assert runs.put(RunKey(1), run_of(60), 0.0, has_moved=False)
    assert not runs.put(RunKey(2), newcomer, 1.0, has_moved=False)
    assert (keys(runs), newcomer.is_closed) == ([1], True)
    assert (runs.left_out, runs.bytes_needed(RunKey(2)), runs.room_bytes) == (1, 60, 40)
    assert runs.put(RunKey(3), run_of(40), 2.0, has_moved=False)
    assert (keys(runs), runs.places, runs.room_bytes) == ([1, 3], 0, 0)
    runs.discard(RunKey(1))
    assert runs.room_bytes == 60
    assert runs.put(RunKey(2), run_of(60), 3.0, has_moved=False)
    assert (keys(runs), runs.left_out, runs.bytes_needed(RunKey(2))) == ([3, 2], 0, 1)


def test_how_long_is_what_was_displaced_is_remembered() -> None:
    runs = kept(most_bytes=100)
    assert runs.put(RunKey(1), run_of(60), 0.0, has_moved=False)
    assert runs.put(RunKey(2), run_of(70), 1.0, has_moved=True)
    assert (keys(runs), runs.bytes_needed(RunKey(1))) == ([2], 60)
    runs.clear()
    assert runs.left_out == 0


def test_so_many_runs_that_were_left_out_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.execution.warm_runs.REMEMBERED_REASONS", 2)
    runs = kept(most=1)
    for number in range(5):
        runs.put(RunKey(number), run_of(), 0.0, has_moved=False)
    assert (keys(runs), runs.left_out) == ([0], 2)
    assert [runs.bytes_needed(RunKey(number)) for number in (1, 2, 3, 4)] == [1, 1, 10, 10]
