"""The queue of the committer, without an engine: what is tried when, in which order, and what is given up."""

import random

from perdure.errors import StoreFullError, StoreUnavailableError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.transition import Release, Write
from tests.execution.queued_store import AWAY, Store, away, bad_sector, message_to, numbers_by_run, write_of


def test_writes_go_together_in_the_order_in_which_they_came() -> None:
    store, writes = Store(batch=3), [write_of(run) for run in range(5)]
    store.add(*writes)
    store.work()
    assert store.tried == [writes[:3], writes[3:]]
    assert not store.queue


def test_a_run_whose_writes_all_fail_delays_no_other_and_refuses_no_client() -> None:
    store = Store()
    store.fails = bad_sector(1)
    bad = [write_of(1, number) for number in range(3)]
    store.add(*bad, *(write_of(run) for run in range(2, 9)))
    client = write_of(9)
    store.add(client, is_kept=False)
    store.work()
    assert {write.run_key for write in store.committed if isinstance(write, Release)} == set(range(2, 10))
    assert store.queue.trouble is None
    for moment in range(1, 200):
        store.add(client := write_of(100 + moment), is_kept=False)
        store.work_until(float(moment))
        assert client in store.committed
    assert [str(store.error_of(write)) for write in bad] == [
        "the disk is away (this write of run key 1 failed 5 times while others were committed, as on a bad sector)"
    ] * 3
    assert len([writes for writes in store.tried if writes[0] in bad]) == 1 + 6 + 6 + 6
    assert not store.queue


def test_a_write_that_was_given_up_is_followed_by_the_next_of_its_line_which_may_succeed() -> None:
    store, first, second = Store(), write_of(1, 1), write_of(1, 2)
    store.fails = lambda writes: AWAY if first in writes else None
    store.add(first, second)
    for moment in range(100):
        store.add(write_of(100 + moment))
        store.work_until(float(moment))
    assert store.error_of(first) is not None
    assert second in store.committed
    assert not store.queue


def test_nothing_is_given_up_where_nothing_else_is_committed() -> None:
    store, write = Store(), write_of(1)
    store.fails = bad_sector(1)
    store.add(write_of(2), write)
    store.work_until(10_000.0)
    assert len(store.tried) > 1_000
    assert store.error_of(write) is None
    store.fails = lambda _writes: None
    store.work_until(10_010.0)
    assert write in store.committed


def test_a_client_of_a_run_that_is_held_back_is_refused_and_others_of_its_line_wait() -> None:
    store = Store()
    store.fails = bad_sector(1)
    store.add(write_of(1, 1), write_of(2))
    store.work()
    store.add(client := write_of(1, 2), is_kept=False)
    assert store.error_of(client) is AWAY
    store.add(write_of(1, 3))
    store.fails = lambda _writes: None
    store.work_until(10.0)
    assert numbers_by_run(store.committed) == {1: [1, 3], 2: [0]}


def test_clients_behind_a_write_that_is_held_back_are_refused_with_it() -> None:
    store, client = Store(), write_of(1, 2)
    store.fails = bad_sector(1)
    store.add(write_of(1, 1))
    store.add(client, is_kept=False)
    store.work()
    assert store.error_of(client) is AWAY


def test_in_an_outage_what_is_kept_waits_and_clients_are_refused_after_some_tries() -> None:
    store, kept = Store(), [write_of(run) for run in range(50)]
    store.fails = away
    store.add(*kept)
    store.add(client := write_of(99), is_kept=False)
    store.work()
    assert len(store.tried) == 1 + 3
    assert store.error_of(client) is AWAY
    assert store.queue.trouble is AWAY
    store.work_until(1_000.0)
    assert all(len(writes) == 1 for writes in store.tried[1:])
    store.fails = lambda _writes: None
    store.work_until(1_010.0)
    assert sorted(numbers_by_run(store.committed)) == list(range(50))
    assert store.queue.trouble is None


def test_pauses_of_an_outage_double_up_to_the_limit() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(5)))
    store.work()
    moments = []
    for _ in range(6):
        store.now = store.queue.pause_ends_at
        moments.append(store.now)
        store.work()
    assert moments == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0]


def test_in_an_outage_one_client_between_two_tries_finds_out_how_the_store_is() -> None:
    store = Store()
    store.fails = bad_sector(0, 1, 2)  # as if it were all that there is
    store.add(*(write_of(run) for run in range(3)))
    store.work()
    assert store.queue.trouble is AWAY
    store.add(probe := write_of(10), refused := write_of(11), is_kept=False)
    assert store.error_of(refused) is AWAY
    store.work()
    assert probe in store.committed
    assert store.queue.trouble is None
    store.add(write_of(12), is_kept=False)
    store.work()
    assert store.tried[-1] != [probe]
    assert sorted(numbers_by_run(store.committed)) == [10, 12]


