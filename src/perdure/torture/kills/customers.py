"""Customers: clients that keep the engine busy and note what they were told."""

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow
from perdure.client.client import Client
from perdure.client.handle import Run
from perdure.errors import PerdureError, ResultTimeoutError, RunClosedError, RunError, StoreUnavailableError
from perdure.kernel.transition import OPEN_STATUSES
from perdure.ports.store import RunQuery
from perdure.torture.kills.ledger import Note, append
from perdure.torture.kills.portfolio import ENOUGH, Kind, change, note, shown, stray, waiting

__all__ = ["CALM_SECONDS", "Customer", "settle", "settle_soon"]

T = TypeVar("T")


class Customer:
    """Goes from run to run until its process is killed, or, in the calm, for a while."""

    def __init__(
        self, client: Client, notes: Path, *, name: str, kinds: Sequence[Kind], seed: int, is_calm: bool = False
    ) -> None:
        """Call `client` for runs of these `kinds`; their ids begin with `name`, which no other customer has ever had.

        `is_calm`: nobody is killed meanwhile, so each answer is to come soon.
        """
        self._client = client
        self._notes = notes
        self._name = name
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._is_calm = is_calm

    async def live(self) -> None:
        """Start runs and see to them, for ever."""
        number = 0
        while True:
            number += 1
            await self._begin(f"{self._name}-{number}")

    async def live_through_the_calm(self) -> None:
        """See to some runs, until an answer is late, and leave one behind that never ends by itself."""
        with suppress(TimeoutError):
            for number in range(_CALM_RUNS):
                await self._begin(f"{self._name}-{number}")
            await self._start(waiting, 1, run_id=f"{self._name}-left")

    async def _begin(self, run_id: str) -> None:
        chance = self._chance
        [kind] = chance.choices(self._kinds, [kind.weight for kind in self._kinds])
        run = await self._start(kind.workflow, kind.draw(chance), run_id=run_id)
        if run is None:
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        if chance.random() < _STRAY_SHARE:
            await self._send(run, stray, chance.randrange(100))
        match kind.workflow.name:
            case "kill_collecting":
                for body in range(chance.randrange(6)):
                    await self._linger()
                    await self._send(run, note, body)
                await self._send(run, note, ENOUGH)
            case "kill_answering":
                for body in range(chance.randrange(4)):
                    await self._linger()
                    await self._update(run, body)
                await self._send(run, note, ENOUGH)
                await self._follow(run)
            case name if name == "kill_waiting" or chance.random() < _CANCEL_SHARES.get(name, _CANCEL_SHARE):
                await self._linger()
                await self._cancel(run)
        if self._is_calm or chance.random() < _WAIT_SHARE:
            await self._await_result(run)

    # --- calls ---------------------------------------------------------------------------------------------------

    async def _start(self, workflow: Workflow[Any, Any], value: object, *, run_id: str) -> Run[Any] | None:
        asked = Note(call="start", state="asked", run_id=run_id, workflow=workflow.name, value=value)
        return await self._ask(asked, self._client.start(workflow, value, id=run_id))

    async def _send(self, run: Run[Any], signal: Signal[int], body: int) -> None:
        call = "stray" if signal is stray else "signal"
        asked = Note(call=call, state="asked", run_id=run.id, subject=f"{run.id}:{signal.name}:{body}", value=body)  # type: ignore[arg-type] # one of both
        await self._ask(asked, run.signal(signal, body, request_id=asked.subject))

    async def _update(self, run: Run[Any], body: int) -> None:
        asked = Note(call="update", state="asked", run_id=run.id, subject=f"{run.id}:{change.name}:{body}", value=body)
        await self._ask(asked, run.update(change, body, request_id=asked.subject), tells_value=True)

    async def _cancel(self, run: Run[Any]) -> None:
        asked = Note(call="cancel", state="asked", run_id=run.id, subject=f"{run.id} is not wanted any more")
        await self._ask(asked, run.cancel(asked.subject))

    async def _follow(self, run: Run[Any]) -> None:
        asked = Note(call="stream", state="asked", run_id=run.id)
        await self._ask(asked, _published(run), tells_value=True)

    async def _await_result(self, run: Run[Any]) -> None:
        asked = Note(call="result", state="asked", run_id=run.id)
        await self._ask(asked, _outcome(run, None if self._is_calm else _PATIENCE), tells_value=True)

    async def _ask(self, asked: Note, call: Coroutine[Any, Any, T], *, tells_value: bool = False) -> T | None:
        """Note a call, what became of it, and, with `tells_value`, what was answered; return that, None for an error.

        Raises TimeoutError where nothing came in the calm.
        """
        self._write(asked)
        try:
            async with asyncio.timeout(CALM_SECONDS if self._is_calm else None):
                answer = await call
        except ResultTimeoutError:
            return None
        except TimeoutError:
            self._write(msgspec.structs.replace(asked, state="late"))
            raise
        except (RunClosedError, StoreUnavailableError) as error:
            self._write(msgspec.structs.replace(asked, state="refused", value=repr(error)))
            return None
        except PerdureError as error:
            self._write(msgspec.structs.replace(asked, state="failed", value=repr(error)))
            return None
        value = answer if tells_value else asked.value
        self._write(msgspec.structs.replace(asked, state="done", value=value, at=_now()))
        return answer

    async def _linger(self) -> None:
        await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.01, 0.04)))

    def _write(self, record: Note) -> None:
        append(self._notes, record)


