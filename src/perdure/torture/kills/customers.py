"""Customers: clients that keep the engine busy and note what they were told."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.authoring.signals import Signal
from perdure.client.client import Client
from perdure.client.handle import Run
from perdure.errors import ResultTimeoutError, RunClosedError, RunError, StateError, StoreError
from perdure.kernel.transition import OPEN_STATUSES
from perdure.ports.store import RunQuery
from perdure.torture.kills.ledger import Note, append
from perdure.torture.kills.portfolio import ENOUGH, KINDS, note, stray

__all__ = ["Customer", "settle"]


class Customer:
    """Goes from run to run until its process is killed."""

    def __init__(self, client: Client, notes: Path, *, name: str, seed: int) -> None:
        """Call `client`; run ids begin with `name`, which no other customer has ever had."""
        self._client = client
        self._notes = notes
        self._name = name
        self._chance = random.Random(seed)

    async def live(self) -> None:
        """Start runs and see to them, for ever."""
        number = 0
        while True:
            number += 1
            try:
                await self._begin(f"{self._name}-{number}")
            except (StateError, StoreError):
                await asyncio.sleep(_PAUSE_SECONDS)  # refused: nothing was promised, and the note stays unanswered

    async def _begin(self, run_id: str) -> None:
        chance = self._chance
        kind = chance.choices(list(KINDS.values()), [kind.weight for kind in KINDS.values()])[0]
        value, name = kind.draw(chance), kind.workflow.name
        asked = Note(call="start", state="asked", run_id=run_id, workflow=name, value=value)
        self._write(asked)
        run = await self._client.start(kind.workflow, value, id=run_id)
        self._answered(asked)
        if chance.random() < _STRAY_SHARE:
            await self._send(run, stray, chance.randrange(100))
        if name == "kill_collecting":
            for body in range(chance.randrange(6)):
                await self._linger()
                await self._send(run, note, body)
            await self._send(run, note, ENOUGH)
        elif name == "kill_waiting" or chance.random() < _CANCEL_SHARE:
            await self._linger()
            await self._cancel(run)
        if chance.random() < _WAIT_SHARE:
            await self._await_result(run)

    async def _send(self, run: Run[Any], signal: Signal[int], body: int) -> None:
        call = "stray" if signal is stray else "signal"
        asked = Note(call=call, state="asked", run_id=run.id, subject=f"{run.id}:{signal.name}:{body}", value=body)  # type: ignore[arg-type] # one of both
        self._write(asked)
        try:
            await run.signal(signal, body, request_id=asked.subject)
        except RunClosedError:
            self._refused(asked)
        else:
            self._answered(asked)

    async def _cancel(self, run: Run[Any]) -> None:
        asked = Note(call="cancel", state="asked", run_id=run.id)
        self._write(asked)
        try:
            await run.cancel("torture")
        except RunClosedError:
            self._refused(asked)
        else:
            self._answered(asked)

    async def _await_result(self, run: Run[Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                value = await run.result()
        except (TimeoutError, ResultTimeoutError):
            return
        except RunError as error:
            value = type(error).__name__
        self._write(Note(call="result", state="done", run_id=run.id, value=value, at=_now()))

    async def _linger(self) -> None:
        await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.01, 0.04)))

    def _write(self, record: Note) -> None:
        append(self._notes, record)

    def _answered(self, asked: Note) -> None:
        self._write(msgspec.structs.replace(asked, state="done", at=_now()))

    def _refused(self, asked: Note) -> None:
        self._write(msgspec.structs.replace(asked, state="refused"))


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
                if summary.workflow == "kill_collecting":
                    await run.signal(note, ENOUGH)
                else:
                    await run.cancel("settling")
            except RunClosedError:
                continue
        await asyncio.sleep(_PAUSE_SECONDS)


_NEVER_END: Final = frozenset({"kill_collecting", "kill_waiting"})
_PAUSE_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 5.0
_STRAY_SHARE: Final = 0.15
_CANCEL_SHARE: Final = 0.1
_WAIT_SHARE: Final = 0.7
