"""The client program of a trial: calls in order, each made until it is acknowledged, also across its own death.

What a careful client would do is done here: a call whose answer was lost is not repeated blindly; first the program
looks whether it took effect. So a struck trial ends with the same calls applied once as an undisturbed one.
"""

import asyncio
from contextlib import suppress

from perdure.client.client import Client
from perdure.errors import (
    RunClosedError,
    RunError,
    RunNotFoundError,
    RunNotRepairableError,
    StaleTokenError,
    StoreError,
    UpdateFailedError,
)
from perdure.torture.simulation.program import Call
from perdure.torture.simulation.tables import Tables

__all__ = ["Progress", "drive"]


class Progress:
    """How far the program came; it survives its process, as a client's own database would.

    `found_done` are calls without an answer that it has seen to have had their effect.

    With `clears_up_after` another program, it ends in the end what goes on although that one does nothing for it any
    more.
    """

    def __init__(self, *, clears_up_after: "Progress | None" = None) -> None:
        """Nothing is done."""
        self.clears_up_after = clears_up_after
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self.found_done: set[str] = set()
        self.current = ""
        self.is_finished = False
        self._gives_up_at: int | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_hurried(self) -> bool:
        """Whether somebody has ended a run early: calls may be refused then, and what they wait for may not come."""
        return self._gives_up_at is not None

    def hurry(self, now_microseconds: int) -> None:
        """Note that somebody ends a run early: then the client waits no longer than patience allows."""
        self._gives_up_at = now_microseconds + _PATIENCE_MICROSECONDS

    def has_given_up(self, now: float, tables: Tables) -> bool:
        """Whether there is nothing to wait for any more."""
        if self._gives_up_at is None:
            return False
        return now * 1_000_000 >= self._gives_up_at or tables.are_closed()

    @property
    def is_waiting(self) -> bool:
        """Whether the client waits for a change of the tables."""
        return self._waiting is not None and not self._waiting.done()

    def tell(self) -> None:
        """Let a client that waits look again: the tables have changed."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def news(self) -> None:
        """Wait for a change of the tables, and no longer than `_LOOK_SECONDS`: some changes tell nobody."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        clock = loop.call_later(_LOOK_SECONDS, self.tell)
        await self._waiting
        clock.cancel()


async def drive(calls: list[Call], progress: Progress, client: Client, tables: Tables) -> None:
    """Make all calls that are not settled yet, then wait for the end of every run that was started."""
    loop = asyncio.get_running_loop()
    for call in calls:
        if call.name not in progress.acknowledged | progress.refused | progress.found_done:
            progress.current = call.name
            while not call.when(tables) and not progress.has_given_up(loop.time(), tables):
                await progress.news()
            if call.is_indispensable or call.when(tables):
                await _make(call, progress, client, tables)
    if progress.clears_up_after is not None:
        await _clear_up(client, progress, progress.clears_up_after, tables)
    for run_id in dict.fromkeys(call.run_id for call in calls):
        progress.current = f"result of {run_id}"
        await _await_result(client, run_id)
    progress.is_finished = True


async def _make(call: Call, progress: Progress, client: Client, tables: Tables) -> None:
    while True:
        if call.name in progress.attempted and not call.is_repeatable and call.is_done(tables):
            progress.found_done.add(call.name)
            return
        progress.attempted.add(call.name)
        try:
            await call.perform(client)
        except StoreError:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        except _REFUSALS as error:
            if not (progress.is_hurried or _is_expected(error, call, tables)):
                raise
            progress.refused.add(call.name)
            return
        progress.acknowledged.add(call.name)
        return


_REFUSALS = (RunClosedError, RunNotRepairableError, RunNotFoundError, RunError, StaleTokenError, UpdateFailedError)


def _is_expected(error: Exception, call: Call, tables: Tables) -> bool:
    """Whether a refusal is no finding: the run may have ended before, and been removed since."""
    match error:
        case RunClosedError() | RunNotRepairableError():
            return call.may_be_refused
        case RunNotFoundError():
            return call.may_be_refused and call.run_id in tables.removed.values()
        case _:
            return False


async def _clear_up(client: Client, progress: Progress, other: Progress, tables: Tables) -> None:
    """Terminate what goes on although what it may wait for was ended early."""
    loop, progress.current = asyncio.get_running_loop(), "clearing up"
    while not (other.is_finished and tables.are_closed()):
        if not other.has_given_up(loop.time(), tables):
            await progress.news()
            continue
        for run_id in tables.open_ids():
            with suppress(StoreError, RunClosedError):
                await (await client.get_run(run_id)).terminate("nothing else ends it")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _await_result(client: Client, run_id: str) -> None:
    while True:
        try:
            run = await client.get_run(run_id)
            await run.result()
        except (RunError, RunNotFoundError):
            return
        except StoreError:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        return


_LOOK_SECONDS = 2.0
_PATIENCE_MICROSECONDS = 150_000_000
"""Longer than leases, retries and clean-up take."""
_PAUSE_SECONDS = 0.2
