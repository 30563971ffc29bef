"""Workloads of deferred activities: completed, failed and left to run out of time by a client that has their tokens."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.errors import StaleTokenError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.messages import CompleteActivityMessage, FailActivityMessage, decode_message
from perdure.kernel.standing import standing_of
from perdure.kernel.tokens import ActivityToken
from perdure.torture.simulation.program import Call, repair, start
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.activities import deferring, overdue, step, watched
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_deferred")
async def deferred(_ctx: Context, label: str) -> list[str]:
    """Let somebody outside do one of two things."""
    return list(await asyncio.gather(deferring(label), step(f"beside {label}")))


@workflow(name="sim_overdue_run")
async def overdue_run(_ctx: Context, label: str) -> str:
    """Let somebody outside do a thing that must not take long."""
    return await overdue(label)


def tell(
    run_id: str, value: object, *, attempt: int = 1, at_latest: bool = False, deferrals: int | None = None
) -> Call:
    """Complete a deferred attempt, or fail it with an exception. `at_latest`: whichever is open then, and twice.
    `deferrals`: after how many of these (as many as attempts)."""
    request_id = f"{run_id} {attempt}"

    async def perform(client: Client) -> None:
        async for _ in _looks():
            token = await _token(client, run_id, attempt=None if at_latest else attempt)
            try:
                if isinstance(value, Exception):
                    await client.fail(token, value, request_id=request_id)
                else:
                    await client.complete(token, value, request_id=request_id)
                    if at_latest:
                        await client.complete(token, value)
            except StaleTokenError as error:
                if not at_latest or error.reason != "retried":
                    raise
            else:
                return

    return Call(
        name=f"tell {request_id}",
        run_id=run_id,
        perform=perform,
        is_done=lambda tables: _is_told(tables, run_id, request_id),
        when=lambda tables: _deferrals(tables, run_id) >= (deferrals or attempt),
        is_repeatable=at_latest,  # what waits in the inbox may have come too late for its attempt
    )


async def _looks() -> AsyncIterator[None]:
    """Yield now and again, ever less often: the next attempt may wait for a clock that was set back by an hour."""
    pause = _PAUSE_SECONDS
    while True:
        yield
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _token(client: Client, run_id: str, *, attempt: int | None) -> str:
    """Return the token that the activity would have handed on; of the last attempt that was deferred by default."""
    run = await client.get_run(run_id)
    key = (await run.describe()).run_key
    history = [recorded async for recorded in run.history()]
    return _token_in(history, key, attempt)


def _token_in(history: list[RecordedEvent], run_key: RunKey, attempt: int | None) -> str:
    standing = standing_of(recorded.event for recorded in history)
    assert standing is not None
    last = [recorded.event for recorded in history if isinstance(recorded.event, e.ActivityDeferred)][-1]
    return str(ActivityToken.of(standing, run_key, Operation(last.operation), attempt or last.attempt))


def _deferrals(tables: Tables, run_id: str) -> int:
    return tables.count(run_id, e.ActivityDeferred)


def _is_told(tables: Tables, run_id: str, request_id: str) -> bool:
    recorded = any(getattr(event, "request_id", "") == request_id for event in tables.events(run_id))
    waiting = (
        decode_message(entry.data)
        for run in tables.generations(run_id)
        for entry in tables.database.inboxes.get(run.run_key, {}).values()
    )
    outcomes = (m for m in waiting if isinstance(m, CompleteActivityMessage | FailActivityMessage))
    return recorded or any(outcome.request_id == request_id for outcome in outcomes)


_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 60.0


def _deferred_program(_chance: random.Random) -> list[Call]:
    return [
        start(deferred, "first", id="one"),
        start(deferred, "second", id="two"),
        tell("one", "done"),
        tell("two", OSError("not yet")),
        tell("two", "done after all", attempt=2),
    ]


def _overdue_program(_chance: random.Random) -> list[Call]:
    return [start(overdue_run, "first", id="one"), tell("one", "done", attempt=2, at_latest=True)]


def _told_program(_chance: random.Random) -> list[Call]:
    """Reset a run that may not have read yet what it was told. It is told once: what is lost is waited for for ever."""
    again = repair("again", "one", lambda run, mine: run.reset("again", request_id=mine))
    return [start(deferred, "first", id="one"), tell("one", "done"), again]


@workflow(name="sim_watched_run")
async def watched_run(_ctx: Context, label: str) -> str:
    """Let somebody outside do a thing that takes long."""
    return await watched(label)


def beat(run_id: str, number: int) -> Call:
    """Give a sign of life for whichever attempt is open, a while after the one before."""

    async def perform(client: Client) -> None:
        await asyncio.sleep(_BEAT_SECONDS)
        async for _ in _looks():
            try:
                await client.heartbeat(await _token(client, run_id, attempt=None), number)
            except StaleTokenError as error:
                if error.reason != "retried":
                    raise
            else:
                return

    def is_done(tables: Tables) -> bool:
        beats = (event for event in tables.events(run_id) if isinstance(event, e.ActivityHeartbeatRecorded))
        given_up = tables.count(run_id, e.ActivityAttemptFailed) or tables.count(run_id, e.ActivityCancelled)
        return bool(given_up) or tables.has_mail(run_id) or any(bytes(one.details) == b"%d" % number for one in beats)

    return Call(
        name=f"beat {number}",
        run_id=run_id,
        perform=perform,
        is_done=is_done,
        when=lambda tables: _deferrals(tables, run_id) > 0,
    )


_BEAT_SECONDS: Final = 25.0


def _watched_program(_chance: random.Random) -> list[Call]:
    beats = [beat("one", number) for number in range(4)]
    return [start(watched_run, "first", id="one"), *beats, tell("one", "done", at_latest=True)]


WORKLOADS: Final = (
    Workload(name="watched", program=_watched_program, is_compared=False, results={"one": '"done"'}),
    Workload(
        name="deferred",
        program=_deferred_program,
        in_order=False,
        results={"one": '["done","beside first"]', "two": '["done after all","beside second"]'},
    ),
    Workload(name="told", program=_told_program, is_compared=False, results={"one": '["done","beside first"]'}),
    Workload(name="overdue", program=_overdue_program, is_compared=False, results={"one": '"done"'}),
)
