"""The differential test of two stores: whatever a program does, both answer alike and hold the same in the end."""

import difflib
import pprint
import tempfile
from pathlib import Path

from perdure.testing.store_conformance import StoreHarness
from perdure.torture.disks.folders import fast_folder
from perdure.torture.programs.prompt import PromptMemoryHarness, PromptSqliteHarness
from perdure.torture.programs.steps import Step
from perdure.torture.programs.world import Observation, World

__all__ = ["difference", "difference_of", "shrunk"]


async def difference(steps: list[Step]) -> str | None:
    """Return how memory and SQLite differ in what they answer to a program, or None."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        memory, sqlite = PromptMemoryHarness(), PromptSqliteHarness(Path(folder) / "perdure.db")
        try:
            return await difference_of(memory, sqlite, steps)
        finally:
            await memory.close()
            await sqlite.close()


async def shrunk(steps: list[Step]) -> list[Step]:
    """Leave out, one after the other, the steps that the difference does not need."""
    for place in reversed(range(len(steps))):
        shorter = steps[:place] + steps[place + 1 :]
        if await difference(shorter) is not None:
            steps = shorter
    return steps


async def difference_of(expected_of: StoreHarness, actual_of: StoreHarness, steps: list[Step]) -> str | None:
    """Return how two stores differ in what they answer to a program, or None."""
    one, other = World(expected_of), World(actual_of)
    await one.open()
    await other.open()
    for step in steps:
        expected, actual = await one.do(step), await other.do(step)
        if expected != actual:
            return _contrast(expected, actual)
    for expected, actual in zip(await one.everything(), await other.everything(), strict=True):
        if expected != actual:
            return _contrast(expected, actual)
    return None


def _contrast(expected: Observation, actual: Observation) -> str:
    lines = difflib.ndiff(pprint.pformat(expected).splitlines(), pprint.pformat(actual).splitlines())
    return "\n".join(["- the first, + the second", *(line for line in lines if not line.startswith("?"))])
