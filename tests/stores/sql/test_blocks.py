"""Events that are committed together, as rows and back."""

from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HistoryError
from perdure.kernel.events import EVENT_NAMES, Event, RunForked, RunStarted, SignalReceived
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.history import RecordedEvent, encode_event
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp
from perdure.stores.sql.blocks import (
    BLOCK,
    MOST_EVENTS,
    BlockRow,
    events_of_row,
    parts_of_events,
    parts_of_rows,
    rows_of,
)

FIRST: Final = 8


def signal(letters: int = 1) -> Event:
    return SignalReceived(name="told", body=msgspec.Raw(msgspec.json.encode("x" * letters)))


def forked() -> Event:
    ref = RunRef(id="run")
    return RunForked(origin=ref, origin_key=1, caller_key=1, sequence=2, ref=ref, seed=3, cause=ForkCause.FORK)


def recorded(*events: Event) -> list[RecordedEvent]:
    return [RecordedEvent(FIRST + place, Timestamp(1_000 + 3 * place), event) for place, event in enumerate(events)]


def rows(events: list[RecordedEvent], *, in_blocks: bool = True) -> list[BlockRow]:
    return list(rows_of(parts_of_events(events), in_blocks=in_blocks))


def read(found: list[BlockRow]) -> list[RecordedEvent]:
    return [event for *row, events in found for event in events_of_row((*row, b"digest", events))]


def shape(found: list[BlockRow]) -> list[tuple[int, str, int]]:
    return [(row[0], row[1], row[-1]) for row in found]


@given(
    st.lists(st.one_of(st.just(RunStarted(worker="one")), st.builds(signal, st.integers(0, 40_000))), max_size=250),
    st.booleans(),
)
def test_what_comes_back_is_what_was_committed(events: list[Event], in_blocks: bool) -> None:
    given_events = recorded(*events)
    found = rows(given_events, in_blocks=in_blocks)
    assert read(found) == given_events
    assert [*rows_of(parts_of_rows(map(encode_event, given_events)), in_blocks=in_blocks)] == found
    assert all(row[-1] == 1 or (row[-1] <= MOST_EVENTS and len(row[4]) <= 65_536) for row in found)


def test_an_event_alone_is_a_row_as_it_always_was() -> None:
    [event] = recorded(signal())
    sequence, name, version, at, data = encode_event(event)
    assert rows([event]) == [(sequence, name, version, at, data.decode(), 1)]


def test_several_are_one_row_that_people_can_read() -> None:
    events = recorded(RunStarted(worker="one"), signal())
    assert rows(events) == [
        (
            9,
            "*",
            1,
            1_000,
            '[["run_started",{"worker":"one"}],["signal_received",{"name":"told","body":"x"},3,1]]',
            2,
        )
    ]
    assert shape(rows(events, in_blocks=False)) == [(8, "run_started", 1), (9, "signal_received", 1)]


def test_too_many_and_too_long_ones_are_several_rows() -> None:
    many = rows(recorded(*[signal()] * 201))
    assert shape(many) == [(107, BLOCK, 100), (207, BLOCK, 100), (208, "signal_received", 1)]
    long = rows(recorded(signal(70_000), signal(30_000), signal(30_000), signal(), signal(30_000)))
    assert shape(long) == [(8, "signal_received", 1), (11, BLOCK, 3), (12, "signal_received", 1)]


def test_the_event_by_which_a_server_finds_forks_is_a_row_of_its_own() -> None:
    found = rows(recorded(signal(), signal(), forked(), signal(), signal()))
    assert shape(found) == [(9, BLOCK, 2), (10, EVENT_NAMES[RunForked], 1), (12, BLOCK, 2)]


def test_what_is_kept_of_an_event_does_not_keep_the_block() -> None:
    *_, last = read(rows(recorded(*[signal(600)] * 99, signal())))
    assert isinstance(last.event, SignalReceived)
    assert len(memoryview(last.event.body).obj) < 100  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((9, BLOCK, 2, 0, "[]", b"", 2), "has the form 2; this library reads form 1; a newer Perdure"),
        ((9, BLOCK, 1, 0, "[", b"", 2), "cannot be decoded"),
        ((9, BLOCK, 1, 0, '[["run_started"]]', b"", 2), "cannot be decoded"),
        ((9, BLOCK, 1, 0, "[]", b"", 2), "has 0 of them, and should have 2"),
        ((9, BLOCK, 1, 0, '[["later",{}],["run_started",{"worker":""}]]', b"", 2), "event 8 has .* 'later'"),
        ((9, BLOCK, 1, 0, '[["run_started",{"worker":""}],["run_started",{"worker":7}]]', b"", 2), "event 9"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_does_not_fit_is_an_error_that_says_where(row: tuple[object, ...], said: str) -> None:
    with pytest.raises(HistoryError, match=said):
        events_of_row(row)
