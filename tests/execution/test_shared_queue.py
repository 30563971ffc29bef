"""The queue of the committer where several batches may be under way: what goes beside what, and what goes alone."""

import random

from perdure.errors import StoreCorruptError
from perdure.kernel.identity import RunKey, RunRef
from tests.execution.queued_store import AWAY, Store, away, bad_sector, message_to, numbers_by_run, write_of


def shared(*, batch: int = 100) -> Store:
    return Store(batch=batch, lanes=3)


def test_all_that_waits_goes_together_while_another_batch_is_under_way() -> None:
    store, writes = shared(), [write_of(run) for run in range(6)]
    for batch in (writes[:1], writes[1:3], writes[3:]):
        store.add(*batch)
        store.begin()
    assert store.tried == [writes[:1], writes[1:3], writes[3:]]


def test_what_waits_behind_a_write_of_its_line_goes_when_that_is_answered_and_keeps_its_place() -> None:
    store, first, second, third = shared(), write_of(1, 1), write_of(1, 2), write_of(1, 3)
    store.add(first)
    under_way = store.begin()
    store.add(second, other := write_of(2), third)
    assert [entry.write for entry in store.begin()] == [other]
    assert not store.queue, "nothing is to be handed out"
    store.add(last := write_of(3))
    store.end(under_way)
    assert [entry.write for entry in store.begin()] == [second, third, last]


def test_what_a_full_batch_leaves_of_its_lines_waits_behind_it_and_does_not_fill_the_next() -> None:
    store = shared(batch=2)
    store.add(*(write_of(1, number) for number in range(5)), write_of(2), write_of(3), write_of(4))
    first, second = store.begin(), store.begin()
    assert numbers_by_run(entry.write for entry in second) == {2: [0], 3: [0]}
    store.end(first)
    store.end(second)
    store.work()
    assert numbers_by_run(store.committed) == {1: [0, 1, 2, 3, 4], 2: [0], 3: [0], 4: [0]}


def test_a_message_waits_for_another_to_the_same_name_but_not_for_a_write_of_its_run() -> None:
    store, name = shared(), RunRef(id="someone")
    store.add(write_of(1))
    store.begin()
    store.add(to_name := message_to(name))
    assert [entry.write for entry in store.begin()] == [to_name]
    store.add(message_to(RunRef(id="someone", generation=2)))
    assert store.begin() == []


def test_a_batch_that_fails_while_another_is_under_way_is_tried_again_alone() -> None:
    store = shared()
    store.add(bad := write_of(1))
    first = store.begin()
    store.add(write_of(2))
    second = store.begin()
    store.add(third := write_of(3))
    store.fails = bad_sector(1)
    store.end(first)
    assert store.queue.is_failing
    assert store.begin() == [], "before the other is answered"
    store.end(second)
    again = store.begin()
    assert [entry.write for entry in again] == [bad, third]
    store.add(write_of(4))
    assert store.begin() == [], "what has failed goes alone"
    store.fails = lambda _writes: None
    store.end(again)
    assert store.begin()
    store.add(write_of(5))
    assert store.begin(), "all is well again"


def test_a_bad_write_is_found_however_much_else_is_under_way() -> None:
    store = shared()
    store.fails = bad_sector(1)
    store.add(bad := write_of(1), is_kept=False)
    for number in range(100):
        store.add(write_of(2 + number))
        store.churn(random.Random(number), 3)
    assert store.error_of(bad) is AWAY


def test_what_fails_while_another_batch_is_under_way_counts_for_nothing() -> None:
    store, client = shared(), write_of(1)
    store.add(client, is_kept=False)
    first = store.begin()
    store.add(write_of(2))
    second = store.begin()
    store.fails = bad_sector(1)
    store.end(first)
    assert store.refused == {}
    assert store.queue.trouble is None
    store.fails = lambda _writes: None
    store.end(second)
    store.work()
    assert client in store.committed


def test_a_batch_that_fails_when_the_others_are_answered_is_judged_at_once() -> None:
    store = shared()
    store.add(client := write_of(1), is_kept=False)
    first = store.begin()
    store.add(write_of(2))
    store.end(store.begin())
    store.fails = away
    store.end(first)
    assert store.error_of(client) is AWAY


def test_what_waits_behind_a_batch_that_is_put_back_stays_behind_it() -> None:
    store, first, second = shared(), write_of(1, 1), write_of(1, 2)
    store.add(first)
    failing = store.begin()
    store.add(write_of(2), second)
    other = store.begin()
    store.fails = bad_sector(1)
    store.end(failing)
    store.end(other)
    store.fails = lambda _writes: None
    store.work()
    assert numbers_by_run(store.committed)[RunKey(1)] == [1, 2]


def test_in_an_outage_one_batch_at_a_time_is_tried() -> None:
    store = shared()
    store.fails = away
    store.add(*(write_of(run) for run in range(5)))
    store.work()
    store.now = store.queue.pause_ends_at
    batch = store.begin()
    assert batch
    store.add(write_of(9), is_kept=False)
    assert store.begin() == []
    store.fails = lambda _writes: None
    store.end(batch)
    assert store.begin()


def test_each_of_a_parted_batch_is_tried_with_no_other_under_way() -> None:
    store = shared()
    store.fails = away
    store.add(write_of(1), write_of(2))
    store.end(store.begin())
    assert len(store.begin()) == 1
    assert store.begin() == []


def test_while_a_line_is_held_back_one_batch_at_a_time_is_tried() -> None:
    store = shared()
    store.fails = bad_sector(1)
    store.add(write_of(1), write_of(2))
    store.work()
    store.add(write_of(3))
    batch = store.begin()
    store.add(write_of(4))
    assert store.begin() == []
    store.end(batch)
    assert store.begin()


def test_damage_while_another_batch_is_under_way_parts_the_batch_when_that_is_answered() -> None:
    store, writes = shared(), [write_of(1), write_of(2)]
    store.add(*writes)
    damaged = store.begin()
    store.add(write_of(3))
    other = store.begin()
    store.damages = lambda tried: writes[0] in tried
    store.end(damaged)
    assert store.begin() == []
    store.end(other)
    store.work()
    assert isinstance(store.error_of(writes[0]), StoreCorruptError)
    assert writes[1] in store.committed
    assert store.tried[2:] == [writes, writes[:1], writes[1:]]


def test_a_single_write_with_damage_is_answered_while_others_are_under_way_and_what_is_behind_it_goes_on() -> None:
    store, first, second = shared(), write_of(1, 1), write_of(1, 2)
    store.add(first)
    damaged = store.begin()
    store.add(write_of(2), second)
    store.begin()
    store.damages = lambda tried: first in tried
    store.end(damaged)
    assert isinstance(store.error_of(first), StoreCorruptError)
    assert [entry.write for entry in store.begin()] == [second]


def test_given_up_what_waits_behind_a_batch_that_is_still_under_way_waits_for_its_answer() -> None:
    store = shared()
    store.add(write_of(1, 1))
    failing = store.begin()
    store.add(write_of(2, 1), write_of(1, 2))
    other = store.begin()
    store.add(write_of(2, 2), write_of(3))
    assert [entry.write for entry in store.begin()] == [write_of(3)]
    store.queue.give_up()
    left = [entry.write for entry in store.queue.take_all(failing)]
    assert numbers_by_run(left) == {1: [1, 2]}
    assert not store.queue
    store.end(other)
    assert [entry.write for entry in store.begin()] == [write_of(2, 2)]
