"""Runs as lines of a file, made in a thread where they are large: what else the loop has to do is not held up."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from perdure.archiving.run_lines import SavedRun, run_lines
from perdure.archiving.soundness import demand_sound
from perdure.errors import HistoryError
from perdure.kernel.history import RecordedEvent
from perdure.ports.keeping import WholeRun

__all__ = ["IN_A_THREAD_ABOVE_BYTES", "about_bytes", "lines_of_runs"]

IN_A_THREAD_ABOVE_BYTES: Final = 256 * 2**10
"""So much is written on the loop in about a millisecond."""

_BYTES_OF_AN_EVENT: Final = 300
"""What a line has beside the values in it, about."""


async def lines_of_runs(saved: Sequence[SavedRun], *, demands_sound: bool = False) -> list[list[bytes] | HistoryError]:
    """Return the lines of each run, or why it cannot be written; where it `demands_sound` ones, or is not sound."""

    def make() -> list[list[bytes] | HistoryError]:
        return [_lines(one, demands_sound=demands_sound) for one in saved]

    is_large = sum(about_bytes(one.run) for one in saved) > IN_A_THREAD_ABOVE_BYTES
    return await asyncio.to_thread(make) if is_large else make()


def about_bytes(run: WholeRun) -> int:
    """Return how many bytes the history of a run has in its lines, about."""
    return sum(map(_bytes_of, run.history))


def _lines(saved: SavedRun, *, demands_sound: bool) -> list[bytes] | HistoryError:
    try:
        if demands_sound:
            demand_sound(saved.run)
        return list(run_lines(saved))
    except HistoryError as error:
        return error


def _bytes_of(recorded: RecordedEvent) -> int:
    event = recorded.event
    values = (getattr(event, name) for name in event.__struct_fields__)
    return _BYTES_OF_AN_EVENT + sum(memoryview(value).nbytes for value in values if isinstance(value, msgspec.Raw))
