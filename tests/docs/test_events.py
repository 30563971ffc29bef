"""The page of events lists every kind, as its class says, and programs find each class in `perdure.events`."""

import inspect
import re
from pathlib import Path

import pytest

import perdure.events
from perdure.errors import PayloadDecodeError
from perdure.events import EVENT_TYPES, Event, Payload, value_of

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")


def line_of(name: str, event: type[Event]) -> str:
    """Return the line of the page that a kind of event must have."""
    says = " ".join((inspect.getdoc(event) or "").partition("\n\n")[0].split())
    fields = ", ".join(f"`{field}`" for field in event.__struct_fields__)
    return f"| `{name}` | `{event.__name__}` | {says} | {fields} |"


def test_the_page_lists_every_kind_of_event_as_its_class_says() -> None:
    expected = [line_of(name, event) for name, event in EVENT_TYPES.items()]
    assert [line for line in PAGE.splitlines() if re.match(r"\| `[a-z_]+` \| `[A-Z]", line)] == expected


def test_programs_find_the_class_of_every_kind_in_one_place() -> None:
    assert [event.__name__ for event in EVENT_TYPES.values() if event.__name__ not in perdure.events.__all__] == []
    assert [name for name in perdure.events.__all__ if not hasattr(perdure.events, name)] == []


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=lambda event: event.__name__)
def test_every_event_is_frozen_and_says_what_it_is(event: type[Event]) -> None:
    assert event.__struct_config__.frozen
    assert inspect.getdoc(event) != inspect.getdoc(Event)


def test_a_recorded_value_is_read_as_the_type_that_it_has() -> None:
    assert value_of(Payload(b"[1,2]")) == [1, 2]
    assert value_of(Payload(b"[1,2]"), tuple[int, int]) == (1, 2)
    with pytest.raises(PayloadDecodeError, match="a recorded value"):
        value_of(Payload(b"[1,2]"), str)
