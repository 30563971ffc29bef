"""Names: nobody gives the same by accident, and a course that is to come again gets its own anew."""

import asyncio
import random
import uuid

from perdure.chance import drawn_from, new_name, new_uuid


def test_names_are_of_their_form_and_differ() -> None:
    names = {new_name() for _ in range(100)}
    assert len(names) == 100
    assert {len(bytes.fromhex(name)) for name in names} == {16}
    assert uuid.UUID(new_uuid()).version == 4


def test_names_of_one_source_come_again_also_in_tasks() -> None:
    async def named() -> list[str]:
        return [new_name(), await asyncio.create_task(asyncio.sleep(0, new_name())), new_uuid()]

    def drawn() -> list[str]:
        with drawn_from(random.Random(1).randbytes):
            return asyncio.run(named())

    assert drawn() == drawn()


def test_outside_of_the_block_names_are_the_systems() -> None:
    with drawn_from(random.Random(1).randbytes):
        first = new_name()
    with drawn_from(random.Random(1).randbytes):
        assert new_name() == first
    assert new_name() != first
