"""Notices between sessions: numbers reveal what was missed; a full queue delays and loses nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.kernel.identity import RunKey, WorkerId
from perdure.ports.store import Changes
from perdure.stores.sqlite.notices import Mailbox, Notices
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.solitude import Solitude

A, B = WorkerId(1), WorkerId(2)


def solitude(folder: Path, own: WorkerId) -> Solitude:
    return Solitude(folder, own, own=f"session-{own}.lock")


class Pair:
    """Two sessions that know each other; nothing arrives before it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[Changes] = []
        self.a = self.notices(A, {B: 0}, [])
        self.b = self.notices(B, {A: 0}, self.heard)
        self.b._is_listening = True

    def notices(self, own: WorkerId, others: dict[WorkerId, int], heard: list[Changes]) -> Notices:
        mailbox = Mailbox(self.folder, self.address(own))
        return Notices(
            own,
            mailbox=mailbox,
            others=others,
            address=self.address,
            solitude=solitude(self.folder, own),
            on_changes=heard.append,
        )

    def address(self, worker_id: WorkerId) -> Path:
        return self.folder / f"{worker_id}.sock"

    def publish(self, number: int, *keys: int, is_ready: bool = False) -> None:
        news = News()
        news.run_keys |= {RunKey(key) for key in keys}
        news.is_ready = is_ready
        self.a.publish(news, number)

    def close(self, *others: Notices) -> None:
        loop = asyncio.new_event_loop()
        for notices in (self.a, self.b, *others):
            notices._is_listening = False
            notices.close(loop)
        loop.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def test_what_is_published_is_heard_once_and_together(pair: Pair) -> None:
    pair.publish(1, 10)
    pair.publish(2, 11, is_ready=True)
    pair.b._receive()
    assert pair.heard == [Changes(run_keys=frozenset({RunKey(10), RunKey(11)}), ready=True)]
    pair.b._receive()
    assert len(pair.heard) == 1


def test_a_skipped_number_means_look_at_everything(pair: Pair) -> None:
    pair.publish(1, 10)
    pair.publish(3, 12)
    pair.b._receive()
    assert [changes.everything for changes in pair.heard] == [True]
    pair.publish(4, 13)
    pair.b._receive()
    assert [changes.everything for changes in pair.heard] == [True, False]


def test_a_full_queue_loses_nothing(pair: Pair) -> None:
    for number in range(1, 2_001):
        pair.publish(number, number)
    pair.b._receive()
    pair.a.compare({A: 2_000, B: 0}, newest=B)
    pair.b._receive()
    keys = frozenset[RunKey]().union(*(changes.run_keys for changes in pair.heard))
    assert any(changes.everything for changes in pair.heard) or keys == frozenset(range(1, 2_001))


def test_a_number_in_the_tables_that_was_heard_of_is_not_missed(pair: Pair) -> None:
    pair.publish(1, 10)
    pair.b._receive()
    pair.heard.clear()
    for _ in range(3):
        pair.b.compare({A: 1, B: 0}, newest=B)
    assert pair.heard == []


def test_a_number_that_stays_unheard_from_one_check_to_the_next_is_missed_once(pair: Pair) -> None:
    pair.b.compare({A: 1, B: 0}, newest=B)
    assert pair.heard == []
    for _ in range(3):
        pair.b.compare({A: 1, B: 0}, newest=B)
    assert [changes.everything for changes in pair.heard] == [True]


def test_a_newcomer_learns_what_it_missed_before_its_greeting(pair: Pair) -> None:
    heard: list[Changes] = []
    newcomer = pair.notices(WorkerId(3), {A: 0}, heard)
    pair.publish(1, 10)
    newcomer.greet()
    pair.a._receive()
    newcomer._receive()
    assert [changes.everything for changes in heard] == [True]
    pair.publish(2, 11)
    newcomer._receive()
    assert heard[-1].run_keys == {RunKey(11)}
    pair.close(newcomer)


def test_who_no_longer_listens_is_no_longer_written_to(pair: Pair) -> None:
    pair.b._mailbox.close()  # type: ignore[union-attr]
    assert pair.a._owed == {B: None}
    pair.publish(1, 10)
    assert pair.a._owed == {}


def test_news_of_very_many_runs_are_news_of_everything(pair: Pair) -> None:
    pair.publish(1, *range(5_000))
    pair.b._receive()
    assert pair.heard == [Changes(everything=True, ready=True)]


def test_what_is_no_notice_is_passed_over(pair: Pair) -> None:
    pair.a._mailbox._sending.sendto(b"hello", str(pair.address(B)))  # type: ignore[union-attr]
    pair.publish(1, 10)
    pair.b._receive()
    assert pair.heard == [Changes(run_keys=frozenset({RunKey(10)}))]


def test_without_sockets_the_tables_tell(tmp_path: Path) -> None:
    heard: list[Changes] = []
    notices = Notices(
        A, mailbox=None, others={}, address=lambda _: tmp_path, solitude=solitude(tmp_path, A), on_changes=heard.append
    )
    notices.greet()
    notices.compare({A: 9, B: 0}, newest=B)
    assert heard == []
    notices.compare({A: 9, B: 1}, newest=B)
    assert heard == [Changes(everything=True, ready=True)]


def test_a_session_that_came_and_went_without_a_word_means_look_at_everything(tmp_path: Path) -> None:
    heard: list[Changes] = []
    notices = Notices(
        A, mailbox=None, others={}, address=lambda _: tmp_path, solitude=solitude(tmp_path, A), on_changes=heard.append
    )
    for _ in range(2):
        notices.compare({A: 9}, newest=B)
    assert heard == [Changes(everything=True, ready=True)]


def test_who_was_there_at_one_check_only_may_have_done_something_before_the_end(pair: Pair) -> None:
    pair.b.compare({A: 0, B: 0, WorkerId(3): 0}, newest=WorkerId(3))
    assert pair.heard == []
    for _ in range(2):
        pair.b.compare({A: 0, B: 0}, newest=WorkerId(3))
    assert pair.heard == [Changes(everything=True, ready=True)]


def test_who_was_heard_may_have_done_more_before_the_end(pair: Pair) -> None:
    pair.publish(1, 10)
    pair.b._receive()
    pair.heard.clear()
    pair.b.compare({B: 0}, newest=B)
    assert pair.heard == [Changes(everything=True, ready=True)]
    pair.b.compare({B: 0}, newest=B)
    assert pair.heard == [Changes(everything=True, ready=True)]


def test_who_has_come_is_known_without_a_word_until_all_that_he_did_is_known(tmp_path: Path) -> None:
    notices = Notices(
        A,
        mailbox=None,
        others={},
        address=lambda _: tmp_path,
        solitude=solitude(tmp_path, A),
        on_changes=lambda _: None,
    )
    assert notices.is_alone()
    lock = tmp_path / f"session-{B}.lock"
    lock.touch()
    assert not notices.is_alone()
    notices.begin_check()
    notices.compare({A: 0}, newest=A)  # his row is still to come
    assert not notices.is_alone()
    lock.unlink()
    assert not notices.is_alone()
    notices.begin_check()
    assert not notices.is_alone()
    notices.compare({A: 0}, newest=B)
    assert notices.is_alone()


def test_nobody_is_taken_to_be_alone_who_cannot_mark_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.utime", refuse)
    notices = Notices(
        A,
        mailbox=None,
        others={},
        address=lambda _: tmp_path,
        solitude=solitude(tmp_path, A),
        on_changes=lambda _: None,
    )
    assert not notices.is_alone()