def test_a_client_that_finds_out_passes_no_write_of_its_line() -> None:
    store, target = Store(), RunRef(id="someone")
    store.fails = away
    store.add(message_to(target), *(write_of(run) for run in range(3)))
    store.work()
    store.add(behind := message_to(RunRef(id="someone", generation=2)), is_kept=False)
    assert store.error_of(behind) is AWAY


def test_what_comes_after_a_client_that_waits_to_find_out_stays_behind_it() -> None:
    """Such as the giving back of a run after its creation."""
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(3)))
    store.work()
    batch = store.queue.take(store.queue.pause_ends_at)
    store.add(write_of(9, 1), is_kept=False)
    store.add(write_of(9, 2))
    store.queue.succeeded(batch)
    store.fails = lambda _writes: None
    store.work()
    assert numbers_by_run(store.committed)[RunKey(9)] == [1, 2]


def test_a_client_passes_no_write_of_its_line_that_is_under_way() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run, 1) for run in range(3)))
    store.work()
    [under_way] = store.queue.take(store.queue.pause_ends_at)
    store.add(behind := write_of(under_way.write.run_key, 2), is_kept=False)  # type: ignore[union-attr]
    assert store.error_of(behind) is AWAY


def test_a_client_that_waits_to_find_out_is_served_when_a_write_under_way_succeeds() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(3)))
    store.work()
    batch = store.queue.take(store.queue.pause_ends_at)
    store.add(client := write_of(9), is_kept=False)
    store.queue.succeeded(batch)
    store.fails = lambda _writes: None
    store.work()
    assert client in store.committed


def test_while_a_client_waits_to_find_out_no_other_does_whatever_is_tried_meanwhile() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(3)))
    store.work()
    store.now = store.queue.pause_ends_at
    batch = store.begin()
    store.add(first := write_of(8), is_kept=False)
    store.end(batch)
    store.add(second := write_of(9), is_kept=False)
    assert store.error_of(second) is AWAY
    store.work()
    assert store.error_of(first) is AWAY


def test_a_client_alone_is_told_and_the_next_one_finds_out_anew() -> None:
    store = Store()
    for run in range(6):
        store.fails = away
        store.add(client := write_of(run), is_kept=False)
        store.work()
        assert store.error_of(client) is AWAY
        assert store.queue.trouble is AWAY
    store.fails = lambda _writes: None
    store.add(client := write_of(7), is_kept=False)
    store.work()
    assert client in store.committed
    assert store.queue.trouble is None


def test_one_commit_that_gets_through_in_an_outage_makes_nothing_fail_by_itself() -> None:
    for gets_through in range(1, 30):
        store, kept = Store(), [write_of(run) for run in range(3)]
        count = iter(range(1_000))
        store.fails = lambda _writes, count=count, only=gets_through: (  # type: ignore[misc]
            None if next(count) in (only, only + 7, only + 9) else AWAY
        )
        store.add(*kept)
        store.work_until(500.0)
        store.fails = lambda _writes: None
        store.work_until(520.0)
        assert sorted(numbers_by_run(store.committed)) == [0, 1, 2]


def test_a_full_disk_makes_nothing_fail_by_itself_although_others_find_room() -> None:
    store, large = Store(), write_of(1)
    store.fails = lambda writes: StoreFullError("the disk is full") if large in writes else None
    store.add(large)
    for moment in range(1, 200):
        store.add(write_of(moment + 1))
        store.work_until(float(moment))
    store.work_until(1_000.0)
    assert len(store.committed) == 199
    assert store.error_of(large) is None
    store.fails = lambda _writes: None
    store.work_until(1_010.0)
    assert large in store.committed


def test_a_full_disk_is_tried_once_before_clients_are_refused() -> None:
    store = Store()
    store.fails = lambda _writes: StoreFullError("the disk is full")
    store.add(write_of(1), write_of(2), write_of(3))
    store.add(client := write_of(4), is_kept=False)
    store.work()
    assert len(store.tried) == 1
    assert isinstance(store.error_of(client), StoreFullError)


def test_a_write_with_damage_leaves_a_line_that_was_held_back_and_the_next_is_tried_at_once() -> None:
    store, first, second = Store(), write_of(1, 1), write_of(1, 2)
    store.fails = bad_sector(1)
    store.add(first, second, write_of(2))
    store.work()
    batch = store.queue.take(store.queue.pause_ends_at)
    assert [entry.write for entry in batch] == [first]
    store.queue.answered(batch, store.now)
    store.fails = lambda _writes: None
    store.work_until(store.now + 1.0)
    assert second in store.committed
    assert not store.queue


