"""The calls of a client program: what each asks for, when it is made, and whether it took effect."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVarTuple

from perdure.authoring.payloads import encode_value
from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import Workflow
from perdure.client.client import Client
from perdure.client.handle import Run
from perdure.engine import Engine
from perdure.errors import (
    RunNotRepairableError,
    UpdateRejectedError,
)
from perdure.kernel import events as e
from perdure.kernel.messages import SignalMessage
from perdure.kernel.priority import Priority
from perdure.torture.simulation.tables import Tables

__all__ = [
    "Call",
    "ask",
    "ask_again",
    "ask_with_start",
    "cancel",
    "end_early",
    "repair",
    "request",
    "resume",
    "send",
    "set_priority",
    "start",
    "suspend",
    "terminate",
]

Ts = TypeVarTuple("Ts")
Question = Callable[[Tables], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call. It is made when `when` answers yes; `is_done` tells whether it took effect.

    `may_be_refused`: the run may have ended before. `is_repeatable`: it has a request id, and whoever got no answer
    makes it again without looking. `is_indispensable`: it is made also where what it waits for does not come.
    """

    name: str
    run_id: str
    perform: Callable[[Client], Awaitable[object]]
    is_done: Question
    when: Question
    may_be_refused: bool = False
    is_repeatable: bool = False
    is_indispensable: bool = False


# --- calls -------------------------------------------------------------------------------------------------------


def _always(_tables: Tables) -> bool:
    return True


def start(
    workflow: Workflow[*Ts, Any],
    *args: *Ts,
    id: str,
    when: Question = _always,
    generation: int = 1,
    **options: Any,  # noqa: ANN401 - those of `Client.start`
) -> Call:
    """Start a run, or (with an id policy among the options) another `generation` of its id.

    With a `request_id` among the options the call is made twice at once.
    """

    async def perform(client: Client) -> object:
        if "request_id" not in options:
            return await client.start(workflow, *args, id=id, **options)
        return await asyncio.gather(*(client.start(workflow, *args, id=id, **options) for _ in range(2)))

    return Call(
        name=f"start {id}" if generation == 1 else f"start {id} again",
        run_id=id,
        perform=perform,
        is_done=lambda tables: len(tables.generations(id)) >= generation,
        when=when,
    )


def send(
    run_id: str,
    signal: Signal[Any],
    body: object,
    *,
    message_id: str,
    when: Question = _always,
    twice: bool = False,
    may_be_refused: bool = False,
) -> Call:
    """Send a signal under an id; `twice`: twice at once, which must count once.

    Only a program without a worker does so: there both copies meet in the inbox, where the promise holds. It is no
    request with an id (`request`), which takes a longer way.
    """
    message = SignalMessage(name=signal.name, body=encode_value(body, signal.type), message_id=message_id)

    async def perform(client: Client) -> object:
        run = await client.get_run(run_id)
        times = 2 if twice and isinstance(client, Engine) and not client.worker.is_claiming else 1
        return await asyncio.gather(*(run._send(message, None, message_id) for _ in range(times)))  # noqa: SLF001

    return Call(
        name=f"signal {message_id}",
        run_id=run_id,
        perform=perform,
        is_done=lambda tables: tables.signal_copies(run_id, message_id) > 0,
        when=when,
        may_be_refused=may_be_refused,
    )


def ask(
    run_id: str,
    update: Update[Any, Any],
    input: object,
    *,
    request_id: str,
    twice: bool = False,
    when: Question = _always,
) -> Call:
    """Update a run until it has answered, `twice` at once under one id; ask again until an answer comes back."""

    async def perform(client: Client) -> object:
        run = await client.get_run(run_id)
        asked = [run.update(update, input, request_id=request_id) for _ in range(2 if twice else 1)]
        return await _answers(asked)

    return _update(request_id, run_id, perform, when)


def ask_with_start(
    workflow: Workflow[*Ts, Any], *args: *Ts, id: str, update: Update[Any, Any], input: object, request_id: str
) -> Call:
    """Update a run that is started for it, or is there; asked again as by `ask`."""

    async def perform(client: Client) -> object:
        return await _answers(
            [client.update_with_start(workflow, *args, id=id, update=update, input=input, request_id=request_id)]
        )

    return _update(request_id, id, perform, _always)


def ask_again(name: str, asked: Call, *, answers: tuple[object, ...], when: Question) -> Call:
    """Make an update or an update with start again, twice at once and once more; each must have the same of `answers`:
    there may be another where somebody has ended the run, and one was begun for the update."""

    async def perform(client: Client) -> None:
        found = [*await asyncio.gather(asked.perform(client), asked.perform(client)), await asked.perform(client)]
        if not any(found == [[answer]] * len(found) for answer in answers):
            message = f"the request of {asked.name} has one of the answers {answers}, and then {found}"
            raise AssertionError(message)

    return replace(asked, name=name, perform=perform, when=when, is_repeatable=True)


