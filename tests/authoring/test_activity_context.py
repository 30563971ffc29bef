"""What an activity's function learns of its attempt, and what its heartbeats do."""

from asyncio import CancelledError
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from perdure.authoring.activity_context import Attempt, current_attempt, heartbeat, running_attempt
from perdure.errors import PayloadError, WrongContextError
from perdure.kernel.payload import NULL, Payload


class Observed:
    """An attempt under way that notes its heartbeats."""

    def __init__(self, details: Payload = NULL) -> None:
        self.is_cancelled = False
        self.beats: list[bytes] = []
        self._details = details

    def describe(self) -> Attempt:
        return Attempt(
            run_id="order-1",
            namespace="default",
            workflow="process_order",
            activity="charge",
            operation=3,
            attempt=2,
            idempotency_key="1-3",
            fencing_token=1,
            scheduled_at=datetime(2026, 1, 1, tzinfo=UTC),
            heartbeat_payload=self._details,
        )

    def publish(self, stream: str, value: Payload) -> None:
        raise NotImplementedError

    def beat(self, details: Payload) -> None:
        self.beats.append(bytes(details))


@pytest.fixture
def observed() -> Iterator[Observed]:
    """Run the test as an attempt."""
    attempt = Observed(Payload(b'{"page": 7}'))
    token = running_attempt.set(attempt)
    yield attempt
    running_attempt.reset(token)


def test_the_current_attempt_is_known_inside_and_refused_outside(observed: Observed) -> None:
    assert current_attempt().attempt == 2
    running_attempt.set(None)
    with pytest.raises(WrongContextError):
        current_attempt()


def test_the_last_heartbeat_comes_back_as_the_type_that_is_asked_for(observed: Observed) -> None:
    assert current_attempt().last_heartbeat(dict[str, int]) == {"page": 7}
    assert Observed().describe().last_heartbeat(int) is None


def test_a_heartbeat_passes_its_details_on_as_json(observed: Observed) -> None:
    heartbeat({"page": 8})
    heartbeat()
    assert observed.beats == [b'{"page":8}', b"null"]


def test_a_heartbeat_whose_details_cannot_be_recorded_is_refused(observed: Observed) -> None:
    with pytest.raises(PayloadError, match="heartbeat details"):
        heartbeat(object())


def test_a_heartbeat_raises_instead_of_beating_once_the_call_was_given_up(observed: Observed) -> None:
    observed.is_cancelled = True
    with pytest.raises(CancelledError):
        heartbeat("too late")
    assert observed.beats == []


def test_a_heartbeat_outside_of_an_activity_does_nothing() -> None:
    heartbeat({"page": 1})
