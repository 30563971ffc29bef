"""Rows of a history: what is written comes back, what cannot be read is refused by name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given

from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel.history import EVENT_VERSIONS, RecordedEvent, decode_event, encode_event
from perdure.kernel.identity import Operation
from perdure.kernel.time import Timestamp
from tests.kernel.histories import histories

FIRED = RecordedEvent(4, Timestamp(1_700_000_000_000_000), e.TimerFired(operation=Operation(2)))


@given(histories())
def test_every_event_comes_back_from_its_row_as_it_was(history: list[RecordedEvent]) -> None:
    for recorded in history:
        assert decode_event(*encode_event(recorded)) == recorded


@given(histories(longest=20))
def test_a_row_is_one_json_object_readable_as_text(history: list[RecordedEvent]) -> None:
    for recorded in history:
        sequence, type_name, version, at, data = encode_event(recorded)
        assert isinstance(msgspec.json.decode(data), dict)
        assert decode_event(sequence, type_name, version, at, data.decode()) == recorded


def test_a_row_names_sequence_type_version_and_time() -> None:
    assert encode_event(FIRED) == (4, "timer_fired", 1, 1_700_000_000_000_000, b'{"operation":2}')


def test_a_recorded_event_names_its_type() -> None:
    assert FIRED.type == "timer_fired"


def test_every_event_type_has_a_name_in_snake_case_and_a_version() -> None:
    assert e.EVENT_TYPES["activity_attempt_failed"] is e.ActivityAttemptFailed
    assert e.EVENT_NAMES.keys() == EVENT_VERSIONS.keys() == set(e.EVENT_TYPES.values())
    assert all(name == name.lower() and getattr(e, kind.__name__) is kind for kind, name in e.EVENT_NAMES.items())


def test_members_that_a_newer_writer_added_are_passed_over() -> None:
    read = decode_event(1, "timer_fired", 1, 5, b'{"operation":2,"colour":"red"}')
    assert read.event == e.TimerFired(operation=Operation(2))


def test_an_unknown_type_is_an_error_that_names_type_and_version() -> None:
    with pytest.raises(HistoryError, match=r"event 9 has the unknown type 'run_teleported' \(version 3\)"):
        decode_event(9, "run_teleported", 3, 1, b"{}")


@pytest.mark.parametrize("version", [0, -1, 2, 99])
def test_an_unknown_version_is_an_error_that_names_type_and_version(version: int) -> None:
    with pytest.raises(HistoryError, match=f"'timer_fired' has version {version}; this library reads version 1"):
        decode_event(9, "timer_fired", version, 1, b'{"operation":2}')


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"operation":"two"}', b"{}", b"\xff"])
def test_data_that_does_not_fit_its_type_is_an_error_that_names_the_event(data: bytes) -> None:
    with pytest.raises(HistoryError, match=r"event 9 \(timer_fired version 1\) cannot be decoded"):
        decode_event(9, "timer_fired", 1, 1, data)


# --- old versions --------------------------------------------------------------------------------------------------


def named_before(fields: dict[str, Any]) -> dict[str, Any]:
    return {"number": fields["timer"]}


def numbered_before(fields: dict[str, Any]) -> dict[str, Any]:
    return {"operation": fields["number"]}


def plant(monkeypatch: pytest.MonkeyPatch, *, version: int) -> None:
    """Let the library write a later version of timer_fired than it does."""
    monkeypatch.setitem(EVENT_VERSIONS, e.TimerFired, version)  # type: ignore[misc]  # its key is a class


UPCASTS = {("timer_fired", 1): named_before, ("timer_fired", 2): numbered_before}


def test_an_old_version_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, version=3)
    assert decode_event(4, "timer_fired", 1, FIRED.at, b'{"timer":2}', upcasts=UPCASTS) == FIRED
    assert decode_event(4, "timer_fired", 2, FIRED.at, b'{"number":2}', upcasts=UPCASTS) == FIRED
    assert decode_event(4, "timer_fired", 3, FIRED.at, b'{"operation":2}', upcasts=UPCASTS) == FIRED
    assert encode_event(FIRED)[2] == 3


def test_a_version_from_which_no_step_leads_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, version=3)
    only_the_first = {("timer_fired", 1): named_before}
    with pytest.raises(HistoryError, match="'timer_fired' has version 1; this library reads version 3 and those it"):
        decode_event(4, "timer_fired", 1, 1, b'{"timer":2}', upcasts=only_the_first)


def test_an_upgrade_that_leads_to_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, version=2)
    with pytest.raises(HistoryError, match=r"event 4 \(timer_fired version 1\) cannot be decoded"):
        decode_event(4, "timer_fired", 1, 1, b'{"timer":2}', upcasts=UPCASTS)


def test_old_data_that_is_no_object_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, version=3)
    with pytest.raises(HistoryError, match="cannot be decoded"):
        decode_event(4, "timer_fired", 1, 1, b"[1]", upcasts=UPCASTS)
