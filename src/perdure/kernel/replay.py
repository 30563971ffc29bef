"""Replay: running a program again against its history, without doing anything.

Each recorded event is folded into the state; those that concern the program are fed to it; each event that exists
because a program asked for it must be what `expand` makes of the next thing the program asks for now. The first
difference raises `NonDeterminismError`, which shows what the history holds, what the code asked for and where.

A copied history may end with an event that its code answers only as the run that the fork made. The feed holds it until
that run goes on: where the answer is recorded it is replayed behind the fork, else nothing is asked of the code.

What counts as the same (`perdure.kernel.matching`): the kind of command, its operation, names, times and options; of
payloads that everything recorded is still said, so that a field added with a default is no difference.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from perdure.errors import HistoryError, IllegalTransitionError, NonDeterminismError
from perdure.kernel import events as e
from perdure.kernel.commands import Command
from perdure.kernel.expansion import expand
from perdure.kernel.failure import Conceal, as_it_is
from perdure.kernel.history import RecordedEvent
from perdure.kernel.matching import advice, describe, is_same
from perdure.kernel.program import PROGRAM_EVENTS, Feed, Program, is_recorded_command
from perdure.kernel.state import RunState
from perdure.kernel.update_rules import let_carried_updates_wait

__all__ = ["Replay"]


class Replay:
    """Replays one run. Give it the history in order, page by page, then `finish`."""

    def __init__(self, program: Program, *, conceal: Conceal = as_it_is) -> None:
        """Begin with nothing recorded; what is said of a difference is said with the secrets concealed."""
        self._conceal = conceal
        self.state = RunState()
        self.feed = Feed(program)
        self._held_back: list[RecordedEvent] = []
        self._asked: deque[Command] = deque()
        self._expected: deque[e.Event] = deque()
        self._location: str | None = None
        self._has_forks = False
        self._read = 0

    def take(self, history: Iterable[RecordedEvent]) -> None:
        """Replay the next events. Raises NonDeterminismError, or HistoryError for a damaged history.

        The last event that concerns the program is held back, with what follows it, until the next call: the program
        may need to know what was recorded in answer to it (`Program.foresee`), which may stand on the next page.
        """
        page = [*self._held_back, *history]
        for recorded in page[len(self._held_back) :]:
            self._require_next(recorded)
            self.feed.program.foresee(recorded.event)
            self._has_forks |= type(recorded.event) is e.RunForked
        last = max((n for n, recorded in enumerate(page) if type(recorded.event) in PROGRAM_EVENTS), default=0)
        self._held_back = page[last:]
        self._take_all(page[:last])

    def finish(self) -> tuple[RunState, Feed]:
        """Return the state and the feed, ready to go on live.

        Raises NonDeterminismError if more was asked than recorded.
        A run's transitions are committed whole, so a history never ends in the middle of what the program asked for.
        """
        fork = self._unanswered_fork()
        if fork is None:
            self._take_all(self._held_back)
            expected = self._next_expected()
            if expected is not None:
                raise self._mismatch(self.state.sequence + 1, None, expected)
        else:
            self._take_over(self._held_back[: fork + 1])
            for recorded in self._held_back[fork + 1 :]:
                self._record(recorded)
        self._held_back = []
        self.feed.program.go_live()
        created = self.state.created
        if created is not None and created.carried_updates and self.state.started_at is not None:
            let_carried_updates_wait(created, self.state, self.feed)
        return self.state, self.feed

    def _unanswered_fork(self) -> int | None:
        """Return the place of the fork that has not answered the last event yet; it may have been ended from outside
        before it has."""
        fork = self._answering_fork(self._held_back, 0)
        if fork is None or not all(_is_of_an_end_from_outside(r.event) for r in self._held_back[fork + 1 :]):
            return None
        return fork

    def _answering_fork(self, events: list[RecordedEvent], place: int) -> int | None:
        """Return the place of the fork that answers the event at `place`; None where the run answered that had it."""
        if not self._has_forks or not events or type(events[place].event) not in PROGRAM_EVENTS:
            return None
        fork: int | None = None
        for following in range(place + 1, len(events)):
            event = events[following].event
            if type(event) is e.RunForked:
                fork = following
            elif type(event) in PROGRAM_EVENTS or is_recorded_command(event):
                break
        return fork

    def _require_next(self, recorded: RecordedEvent) -> None:
        if recorded.sequence != self._read + 1:
            message = f"the history has a gap: event {recorded.sequence} follows event {self._read}"
            raise HistoryError(message)
        self._read = recorded.sequence

    def _take_all(self, events: list[RecordedEvent]) -> None:
        place = 0
        while place < len(events):
            fork = self._answering_fork(events, place)
            if fork is None:
                self._take(events[place])
                place += 1
            else:
                self._take_over(events[place : fork + 1])
                place = fork + 1

    def _take(self, recorded: RecordedEvent) -> None:
        event, state = recorded.event, self.state
        if type(event) is e.RunForked:
            self.feed.program.become(event)
        elif not _is_beside_program(event):
            self._match(recorded)
        self._record(recorded)
        self._asked.extend(self.feed.take(event, recorded.at, state.status))

    def _take_over(self, events: list[RecordedEvent]) -> None:
        """Leave the answer to the first of these events to the run that the last of them, a fork, has made."""
        self._match(events[0])
        for recorded in events:
            self._record(recorded)
            if type(recorded.event) is e.RunForked:
                self.feed.program.become(recorded.event)
        self.feed.held.append(events[0].event)

    def _record(self, recorded: RecordedEvent) -> None:
        try:
            self.state.record(recorded.event, recorded.at)
        except IllegalTransitionError as error:
            message = f"the history is damaged: event {recorded.sequence} cannot follow what stands before it: {error}"
            raise HistoryError(message) from error

    def _match(self, recorded: RecordedEvent) -> None:
        """Take the event off what the program asked for. Raises NonDeterminismError unless both agree on it."""
        event, expected = recorded.event, self._next_expected()
        if expected is not None and is_same(event, expected):
            self._expected.popleft()
        elif _may_be_passed_over(event):
            return
        elif expected is not None:
            raise self._mismatch(recorded.sequence, event, expected)
        elif is_recorded_command(event) and not _ends_run_from_outside(event):
            raise self._mismatch(recorded.sequence, event, None)

    def _next_expected(self) -> e.Event | None:
        """Return the next event that the program's commands mean, as `perdure.kernel.advance` would record it now."""
        state, feed = self.state, self.feed
        while not self._expected:
            if self._asked:
                command = self._asked.popleft()
                self._location = command.location
                self._expected.extend(expand(state, command, state.updated_at))
            elif feed.has_due(state.status):
                self._asked.extend(feed.release(state.updated_at))
            else:
                return None
        return self._expected[0]

    def _mismatch(self, sequence: int, recorded: e.Event | None, actual: e.Event | None) -> NonDeterminismError:
        history_says = "nothing more" if recorded is None else describe(recorded, conceal=self._conceal)
        code_says = "nothing" if actual is None else describe(actual, conceal=self._conceal)
        where = self._location if actual is not None else None
        what_to_do = advice(recorded, actual)
        message = (
            f"the workflow's code no longer does what its history records. At event {sequence} the history holds "
            f"{history_says}; the code asked for {code_says}{f' at {where}' if where else ''}. Nothing was written. "
            f"{what_to_do}"
        )
        return NonDeterminismError(
            message, sequence=sequence, recorded=history_says, actual=code_says, location=where, advice=what_to_do
        )


def _is_beside_program(event: e.Event) -> bool:
    """Whether an event may stand between a command's events without the program's doing."""
    return type(event) is e.ChildStarted


def _may_be_passed_over(event: e.Event) -> bool:
    """Whether an event is the marker of a patch whose code has no trace of it left."""
    return type(event) is e.VersionDecided and event.deprecated


def _ends_run_from_outside(event: e.Event) -> bool:
    """Whether an event gives up pending work because a deadline, a client or a grace period ended the run."""
    return bool(getattr(event, "reason", "")) and type(event) in _GIVEN_UP


def _is_of_an_end_from_outside(event: e.Event) -> bool:
    return _ends_run_from_outside(event) or (type(event) in _ENDINGS and not is_recorded_command(event))


_ENDINGS: Final = frozenset({e.RunFailed, e.RunCancelled, e.RunTerminated, e.RunReset})
_GIVEN_UP: Final = frozenset(
    {e.ActivityCancelled, e.TimerCancelled, e.ChildCancelled, e.LockReleased, e.UpdateCompleted}
)
