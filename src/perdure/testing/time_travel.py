"""Time travel: looking at a run as it stood after any event of its history, forward and back. Nothing runs."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from perdure.authoring.payloads import decode_value
from perdure.authoring.registry import Registry, default_registry
from perdure.authoring.updates import Query, query_name
from perdure.errors import HistoryError, InvalidArgumentError
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.events import Event, RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.journal import Journal
from perdure.kernel.program import PROGRAM_EVENTS
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState, fold
from perdure.redaction import concealed

__all__ = ["Moment", "moment_of"]


def moment_of(history: Sequence[RecordedEvent], event: int, *, registry: Registry | None = None) -> "Moment":
    """Return the moment after event number `event`, counted from 1. Raises InvalidArgumentError if there is none."""
    if not 1 <= event <= len(history):
        message = f"there is no event {event} in this history; it has {len(history)}, counted from 1"
        raise InvalidArgumentError(message)
    return Moment(tuple(history), event, registry=registry or default_registry)


class Moment:
    """A run after one of its events. Moments do not change: `forward` and `back` return others."""

    def __init__(self, history: tuple[RecordedEvent, ...], number: int, *, registry: Registry) -> None:
        """Build from parts; see `moment_of`."""
        self._history: Final = history
        self._registry: Final = registry
        self.number: Final = number
        self.state: Final[RunState] = fold(RunState(), history[:number])

    @property
    def recorded(self) -> RecordedEvent:
        """The event with its number and time."""
        return self._history[self.number - 1]

    @property
    def event(self) -> Event:
        """The event."""
        return self.recorded.event

    @property
    def is_last(self) -> bool:
        """Whether the history ends here."""
        return self.number == len(self._history)

    @property
    def keys(self) -> dict[str, Any]:
        """The run's durable state: what `ctx.set` had kept, as builtins."""
        return {name: decode_value(value, subject=f"state {name!r}") for name, value in self.state.keys.items()}

    def forward(self, events: int = 1) -> "Moment":
        """Go forward so many events. Raises InvalidArgumentError beyond the end."""
        return moment_of(self._history, self.number + events, registry=self._registry)

    def back(self, events: int = 1) -> "Moment":
        """Go back so many events. Raises InvalidArgumentError before the beginning."""
        return moment_of(self._history, self.number - events, registry=self._registry)

    def query(self, query: Query[..., Any] | str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - what the handler returns
        """Ask the run as it stood here: its code is replayed up to this event, and the handler called.

        Raises InvalidArgumentError if no handler of this name was registered yet, NonDeterminismError.
        """
        name = query_name(query, "moment.query")

        return self._look(lambda journal: journal.answer(name, args, kwargs))

    def __repr__(self) -> str:
        """Show where it is."""
        return f"<event {self.number} of {len(self._history)}: {type(self.event).__name__}>"

    def _look(self, look: Callable[[Journal], object]) -> object:
        created = self._history[0].event
        if not isinstance(created, RunCreated):
            message = "the history does not begin with its creation"
            raise HistoryError(message)
        definition = self._registry.workflow(created.workflow)
        program = CoroutineProgram(definition.entry(), created, on_error=lambda _message, _error: None)
        replay = Replay(program, conceal=concealed)
        try:
            replay.take(self._history[: self._seen_by_code()])
            if self._seen_by_code() == len(self._history):
                replay.finish()
            return look(program.journal)
        finally:
            program.close()

    def _seen_by_code(self) -> int:
        """Return how much to replay so that the code has seen what concerns it up to here, and no more.

        The last event of these that concerns the code is held back by `Replay.take`; so the next one after this moment
        is handed over as well.
        """
        following = range(self.number, len(self._history))
        return next((n + 1 for n in following if type(self._history[n].event) in PROGRAM_EVENTS), len(self._history))
