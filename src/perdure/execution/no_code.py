"""A program without code, which drives a run that is only to be ended."""

from collections.abc import Sequence

from perdure.kernel import events as e
from perdure.kernel.commands import Command
from perdure.kernel.payload import Payload
from perdure.kernel.program import Answer, Verdict
from perdure.kernel.time import Timestamp

__all__ = ["NoCode"]


class NoCode:
    """Asks for nothing; the run it drives ends with its first input."""

    def advance(self, _event: e.Event, _at: Timestamp) -> Sequence[Command]:
        """Ask for nothing."""
        return ()

    def consider(self, _name: str, _body: Payload) -> Verdict:
        """Let updates wait."""
        return Answer.WAITS

    def foresee(self, event: e.Event) -> None:
        """Ignore it."""

    def become(self, fork: e.RunForked) -> None:
        """Ignore it."""

    def go_live(self) -> None:
        """Nothing was silent."""

    def close(self) -> None:
        """Nothing is held."""
