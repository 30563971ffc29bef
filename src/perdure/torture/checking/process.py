"""What a forked process does: an engine that works, has clients, or both, until it is killed; or settles the rest."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure.configuration import Settings
from perdure.engine import Engine
from perdure.errors import StoreError
from perdure.kernel.transition import OPEN_STATUSES
from perdure.ports.store import RunQuery
from perdure.torture.checking.clients import Board, Caller
from perdure.torture.checking.records import Notebook
from perdure.torture.checking.subjects import NOTEBOOK_VARIABLE
from perdure.torture.processes import words
from perdure.torture.processes.words import Word

__all__ = ["Order", "live"]


class Order(words.Order, frozen=True, kw_only=True):
    """What a process shall be. `url` names the database; `folder` holds the board, and a notebook for each process."""

    url: str
    seed: int
    works: bool
    clients: int
    settles: bool = False


async def live(order: Order) -> None:
    """Do what `order` says. A settling process returns when all runs have ended and were read; the others never."""
    folder = Path(order.folder)
    path = folder / f"notes-{order.number}"
    os.environ[NOTEBOOK_VARIABLE] = str(path)
    notebook, board = Notebook(path), Board(folder / "board")
    engine = await _opened(Engine(order.url, works=order.works, settings=_SETTINGS, name=f"process-{order.number}"))
    callers = [
        Caller(engine, notebook, board, name=f"{order.seed}p{order.number}c{number}") for number in range(order.clients)
    ]
    Word(number=order.number, word="ready", process=os.getpid()).say()
    if order.settles:
        await _settle(engine, callers[0], board)
        await engine.__aexit__(None, None, None)
        Word(number=order.number, word="settled", process=os.getpid()).say()
        return
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.live())
        group.create_task(_tell(order.number, callers))


async def _opened(engine: Engine) -> Engine:
    """Open an engine, however often it is refused while somebody else has the database locked."""
    while True:
        try:
            return await engine.__aenter__()
        except StoreError:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _tell(number: int, callers: list[Caller]) -> None:
    """Say from time to time how many calls were made."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        Word(number=number, word="busy", process=os.getpid(), done=sum(caller.calls for caller in callers)).say()


async def _settle(engine: Engine, caller: Caller, board: Board) -> None:
    """End all runs, and read each once more."""
    runs = board.all_runs()
    for run in runs:
        await caller.end(run)
    for run in runs:
        await caller.read_result(run)
        await caller.read_stream(run)
    await _close_all(engine)
    cursor: str | None = ""
    while cursor is not None:
        cursor = await caller.read_page("", cursor=cursor)


async def _close_all(engine: Engine) -> None:
    """Wait for the end of the runs that nobody has waited for: children, and those that take locks."""
    open_runs = [summary.id async for summary in engine.all_runs(RunQuery(statuses=OPEN_STATUSES))]
    with suppress(TimeoutError):  # what does not end is seen to be open
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for run in open_runs:
                await (await engine.get_run(run)).result()


_SETTINGS: Final = Settings(idle_seconds=0.3, lock_patience_seconds=0.1)
_PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.05
