"""Run keys in another database."""

import msgspec
import pytest

from perdure.archiving.rekeying import KEY_FIELDS, key_elsewhere, rekeyed
from perdure.kernel import events, fork_facts, lineage, messages
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import Message
from perdure.ports.store import InboxEntry
from tests.archiving.worlds import all_runs, lived


def test_every_field_of_an_event_or_message_that_holds_a_run_key_is_known() -> None:
    kinds = {
        kind
        for module in (events, fork_facts, lineage, messages)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    assert kinds >= {*EVENT_NAMES, *Message.__args__}
    named = {name for kind in kinds for name in kind.__struct_fields__ if name.endswith("_key")}
    assert named - {"idempotency_key"} == KEY_FIELDS


def test_a_run_has_one_key_in_every_other_database_and_no_store_gives_it_out() -> None:
    keys = {key_elsewhere(key, origin=origin) for key in range(1, 100) for origin in range(100)}
    assert len(keys) == 99 * 100
    assert all(2**62 <= key < 2**63 for key in keys)
    assert key_elsewhere(5, origin=6) == key_elsewhere(5, origin=6)


@pytest.mark.parametrize("seed", range(6))
async def test_a_run_whose_keys_are_changed_and_changed_back_is_as_it_was(seed: int) -> None:
    world = await lived(seed)
    runs = await all_runs(world)
    await world.harness.close()
    for run in [msgspec.structs.replace(one, locks=()) for one in runs]:  # those with locks are not moved
        there = rekeyed(run, lambda key: RunKey(key + 1_000_000))
        assert keys_in(there) == {key + 1_000_000 for key in keys_in(run)}
        assert rekeyed(there, lambda key: RunKey(key - 1_000_000)) == run


def keys_in(value: object) -> set[int]:
    """Return all keys anywhere in records, found by the names alone."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        own = {key for name, key in value.items() if name in KEY_FIELDS and isinstance(key, int) and key}
        return own.union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list | tuple) else set()


async def test_a_key_of_nothing_stays_so() -> None:
    message = messages.CancelMessage()
    assert message.parent_key == 0
    world = await lived(1)
    run = (await all_runs(world))[0]
    await world.harness.close()
    entry = InboxEntry(position=1, message=message, message_id="", at=run.summary.created_at)
    there = rekeyed(msgspec.structs.replace(run, inbox=(entry,)), lambda key: RunKey(key + 1))
    assert there.inbox == (entry,)