async def _published(run: Run[Any]) -> list[int]:
    """Follow what a run publishes until it ends."""
    async with aclosing(run.stream(shown)) as items:
        return [item.value async for item in items]


async def _outcome(run: Run[Any], patience: timedelta | None) -> object:
    """Return what a run came to. Raises ResultTimeoutError."""
    try:
        return await run.result(timeout=patience)
    except RunError as error:
        return type(error).__name__


def _now() -> int:
    return time.time_ns() // 1_000


async def settle(client: Client) -> None:
    """Have all runs end that the dead customers left open; return when none is open."""
    query = RunQuery(namespace=client.namespace, statuses=OPEN_STATUSES, limit=500)
    told: set[str] = set()
    while await client.count_runs(query):
        async for summary in client.all_runs(query):
            if summary.ref.id in told or summary.workflow not in _NEVER_END:
                continue
            told.add(summary.ref.id)
            run = await client.get_run(summary.ref.id)
            try:
                if summary.workflow == "kill_waiting":
                    await run.cancel("settling")
                else:
                    await run.signal(note, ENOUGH)
            except RunClosedError:
                continue
        await asyncio.sleep(_PAUSE_SECONDS)


async def settle_soon(client: Client, notes: Path) -> None:
    """Have all runs end, and note those that do not in the calm, though nobody but their owner has died."""
    query = RunQuery(namespace=client.namespace, statuses=OPEN_STATUSES, limit=500)
    try:
        async with asyncio.timeout(CALM_SECONDS + await client.count_runs(query) * _SECONDS_EACH):
            await settle(client)
    except TimeoutError:
        async for summary in client.all_runs(query):
            append(notes, Note(call="settle", state="late", run_id=summary.ref.id))


CALM_SECONDS: Final = 20.0
"""So long a call may take, at most, where nobody is killed: a moment, if the machine is not very busy, and if no notice
waits for the next check, as those do for which the receiver's queue had no room (`process`). Where nobody sends any,
what comes and goes takes two checks each time, or more."""
_SECONDS_EACH: Final = 0.05
_CALM_RUNS: Final = 4
_NEVER_END: Final = frozenset({"kill_collecting", "kill_answering", "kill_waiting"})
_PAUSE_SECONDS: Final = 0.05
_PATIENCE: Final = timedelta(seconds=5)
_STRAY_SHARE: Final = 0.15
_CANCEL_SHARE: Final = 0.1
_CANCEL_SHARES: Final = {"kill_transferring": 0.3, "kill_transferring_on_a_server": 0.3}
_WAIT_SHARE: Final = 0.7
