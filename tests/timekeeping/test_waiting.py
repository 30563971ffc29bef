"""Starts that wait, as values: what of them is known only when they begin."""

import pytest

from perdure.errors import HistoryError
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation
from perdure.timekeeping.waiting import begun, let_wait


def test_a_start_that_an_older_perdure_let_wait_gets_a_name_by_chance_when_it_begins() -> None:
    assert _call_name_of_begun("") != _call_name_of_begun("") != ""


def test_a_start_that_waits_keeps_its_name() -> None:
    assert _call_name_of_begun("name") == "name"


def _call_name_of_begun(call_name: str) -> str:
    ref = RunRef(namespace="default", id="late")
    created = RunCreated(workflow="waiting", definition_version="1", ref=ref, input=NULL, seed=0, call_name=call_name)
    at = Timestamp(1)
    creation = Creation(
        run_key=RunKey(1),
        ref=ref,
        workflow=created.workflow,
        definition_version=created.definition_version,
        priority=created.priority,
        tenant=created.tenant,
        labels=created.labels,
        parent_key=None,
        created=RecordedEvent(1, at, created),
        wake_at=at,
    )
    start, given = let_wait(creation)
    with pytest.raises(HistoryError, match="in the namespace other holds that of default/late"):
        begun(start, given, namespace="other", now=at)
    event = begun(start, given, namespace="default", now=Timestamp(2)).created.event
    assert isinstance(event, RunCreated)
    return event.call_name
