"""An executor that few programs use: it is made, and its modules are imported, when its first attempt starts."""

from collections.abc import Callable
from typing import Final, Protocol

from perdure.execution.attempts import AttemptExecutor, RunningCall

__all__ = ["LateExecutor"]


class _Abandonable(AttemptExecutor, Protocol):
    def abandon(self) -> None:
        """Let go of everything, and wait for no attempt."""
        ...


class LateExecutor:
    """Makes its executor at the first attempt."""

    def __init__(self, make: Callable[[], _Abandonable]) -> None:
        """Make nothing yet."""
        self._make: Final = make
        self.made: _Abandonable | None = None

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        if self.made is None:
            self.made = self._make()
        self.made.start(running)

    def stop(self, running: RunningCall) -> None:
        """See `AttemptExecutor.stop`."""
        if self.made is not None:
            self.made.stop(running)

    async def close(self) -> None:
        """See `AttemptExecutor.close`."""
        if self.made is not None:
            await self.made.close()

    def abandon(self) -> None:
        """Let go of everything, and wait for no attempt."""
        if self.made is not None:
            self.made.abandon()