def test_giving_up_tries_all_once_more_and_forgets_no_write_and_none_twice() -> None:
    store = Store()
    store.fails = bad_sector(1)
    store.add(write_of(1, 1), write_of(1, 2), write_of(2))
    store.work()
    batch = store.queue.take(store.queue.pause_ends_at)
    store.queue.give_up()
    left = [entry.write for entry in store.queue.take_all(batch)]
    assert numbers_by_run(left) == {1: [1, 2]}
    assert not store.queue


def test_the_lines_of_many_runs_on_bad_sectors_do_not_keep_others_from_being_committed() -> None:
    store = Store()
    store.fails = bad_sector(*range(20))
    store.add(*(write_of(run) for run in range(200)))
    for moment in range(1, 300):
        store.add(write_of(1_000 + moment))
        store.work_until(float(moment))
    assert len(store.committed) == 180 + 299
    assert len(store.refused) == 20
    assert not store.queue


def test_whatever_fails_the_writes_of_a_run_keep_their_order_and_none_is_lost_or_made_twice() -> None:
    for seed in range(600):
        chance = random.Random(seed)
        store = Store(batch=chance.choice((1, 3, 100)), lanes=chance.choice((1, 2, 3)))
        bad = bad_sector(*chance.sample(range(6), chance.choice((0, 1, 2))))
        given: list[Write] = []
        share = chance.choice((0.0, 0.05, 0.5, 0.9, 1.0))
        kind = chance.choice((StoreUnavailableError, StoreUnavailableError, StoreFullError))
        store.fails = lambda writes, bad=bad, share=share, kind=kind, chance=chance: (  # type: ignore[misc]
            bad(writes) or (kind("flapping") if chance.random() < share else None)
        )
        damaged = chance.choice((0.0, 0.0, 0.1, 0.5))
        store.damages = lambda _writes, damaged=damaged, chance=chance: chance.random() < damaged  # type: ignore[misc]

        for number in range(60):
            given.append(write := write_of(chance.randrange(6), number))
            store.add(write, is_kept=chance.random() < 0.7)
            store.churn(chance, chance.choice((0, 1, 5)))
            store.now += chance.choice((0.0, 0.5, 3.0))
        store.fails, store.damages = lambda _writes: None, lambda _writes: False
        while store.under_way:
            store.end(chance.choice(store.under_way))
        store.work_until(store.now + 100.0)
        assert not store.queue
        assert len(store.committed) + len(store.refused) == len(given)
        assert all((id(write) in store.refused) != (write in store.committed) for write in given)
        for numbers in numbers_by_run(store.committed).values():
            assert numbers == sorted(numbers)


def test_what_is_kept_outlives_a_store_that_flaps() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        store = Store(lanes=chance.choice((1, 3)))
        share = chance.choice((0.5, 0.8, 0.95))
        store.fails = lambda _writes, share=share, chance=chance: (  # type: ignore[misc]
            AWAY if chance.random() < share else None
        )
        kept = [write_of(run, number) for number in range(3) for run in range(5)]
        store.add(*kept)
        for moment in range(100):
            store.add(write_of(1_000 + moment), is_kept=False)
            store.churn(chance, 8)
            store.now = moment * 0.3
        store.fails = lambda _writes: None
        while store.under_way:
            store.end(chance.choice(store.under_way))
        store.work_until(store.now + 100.0)
        assert [write for write in kept if store.error_of(write) is not None] == []


def test_parted_for_damage_each_is_tried_alone_and_an_unavailable_store_is_a_first_failure() -> None:
    store, writes = Store(), [write_of(run) for run in range(3)]
    store.add(*writes)
    store.queue.part(store.queue.take(0.0))
    store.fails = away
    store.work()
    assert store.tried == [[write] for write in writes]
    assert store.refused == {}
    store.fails = lambda _writes: None
    store.work_until(10.0)
    assert len(store.committed) == 3


def test_a_write_that_has_failed_by_itself_is_not_given_up_once_nothing_else_is_committed() -> None:
    store, write = Store(), write_of(1)
    store.fails = bad_sector(1)
    store.add(write)
    for moment in (1.0, 2.0):
        store.add(write_of(2))
        store.work_until(moment)
    store.work_until(1_000.0)
    assert store.error_of(write) is None


def test_a_write_that_fails_soon_after_another_did_has_not_failed_by_itself() -> None:
    store, write = Store(), write_of(1)
    store.fails = bad_sector(1, 3)
    store.add(write)
    for _ in range(50):
        store.work()
        store.add(write_of(2))
        store.work()
        store.add(write_of(3), is_kept=False)
        store.work()
        store.now = store.queue.pause_ends_at
    assert len(store.committed) == 50
    assert store.error_of(write) is None


