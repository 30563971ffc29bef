"""What follows from one look at a schedule, as the pure function says it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from perdure.kernel.priority import Priority
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.timekeeping.decisions import Decision, decide, jitter_of, revised
from perdure.timekeeping.schedules import Overlap, Pause, Plan, Reason, Schedule, run_id_of
from perdure.timekeeping.specs import Every

BEGIN = 1_700_000_040  # at a full minute


def at(minute: float) -> Timestamp:
    return Timestamp(round((BEGIN + 60 * minute) * MICROSECONDS_PER_SECOND))


def schedule(*, open_minutes: tuple[int, ...] = (), cursor: int = 0, **plan: Any) -> Schedule:
    """A schedule of every minute, which has dealt with the times up to `cursor`."""
    made = Plan(
        when=Every(timedelta(minutes=1)), workflow="w", definition_version="1", priority=Priority.NORMAL, **plan
    )
    return Schedule(
        plan=made, created_at=at(0), cursor=at(cursor), open_run_ids=tuple(run_id_of("s", at(m)) for m in open_minutes)
    )


def look(
    given: Schedule, minute: float, *, open_minutes: tuple[int, ...] = (), taken: tuple[int, ...] = ()
) -> Decision:
    def ids(minutes: tuple[int, ...]) -> set[str]:
        return {run_id_of("s", at(minute)) for minute in minutes}

    return decide("s", given, now=at(minute), open_run_ids=ids(open_minutes), taken=ids(taken))


def started(decision: Decision) -> list[Timestamp]:
    return [start.nominal_at for start in decision.starts]


def skipped(decision: Decision) -> list[tuple[Reason, int]]:
    return [(skip.reason, skip.count) for skip in decision.schedule.skips]


def test_what_is_due_starts_and_the_next_time_is_when_to_look_again() -> None:
    decision = look(schedule(), 1)
    assert (started(decision), skipped(decision), decision.due_at) == ([at(1)], [], at(2))
    assert look(decision.schedule, 1.5).starts == ()


@pytest.mark.parametrize(
    ("overlap", "reason"), [(Overlap.SKIP, [(Reason.OVERLAP, 1)]), (Overlap.BUFFER_ONE, []), (Overlap.BUFFER_ALL, [])]
)
def test_while_a_run_is_open_a_time_is_skipped_or_waits(overlap: Overlap, reason: list[tuple[Reason, int]]) -> None:
    decision = look(schedule(open_minutes=(1,), cursor=1, overlap=overlap), 2, open_minutes=(1,))
    assert (started(decision), skipped(decision)) == ([], reason)
    assert decision.waits is (not reason)
    assert started(look(decision.schedule, 2.5)) == ([] if reason else [at(2)])


def test_a_run_that_has_ended_may_be_open_again_until_another_starts() -> None:
    ended = look(schedule(open_minutes=(1,), cursor=1), 1.5).schedule
    assert skipped(look(ended, 2, open_minutes=(1,))) == [(Reason.OVERLAP, 1)]
    following = look(ended, 2)
    assert started(following) == [at(2)]
    assert following.schedule.open_run_ids == (run_id_of("s", at(2)),)


def test_a_full_buffer_skips() -> None:
    decision = look(schedule(open_minutes=(1,), cursor=1, overlap=Overlap.BUFFER_ONE), 3, open_minutes=(1,))
    assert (len(decision.schedule.buffer), skipped(decision)) == (1, [(Reason.BUFFER_FULL, 1)])


@pytest.mark.parametrize("overlap", [Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER])
def test_the_latest_of_several_that_end_the_open_run_waits_and_the_others_are_superseded(overlap: Overlap) -> None:
    decision = look(schedule(open_minutes=(1,), cursor=1, overlap=overlap), 4, open_minutes=(1,))
    assert [pending.nominal_at for pending in decision.schedule.buffer] == [at(4)]
    assert skipped(decision) == [(Reason.SUPERSEDED, 2)]
    asked, nobody = frozenset({run_id_of("s", at(1))}), frozenset[str]()
    assert (decision.cancelled, decision.terminated) == (
        (asked, nobody) if overlap is Overlap.CANCEL_OTHER else (nobody, asked)
    )


def test_a_time_whose_run_exists_already_starts_none() -> None:
    assert skipped(look(schedule(), 1, taken=(1,))) == [(Reason.EXISTS, 1)]


def test_no_more_runs_start_than_the_limit() -> None:
    decision = look(schedule(overlap=Overlap.ALLOW_ALL, limit=2), 5)
    assert (started(decision), decision.due_at) == ([at(1), at(2)], None)


def test_times_found_later_than_the_catch_up_window_are_missed() -> None:
    window = 90 * MICROSECONDS_PER_SECOND
    decision = look(schedule(overlap=Overlap.ALLOW_ALL, catch_up_microseconds=window), 5)
    assert (started(decision), skipped(decision)) == ([at(4), at(5)], [(Reason.MISSED, 3)])


def test_the_times_of_a_pause_are_skipped_when_it_ends() -> None:
    paused = msgspec.structs.replace(schedule(overlap=Overlap.ALLOW_ALL), pauses=(Pause(at(1)),))
    held = look(paused, 3)
    assert (started(held), skipped(held), held.due_at) == ([at(1)], [], None)
    ended = msgspec.structs.replace(held.schedule, pauses=(Pause(at(1), at(3)),))
    decision = look(ended, 4)
    assert (started(decision), skipped(decision)) == ([at(4)], [(Reason.PAUSED, 2)])


def test_times_that_an_update_takes_away_before_they_were_acted_on_are_skipped_with_that_reason() -> None:
    given = schedule(overlap=Overlap.ALLOW_ALL)
    slower = msgspec.structs.replace(given.plan, when=Every(timedelta(minutes=10)))
    decision = look(revised(given, slower, now=at(3.5)), 4)
    assert (started(decision), skipped(decision)) == ([], [(Reason.REPLANNED, 3)])
    ended = msgspec.structs.replace(given.plan, end_at=at(1))
    decision = look(revised(given, ended, now=at(3.5)), 4)
    assert (started(decision), skipped(decision), decision.due_at) == ([at(1)], [(Reason.REPLANNED, 2)], None)


def test_an_update_that_changes_no_times_leaves_those_that_are_due() -> None:
    given = schedule(overlap=Overlap.SKIP)
    changed = msgspec.structs.replace(given.plan, overlap=Overlap.ALLOW_ALL, end_at=at(100))
    decision = look(revised(given, changed, now=at(2)), 2)
    assert (started(decision), skipped(decision)) == ([at(1), at(2)], [])


@pytest.mark.parametrize("bound", [{"limit": 1}, {"end_at": at(1)}], ids=str)
def test_a_schedule_that_had_ended_goes_on_with_later_times_when_its_bound_is_lifted(bound: dict[str, Any]) -> None:
    ended = look(schedule(overlap=Overlap.ALLOW_ALL, **bound), 5).schedule
    unbounded = msgspec.structs.replace(ended.plan, limit=None, end_at=None)
    decision = look(revised(ended, unbounded, now=at(7.5)), 9)
    assert (started(decision), skipped(decision)) == ([at(8), at(9)], [])


def test_one_look_accounts_for_a_bounded_number_of_outdated_times() -> None:
    given = schedule()
    never = msgspec.structs.replace(given.plan, when=Every(timedelta(days=10_000)))
    decision = look(revised(given, never, now=at(1_000)), 1_000)
    assert (skipped(decision), decision.due_at) == ([(Reason.REPLANNED, 200)], at(1_000))
    while decision.schedule.outdated:
        decision = look(decision.schedule, 1_000)
    assert skipped(decision) == [(Reason.REPLANNED, 1_000)]


def test_one_look_deals_with_a_bounded_number_of_times_and_the_rest_is_due_at_once() -> None:
    decision = look(schedule(overlap=Overlap.ALLOW_ALL), 1_000)
    assert len(decision.starts) == 200
    assert decision.due_at is not None
    assert decision.due_at <= at(1_000)


def test_jitter_moves_a_time_always_by_the_same_within_its_bound() -> None:
    given = schedule(jitter_microseconds=30 * MICROSECONDS_PER_SECOND)
    moved = [jitter_of("s", given, at(minute)) for minute in range(50)]
    assert moved == [jitter_of("s", given, at(minute)) for minute in range(50)]
    assert len(set(moved)) > 40
    assert all(0 <= each < 30 * MICROSECONDS_PER_SECOND for each in moved)
