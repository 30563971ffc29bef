"""Runs lived through the kernel alone, without store, worker or clock."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from perdure.authoring.workflow import Workflow
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.advance import Advance, advance
from perdure.kernel.backoff import fixed
from perdure.kernel.coroutine_program import CoroutineProgram, Entry
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent, decode_event, encode_event
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.journal import Journal
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.program import Answer, Feed, Program, Verdict
from perdure.kernel.replay import Replay
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.kernel.state import RunState
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

RUN_KEY = RunKey(7)
START = 1_700_000_000 * MICROSECONDS_PER_SECOND
SECOND = MICROSECONDS_PER_SECOND
RETRIED = Retry(attempts=3, backoff=fixed(timedelta(seconds=10)))
BROKEN = Failure(type="ValueError", types=("ValueError",), message="broken")


def json(value: object) -> Payload:
    return msgspec.Raw(msgspec.json.encode(value))


def value_of(payload: Payload) -> Any:
    return msgspec.json.decode(payload)


class Script:
    """A program that answers each kind of event with commands that were written down before."""

    def __init__(self, **answers: Sequence[c.Command]) -> None:
        """Answer the first event of the type that an argument names (`run_started=[...]`) with the given commands."""
        self.answers = {e.EVENT_TYPES[name]: list(commands) for name, commands in answers.items()}
        self.seen: list[e.Event] = []
        self.verdicts: dict[str, Verdict] = {}

    def advance(self, event: e.Event, at: Timestamp) -> Sequence[c.Command]:
        self.seen.append(event)
        return self.answers.pop(type(event), [])

    def consider(self, name: str, body: Payload) -> Verdict:
        return self.verdicts.get(name, Answer.WAITS)

    def foresee(self, event: e.Event) -> None: ...
    def become(self, fork: e.RunForked) -> None: ...

    def go_live(self) -> None: ...
    def close(self) -> None: ...


class Life:
    """A run and what can happen to it. `history` is what is recorded, `last` the latest `Advance`."""

    def __init__(self, program: Program, created: e.RunCreated) -> None:
        self.created = created
        self.program = program
        self.feed = Feed(program)
        self.state = RunState()
        self.now = START
        self.history = [RecordedEvent(1, Timestamp(self.now), created)]
        self.last: Advance | None = None
        self.state.record(created, Timestamp(self.now))
        self._keys = itertools.count(1_000)

    # --- what can happen -----------------------------------------------------------------------------------------

    def take(self, *inputs: i.Input, after: float = 0) -> list[e.Event]:
        """Let the run take inputs, `after` seconds; return the new events."""
        self.now += round(after * SECOND)
        result = advance(
            self.state,
            self.feed,
            inputs,
            run_key=RUN_KEY,
            now=Timestamp(self.now),
            new_run_key=lambda: RunKey(next(self._keys)),
        )
        self.last = result
        self.history += result.events
        return [recorded.event for recorded in result.events]

    def begin(self) -> list[e.Event]:
        return self.take(i.Begin(worker="w"))

    def wait(self, seconds: float) -> list[e.Event]:
        return self.take(after=seconds)

    def succeed(self, operation: int, value: object = None, *, attempt: int = 1) -> list[e.Event]:
        return self.take(success(operation, value, attempt=attempt))

    def fail(self, operation: int, *, attempt: int = 1, retry: Retry = NO_RETRY) -> list[e.Event]:
        return self.take(failed(operation, attempt=attempt, retry=retry))

    def signal(self, name: str, body: object = None) -> list[e.Event]:
        return self.take(signal(name, body))

    def update(self, update_id: str, name: str = "add", body: object = None, *, at: int | None = None) -> list[e.Event]:
        update = m.UpdateMessage(update_id=update_id, name=name, body=json(body))
        return self.take(i.MessageArrived(message=update, message_id=update_id, position=at))

    def cancel(self, reason: str = "enough", *, grace_until: int | None = None) -> list[e.Event]:
        grace = None if grace_until is None else Timestamp(grace_until)
        return self.message(m.CancelMessage(reason=reason, by="ann", grace_until=grace))

    def message(self, message: m.Message) -> list[e.Event]:
        return self.take(i.MessageArrived(message=message))

    def skip_keys(self, given_out: int) -> None:
        """Give out no key again that the run whose history this is has given to a child."""
        self._keys = itertools.count(1_000 + given_out)

    # --- what became of it ---------------------------------------------------------------------------------------

    @property
    def events(self) -> list[e.Event]:
        return [recorded.event for recorded in self.history]

    @property
    def result(self) -> Any:
        """The result of a run that completed; for any other, its closing event (None: it is open)."""
        closing = self.state.closing
        return value_of(closing.result) if isinstance(closing, e.RunCompleted) else closing

    @property
    def pending(self) -> list[int]:
        return list(self.state.activities)

    @property
    def advanced(self) -> Advance:
        assert self.last is not None
        return self.last


def success(operation: int, value: object = None, *, attempt: int = 1) -> i.AttemptSucceeded:
    return i.AttemptSucceeded(
        operation=Operation(operation), attempt=attempt, result=json(value), started_at=Timestamp(START)
    )


def failed(operation: int, *, attempt: int = 1, retry: Retry = NO_RETRY, failure: Failure = BROKEN) -> i.AttemptFailed:
    return i.AttemptFailed(
        operation=Operation(operation), attempt=attempt, failure=failure, retry=retry, started_at=Timestamp(START)
    )


def signal(name: str, body: object = None) -> i.MessageArrived:
    return i.MessageArrived(message=m.SignalMessage(name=name, body=json(body)), message_id=f"{name}-1")


# --- programs ----------------------------------------------------------------------------------------------------


class LostExceptions(list[tuple[str, BaseException | None]]):
    """What was reported as never seen by any code."""

    def __call__(self, message: str, error: BaseException | None) -> None:
        self.append((message, error))


def entry_of(code: Callable[[], Awaitable[object]]) -> Entry:
    """Return the entry of a run whose code is a plain asynchronous function without arguments."""

    async def run(journal: Journal) -> Payload:
        return json(await code())

    return run


def program_of(entry: Entry, created: e.RunCreated, *, lost: LostExceptions | None = None) -> CoroutineProgram:
    """Return a program that is closed when the test ends; an exception that no code sees fails the test at once."""
    program = CoroutineProgram(entry, created, on_error=_raise if lost is None else lost)
    programs.append(program)
    return program


programs: list[CoroutineProgram] = []
"""The programs of the test that runs."""


def created_for(workflow: Workflow[*tuple[Any, ...], Any], *args: object, **fields: Any) -> e.RunCreated:
    return e.RunCreated(
        workflow=workflow.name,
        ref=RunRef(id="order-1"),
        input=workflow.signature.encode_arguments(args, {}),
        seed=fields.pop("seed", 42),
        stages=workflow.stages,
        **fields,
    )


def life_of(
    workflow: Workflow[*tuple[Any, ...], Any], *args: object, lost: LostExceptions | None = None, **fields: Any
) -> Life:
    """Return a run of a workflow that has not begun."""
    created = created_for(workflow, *args, **fields)
    return Life(program_of(workflow.entry(), created, lost=lost), created)


def code_life(code: Callable[[], Awaitable[object]], *, lost: LostExceptions | None = None, **fields: Any) -> Life:
    """Return a run of a plain asynchronous function that has begun."""
    created = e.RunCreated(workflow="code", ref=RunRef(id="order-1"), input=NULL, seed=42, **fields)
    life = Life(program_of(entry_of(code), created, lost=lost), created)
    life.begin()
    return life


def _raise(message: str, error: BaseException | None) -> None:
    raise AssertionError(message) from error


# --- replay ------------------------------------------------------------------------------------------------------


def replay(
    entry: Entry, history: Iterable[RecordedEvent], *, page: int = 1_000, lost: LostExceptions | None = None
) -> Life:
    """Return the run as a worker finds it that loads its history, page by page, from its rows."""
    rows = [encode_event(recorded) for recorded in history]
    read = [decode_event(*row) for row in rows]
    created = read[0].event
    assert isinstance(created, e.RunCreated)
    program = program_of(entry, created, lost=lost)
    replaying = Replay(program)
    for begin in range(0, len(read), page):
        replaying.take(read[begin : begin + page])
    life = Life(program, created)
    life.state, life.feed = replaying.finish()
    life.history = read
    life.now = read[-1].at
    life.skip_keys(sum(1 for recorded in read if type(recorded.event) is e.ChildStarted))
    return life
