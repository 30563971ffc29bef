"""Callers: whoever has an attempt made, and is told of it: a run of this process, or one elsewhere, by its task."""

from typing import TYPE_CHECKING, Protocol

from perdure.kernel import inputs as i
from perdure.kernel.events import RunCreated
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.state import RunState
from perdure.kernel.tokens import ActivityToken

if TYPE_CHECKING:
    from perdure.execution.call import ActivityCall

__all__ = ["Caller", "OwnCaller"]


class Caller(Protocol):
    """What an attempt knows of the run that calls. `created` says who that is, None before its first event."""

    @property
    def run_key(self) -> RunKey:
        """The key of the run."""
        ...

    @property
    def ref(self) -> RunRef:
        """The name of the run."""
        ...

    @property
    def created(self) -> RunCreated | None:
        """The event that says who the run is."""
        ...

    @property
    def priority(self) -> Priority:
        """The class of the run, as far as is known here."""
        ...

    def token_of(self, operation: Operation, attempt: int) -> str:
        """Return the token of an attempt (`perdure.kernel.tokens`)."""
        ...

    def receive(self, given: i.Input) -> None:
        """Take what an attempt under way tells of itself."""
        ...

    def attempt_ended(self, call: "ActivityCall", given: i.Input | None) -> None:
        """Take the outcome of an attempt. None: the closing of the worker interrupted it."""
        ...


class OwnCaller:
    """What an attempt knows of a run of this process: what the run's state says."""

    __slots__ = ()
    run_key: RunKey
    state: RunState

    @property
    def created(self) -> RunCreated | None:
        """The event that says who the run is."""
        return self.state.created

    @property
    def priority(self) -> Priority:
        """The run's class."""
        return self.state.priority

    def token_of(self, operation: Operation, attempt: int) -> str:
        """Return the token of an attempt."""
        created = self.state.created
        return "" if created is None else str(ActivityToken.of(created, self.run_key, operation, attempt))