def test_when_it_is_found_what_kept_a_batch_from_being_committed_the_rest_goes_together() -> None:
    store = Store()
    store.fails = bad_sector(1)
    store.add(write_of(2), write_of(1, 1), write_of(1, 2), *(write_of(run) for run in range(3, 50)))
    store.work()
    assert [len(writes) for writes in store.tried] == [50, 1, 1, 1, 46]
    assert len(store.committed) == 48


def test_what_is_held_back_with_a_write_that_failed_is_not_among_those_to_be_tried_alone() -> None:
    store = Store(batch=3)
    store.fails = bad_sector(1)
    store.add(write_of(2), write_of(1, 1), write_of(1, 2), write_of(3), write_of(4))
    store.work()
    assert [len(writes) for writes in store.tried] == [3, 1, 1, 2]


def test_after_an_outage_all_goes_together_again() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(50)))
    store.work()
    store.fails = lambda _writes: None
    store.work_until(10.0)
    assert [len(writes) for writes in store.tried] == [50, 1, 1, 1, 1, 49]


def test_between_any_two_tries_of_what_is_held_back_others_are_served() -> None:
    store = Store(batch=1)
    store.fails = bad_sector(*range(2))
    store.add(*(write_of(run) for run in range(2)))
    store.work()
    store.now = 100.0
    store.add(*(write_of(2 + number) for number in range(4)))
    store.tried.clear()
    store.work()
    assert [writes[0].run_key < 2 for writes in store.tried if isinstance(writes[0], Release)] == [
        *(True, False, True, False, False, False)
    ]


def test_damage_that_ends_the_last_that_was_kept_in_an_outage_ends_it() -> None:
    for is_asked in (False, True):
        store, write, client = Store(), write_of(1), write_of(2)
        store.fails = lambda _writes: StoreFullError("the disk is full")
        store.add(write)
        store.work()
        batch = store.queue.take(store.queue.pause_ends_at)
        if is_asked:
            store.add(client, is_kept=False)
        store.queue.answered(batch, store.now)
        store.fails = lambda _writes: None
        store.work()
        assert store.committed == [client] * is_asked
        assert not store.queue


def test_after_each_try_of_an_outage_another_client_may_find_out() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(3)))
    store.work()
    for moment, lines in ((1.0, 1), (3.0, 2), (7.0, 3)):
        tried = len(store.tried)
        store.add(write_of(8), write_of(9), is_kept=False)
        store.work()
        assert len(store.tried) == tried + 1
        store.work_until(moment)
        assert len(store.tried) == tried + 1 + lines


def test_amid_the_tries_after_a_pause_a_client_may_find_out_too() -> None:
    store, client = Store(), write_of(9)
    store.fails = away
    store.add(*(write_of(run) for run in range(5)))
    store.work_until(1.5)
    store.now = store.queue.pause_ends_at
    assert store.try_once()
    store.add(client, is_kept=False)
    assert store.try_once()
    assert store.tried[-1] == [client]


def test_in_an_outage_of_the_whole_store_one_line_is_tried_after_each_pause() -> None:
    store = Store()
    store.fails = lambda _writes: StoreFullError("the disk is full")
    store.add(*(write_of(run) for run in range(5)))
    store.work_until(40.0)
    assert len(store.tried) == 8


def test_many_lines_beside_a_bad_sector_keep_nothing_else_waiting_for_long() -> None:
    store, sound = Store(), [write_of(run) for run in range(100, 120)]
    store.fails = bad_sector(*range(40))
    store.add(*(write_of(run) for run in range(40)), *sound)
    store.work_until(40.0)  # six pauses; it would be forty
    assert store.committed == sound


def test_an_outage_has_no_line_tried_twice_after_one_pause() -> None:
    store = Store()
    store.fails = away
    store.add(*(write_of(run) for run in range(5)))
    store.work()
    for moment in (1.0, 3.0, 7.0, 15.0, 23.0):
        begun = len(store.tried)
        store.work_until(moment)
        tried = [write.run_key for [write] in store.tried[begun:] if isinstance(write, Release)]
        assert 1 <= len(tried) == len(set(tried)) <= 5


def test_what_follows_a_refused_write_of_a_client_in_its_line_is_tried_next() -> None:
    store, first, second = Store(), write_of(1, 1), write_of(1, 2)
    store.fails = lambda writes: AWAY if first in writes else None
    store.add(first, second, is_kept=False)
    store.work()
    assert store.error_of(first) is AWAY
    assert store.committed == [second]