async def _answers(asked: list[Coroutine[Any, Any, object]]) -> object:
    """Wait for all answers; a rejection is one. Raises what kept one from coming."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, UpdateRejectedError):
            raise answer
    return answers


def _update(request_id: str, run_id: str, perform: Callable[[Client], Awaitable[object]], when: Question) -> Call:
    def is_done(tables: Tables) -> bool:
        answers = [event for event in tables.events(run_id) if isinstance(event, e.UpdateCompleted | e.UpdateRejected)]
        return any(answer.update_id == request_id for answer in answers)

    return Call(name=f"update {request_id}", run_id=run_id, perform=perform, is_done=is_done, when=when)


def cancel(run_id: str, *, when: Question = _always, grace: Any = None, name: str = "cancel") -> Call:  # noqa: ANN401 - a timedelta or None
    """Cancel a run, unless it ends before."""

    async def perform(client: Client) -> None:
        await (await client.get_run(run_id)).cancel("asked to", grace=grace)

    # Without code the end of the grace is all that there is of it.
    kinds = (e.RunCancelRequested, e.RunCancelled, *(() if grace is None else (e.RunTerminated,)))
    return _message(name, run_id, perform, kinds, when)


def terminate(run_id: str, *, when: Question = _always) -> Call:
    """Terminate a run, unless it ends before."""

    async def perform(client: Client) -> None:
        await (await client.get_run(run_id)).terminate("asked to")

    return _message("terminate", run_id, perform, (e.RunTerminated,), when)


def end_early(run_id: str, *, is_cancelling: bool, name: str) -> Call:
    """Ask a run to end, whatever it is about."""
    return replace(cancel(run_id) if is_cancelling else terminate(run_id), name=name)


def suspend(run_id: str, *, when: Question = _always) -> Call:
    """Suspend a run."""

    async def perform(client: Client) -> None:
        await (await client.get_run(run_id)).suspend("asked to")

    return _message("suspend", run_id, perform, (e.RunSuspended,), when)


def resume(run_id: str, *, when: Question = _always) -> Call:
    """Resume a run."""

    async def perform(client: Client) -> None:
        await (await client.get_run(run_id)).resume()

    return _message("resume", run_id, perform, (e.RunResumed,), when)


def set_priority(run_id: str, priority: Priority, *, when: Question = _always) -> Call:
    """Change a run's priority class."""

    async def perform(client: Client) -> None:
        await (await client.get_run(run_id)).set_priority(priority)

    return _message("priority", run_id, perform, (e.PriorityChanged,), when)


def _message(
    name: str,
    run_id: str,
    perform: Callable[[Client], Awaitable[object]],
    kinds: tuple[type[e.Event], ...],
    when: Question,
) -> Call:
    def is_done(tables: Tables) -> bool:
        return tables.has_mail(run_id) or any(tables.count(run_id, kind) for kind in kinds)

    return Call(
        name=f"{name} {run_id}", run_id=run_id, perform=perform, is_done=is_done, when=when, may_be_refused=True
    )


def request(
    name: str,
    run_id: str,
    wish: Callable[[Run[Any], str], Awaitable[object]],
    *kinds: type[e.Event],
    request_id: str,
    when: Question = _always,
) -> Call:
    """Ask a run for something by a request with an id: twice at once, and once more; whoever got no answer asks again.

    `kinds` are the events that it may lead to.
    """

    async def perform(client: Client) -> None:
        run = await client.get_run(run_id)
        await asyncio.gather(wish(run, request_id), wish(run, request_id))
        await wish(run, request_id)

    asked = _message(name, run_id, perform, kinds, when)
    return replace(asked, may_be_refused=False, is_repeatable=True)


def repair(
    name: str,
    run_id: str,
    wish: Callable[[Run[Any], str], Awaitable[Run[Any]]],
    *,
    makes: str = "",
    when: Question = _always,
) -> Call:
    """Retry, reset or fork a run (into `makes`) by a request: twice at once, which must agree, and once more.

    It may be refused, where the run cannot go on from that point, and then leaves no trace.
    """

    async def perform(client: Client) -> None:
        run = await client.get_run(run_id)
        answers = await asyncio.gather(wish(run, name), wish(run, name), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if any(isinstance(error, RunNotRepairableError) for error in errors) and len(errors) == 1:
            message = f"of two calls of one request only one was refused: {errors[0]}"
            raise AssertionError(message)
        for error in errors:
            raise error
        await wish(run, name)

    def is_done(tables: Tables) -> bool:
        return ("default", name) in tables.database.requests

    return Call(
        name=name,
        run_id=makes or run_id,
        perform=perform,
        is_done=is_done,
        when=lambda tables: is_done(tables) or when(tables),
        may_be_refused=True,
        is_repeatable=True,
    )
