"""Conditions: what code of a run waits for that no event of its own brings, but what the run's other code does.

A condition is a plain function that reads the workflow's variables. It is asked when it is waited for, and again each
time the code that an event has set going has come to rest. Of those that hold then, the one waited for longest goes on,
and the others are asked anew when its code has come to rest, too: so whoever goes on finds its condition true, also
where several wait for one thing and the first takes it away. (Waking all of them at once, as Temporal does, leaves that
to the code.)

Nothing is recorded: a replay delivers the same events to the same code, which rests at the same places, so the same
conditions are asked there and give the same answers. That holds for what a run's own code and events change; a
condition about the time is asked only when something else has happened.

Complexity: one call of each condition per event, and again for each one that has come true.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.kernel.journal import Journal

__all__ = ["Condition", "Conditions"]

Condition = Callable[[], bool]


class Conditions:
    """The conditions that a run's code waits for, those waited for longest first."""

    __slots__ = ("_journal", "_waiting")

    def __init__(self, journal: "Journal") -> None:
        """Begin with none."""
        self._journal = journal
        self._waiting: dict[asyncio.Future[None], Condition] = {}

    async def wait_until(self, condition: Condition) -> None:
        """Wait until `condition` holds. What it raises is raised here.

        While it is asked the journal is closed: it may only read, as a query may.
        """
        while not self._journal.read(condition):
            coming_true: asyncio.Future[None] = asyncio.Future(loop=self._journal.loop)
            self._waiting[coming_true] = condition
            try:
                await coming_true
            finally:
                self._waiting.pop(coming_true, None)

    def wake_first(self) -> bool:
        """Let the first code go on whose condition holds; return whether there was one."""
        for coming_true, condition in list(self._waiting.items()):
            if not coming_true.done() and self._is_to_wake(condition):
                coming_true.set_result(None)
                return True
        return False

    def _is_to_wake(self, condition: Condition) -> bool:
        try:
            return self._journal.read(condition)
        except BaseException:  # noqa: BLE001 - user code; whoever waits for it is woken, asks it again and gets the error
            return True
