"""Digests of what is stored: their form is fixed for ever, and nothing can change without changing them."""

import hashlib
from itertools import pairwise

import msgspec
import pytest

from perdure.stores.sql.chain import Field, digest_of_entry, digest_of_message, framed_event, genesis, linked

EVENT = (2, "run_started", 1, 1_700_000_000_000_000, '{"worker":"w"}')
MESSAGE = (7, "m1", 1_700_000_000_000_000, '{"kind":"signal","name":"go"}')
BEGINNING = genesis("default", "order-7", 1)
ENTRY = ("default", "schedule", "nightly", 7, None, 0, "{}", "[]")


def test_the_digests_of_every_release_are_the_same() -> None:
    """Databases and exports hold them: a change of any of these breaks what users have."""
    assert BEGINNING.hex() == "31e6cdaf1f1fb6d0d5c6d260e2f256b0"
    assert linked(BEGINNING, BEGINNING, framed_event(*EVENT)).hex() == "9c7b0f2cc0711906a52ed0eb2b129116"
    assert digest_of_message(*MESSAGE).hex() == "d2b3fc9ece217d3853c84ff1ea7ef2f3"
    assert digest_of_entry(ENTRY).hex() == "2d366d81fbd60a708ec531106642fc9b"


def test_a_digest_is_what_the_documentation_says() -> None:
    framed = msgspec.msgpack.encode([*EVENT])
    before = bytes(range(16))
    by_hand = hashlib.blake2b(BEGINNING + before + framed, digest_size=16, person=b"perdure event").digest()
    assert linked(BEGINNING, before, framed_event(*EVENT)) == by_hand


@pytest.mark.parametrize(
    "other",
    [
        (3, *EVENT[1:]),
        (EVENT[0], "run_starte", *EVENT[2:]),
        (*EVENT[:2], 2, *EVENT[3:]),
        (*EVENT[:3], EVENT[3] + 1, EVENT[4]),
        (*EVENT[:4], '{"worker":"v"}'),
        (*EVENT[:4], b'{"worker":"w"}'),
        (*EVENT[:4], None),
        (2.0, *EVENT[1:]),
        (EVENT[0], "run_started\x01", *EVENT[2:]),
    ],
)
def test_an_event_with_any_other_column_has_another_digest(other: tuple[Field, ...]) -> None:
    sequence, type_name, version, at, data = other
    framed = framed_event(sequence, type_name, version, at, data)
    assert linked(BEGINNING, BEGINNING, framed) != linked(BEGINNING, BEGINNING, framed_event(*EVENT))


def test_runs_that_differ_in_anything_begin_with_another_digest() -> None:
    """Framed, not joined: a namespace that ends as an id begins makes no two runs alike."""
    names = [("a", "b", 1), ("a", "b", 2), ("ab", "", 1), ("", "ab", 1), ("a", "b1", 1), ("a", "b\x01", 1)]
    digests = sorted(genesis(*name) for name in names)
    assert all(one != other for one, other in pairwise(digests))


def test_the_same_event_after_another_one_or_in_another_run_has_another_digest() -> None:
    framed, other = framed_event(*EVENT), genesis("default", "order-8", 1)
    digests = {linked(one, before, framed) for one in (BEGINNING, other) for before in (BEGINNING, other)}
    assert len(digests) == 4


@pytest.mark.parametrize("place", range(len(MESSAGE)))
def test_a_message_with_any_other_column_has_another_digest(place: int) -> None:
    other: list[Field] = [*MESSAGE]
    other[place] = 8 if isinstance(MESSAGE[place], int) else f"{MESSAGE[place]} "
    run_key, message_id, at, data = other
    assert digest_of_message(run_key, message_id, at, data) != digest_of_message(*MESSAGE)


@pytest.mark.parametrize("place", range(len(ENTRY)))
def test_an_entry_of_the_agenda_with_any_other_column_has_another_digest(place: int) -> None:
    other: list[Field] = [*ENTRY]
    other[place] = "other" if isinstance(ENTRY[place], str) else 99
    assert digest_of_entry(other) != digest_of_entry(ENTRY)


def test_kinds_of_digests_are_apart_though_their_fields_are_alike() -> None:
    assert digest_of_message("a", "b", 1, None) != digest_of_entry(("a", "b", 1, None))
