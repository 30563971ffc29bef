"""Clients: they ask an engine for one thing after the other, and note each call before it and its answer after it."""

import asyncio
import mmap
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.client.client import Client
from perdure.client.handle import Run
from perdure.errors import (
    EngineClosedError,
    PerdureError,
    RunNotFoundError,
)
from perdure.ports.store import RunSummary
from perdure.torture.checking.records import Answer, Asked, Call, Notebook, Row
from perdure.torture.checking.subjects import END, ENTRIES, Entry, add, holder, keeper, log, note
from perdure.torture.checking.transactions import Happened

__all__ = ["Board", "Caller", "end_of", "row_of"]


class Board:
    """Which runs are used now: one in each slot, the next one when it has ended. Shared by all processes, as a file.

    It has a byte for each run, which is only ever set: so no process can undo what another one does at a time.
    """

    def __init__(self, path: Path) -> None:
        """Map the file, which is made if it is missing."""
        with path.open("ab") as file:
            file.truncate(_MOST_RUNS * SLOTS)
        with path.open("r+b") as file:
            self._memory: Final = mmap.mmap(file.fileno(), 0)

    def run(self, slot: int) -> str:
        """Return the id of the run in a slot. No id is the beginning of another run's but its children's."""
        return f"s{slot}n{self._number(slot)}."

    def run_before(self, slot: int) -> str | None:
        """Return the id of the run that had a slot before."""
        number = self._number(slot)
        return f"s{slot}n{number - 1}." if number else None

    def turn(self, run: str) -> None:
        """Let the next run be used in the slot of one that ends."""
        slot, _, number = run.strip("s.").partition("n")
        self._memory[int(slot) * _MOST_RUNS + int(number)] = 1

    def all_runs(self) -> list[str]:
        """Return the ids of all runs that there have been."""
        return [f"s{slot}n{number}." for slot in range(SLOTS) for number in range(self._number(slot) + 1)]

    def _number(self, slot: int) -> int:
        return self._memory.find(b"\0", slot * _MOST_RUNS) - slot * _MOST_RUNS


SLOTS: Final = 4
_MOST_RUNS: Final = 2**16
"""More than there are calls in a round."""


class Caller:
    """One client. Its calls come one after the other."""

    def __init__(self, client: Client, notebook: Notebook, board: Board, *, name: str) -> None:
        """Ask `client`; no other client has the same `name`, which draws what it does."""
        self._client = client
        self._notebook = notebook
        self._board = board
        self._name = name
        self._chance = random.Random(name)
        self._runs: dict[str, Run[list[str]]] = {}
        self._is_missing = False
        self.calls = 0

    async def live(self) -> None:
        """Make calls for ever."""
        kinds, weights = [*_WEIGHTS], [*_WEIGHTS.values()]
        while True:
            kind, slot = self._chance.choices(kinds, weights)[0], self._chance.randrange(SLOTS)
            if self._is_missing and self._chance.random() < _STARTING_SHARE:
                kind = "start"
            await getattr(self, kind)(slot)
            await asyncio.sleep(0)

    # --- calls that change something -----------------------------------------------------------------------------

    async def start(self, slot: int) -> None:
        """Start the run of a slot; it may be there, and others may start it now."""
        call = self._call(
            "start", self._board.run(slot), value=self._value(), request=self._chance.random() < _REQUEST_SHARE
        )
        await self._made(call, lambda: self._start(call))

    async def _start(self, call: Call) -> dict[str, Any]:
        request_id = call.value if call.request else ""
        self._runs[call.run] = await self._client.start(keeper, call.value, [], id=call.run, request_id=request_id)
        return {}

    async def signal(self, slot: int) -> None:
        """Append by a signal."""
        await self._append("signal", slot)

    async def update(self, slot: int) -> None:
        """Append by an update."""
        await self._append("update", slot)

    async def _append(self, asked: Asked, slot: int) -> None:
        run, chance = self._board.run(slot), self._chance
        if asked == "signal" and chance.random() < _LATE_SHARE:
            run = self._board.run_before(slot) or run
        peers = sorted(self._runs.keys() - {run}) if chance.random() < _PEERS_SHARE else []
        call = self._call(
            asked,
            run,
            value=self._value(),
            request=chance.random() < _REQUEST_SHARE,
            peers=tuple(chance.sample(peers, min(len(peers), chance.randint(1, 2)))),
            has_child=chance.random() < _CHILD_SHARE,
            is_pair=chance.random() < _PAIR_SHARE,
        )
        ask = self._signal if asked == "signal" else self._update
        answer = await self._made(call, lambda: ask(call), may_be_cut=True)
        while call.request and chance.random() < _AGAIN_SHARES[answer.happened]:
            call = msgspec.structs.replace(call, number=self._number())
            answer = await self._made(call, lambda call=call: ask(call))  # type: ignore[misc]
        await self._end_if_long(call.run, answer)

    async def _signal(self, call: Call) -> dict[str, Any]:
        run = await self._run(call.run)
        await run.signal(note, _entry_of(call), request_id=call.value if call.request else None)
        return {}

    async def _update(self, call: Call) -> dict[str, Any]:
        run = await self._run(call.run)
        found = await run.update(add, _entry_of(call), request_id=call.value if call.request else None)
        return {"entries": tuple(found)}

    async def _end_if_long(self, run: str, answer: Answer) -> None:
        if len(answer.entries or ()) > _LIST_LENGTH:
            await self.end(run)

    async def end(self, run: str) -> None:
        """Have a run end; it may have ended, and others may end it now."""
        self._board.turn(run)
        self._runs.pop(run, None)
        call = self._call("signal", run, value=END, request=True)
        await self._made(call, lambda: self._end(call))

    async def _end(self, call: Call) -> dict[str, Any]:
        await (await self._run(call.run)).signal(note, Entry(value=END), request_id=end_of(call.run))
        return {}

    async def hold(self, _slot: int) -> None:
        """Start a run that takes a lock."""
        value = self._value()
        call = self._call("hold", f"h{value}.", value=value, key=self._chance.choice(_LOCKS))
        await self._made(call, lambda: self._hold(call))

    async def _hold(self, call: Call) -> dict[str, Any]:
        await self._client.start(holder, call.key, id=call.run)
        return {}

    # --- calls that look -----------------------------------------------------------------------------------------

    async def query(self, slot: int) -> None:
        """Ask a run for its list."""
        call = self._call("query", self._board.run(slot))
        await self._end_if_long(call.run, await self._made(call, lambda: self._query(call)))

    async def _query(self, call: Call) -> dict[str, Any]:
        return {"entries": tuple(await (await self._run(call.run)).query(ENTRIES))}

    async def describe(self, slot: int) -> None:
        """Look at the row of a run."""
        call = self._call("describe", self._board.run(slot))
        await self._made(call, lambda: self._describe(call))

    async def _describe(self, call: Call) -> dict[str, Any]:
        return {"rows": (row_of(await (await self._run(call.run)).describe()),)}

    async def stream(self, slot: int) -> None:
        """Read what a run has published so far."""
        await self.read_stream(self._board.run(slot))

    async def read_stream(self, run: str) -> None:
        """Read what a certain run has published so far."""
        call = self._call("stream", run)
        await self._made(call, lambda: self._stream(call))

    async def _stream(self, call: Call) -> dict[str, Any]:
        run = await self._run(call.run)
        async with aclosing(run.stream(log, follow=False)) as items:
            found = [(item.value, _place(item.position)) async for item in items]
        return {"entries": tuple(value for value, _ in found), "positions": tuple(place for _, place in found)}

    async def follow(self, slot: int) -> None:
        """Listen to what a run publishes, for a while."""
        call = self._call("follow", self._board.run(slot))
        await self._made(call, lambda: self._follow(call))

    async def _follow(self, call: Call) -> dict[str, Any]:
        found: list[tuple[str, int]] = []
        run = await self._run(call.run)
        try:
            async with asyncio.timeout(_LISTENING_SECONDS), aclosing(run.stream(log)) as items:
                async for item in items:
                    found.append((item.value, Notebook.now()))  # noqa: PERF401 - what was heard in time counts
        except TimeoutError:
            pass
        return {"entries": tuple(value for value, _ in found), "times": tuple(at for _, at in found)}

    async def page(self, slot: int) -> None:
        """Look at the rows of a run and of its children, on one page."""
        await self.read_page(self._board.run(slot))

    async def read_page(self, prefix: str, *, cursor: str = "") -> str | None:
        """Look at the rows of runs whose ids begin so, on one page; return the cursor of the next one, or of the
        same one if it was refused; None: no page follows."""
        call = self._call("page", prefix)
        following: str | None = cursor

        async def look() -> dict[str, Any]:
            nonlocal following
            page = await self._client.list_runs(id_prefix=prefix, limit=_PAGE, cursor=cursor)
            following = page.next_cursor or None
            return {"rows": tuple(row_of(run) for run in page.runs), "is_last": following is None}

        await self._made(call, look)
        return following

    async def result(self, slot: int) -> None:
        """Wait for the result of the run that had its slot before."""
        run = self._board.run_before(slot)
        if run is not None:
            await self.read_result(run)

    async def read_result(self, run: str) -> None:
        """Wait for the result of a certain run."""
        call = self._call("result", run)
        await self._made(call, lambda: self._result(call))

    async def _result(self, call: Call) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return {"entries": tuple(await (await self._run(call.run)).result())}

    async def locks(self, _slot: int) -> None:
        """Look at the line of a lock."""
        call = self._call("locks", key=self._chance.choice(_LOCKS))
        await self._made(call, lambda: self._locks(call))

    async def _locks(self, call: Call) -> dict[str, Any]:
        found = await self._client.locks(key=call.key)
        return {"line": tuple((entry.position, entry.run.id, entry.is_held) for entry in found)}

    # --- notes ---------------------------------------------------------------------------------------------------

    async def _made(
        self, call: Call, ask: Callable[[], Awaitable[dict[str, Any]]], *, may_be_cut: bool = False
    ) -> Answer:
        """Make a call, perhaps for no longer than a moment; note it and what became of it."""
        limit = self._chance.choice(_CUTS) if may_be_cut and self._chance.random() < _CUT_SHARE else None
        call = msgspec.structs.replace(call, at=Notebook.now())
        self._notebook.note(call)
        happened, error, seen = Happened.YES, "", dict[str, Any]()
        try:
            async with asyncio.timeout(limit):
                seen = await ask()
        except TimeoutError as failure:
            happened, error = Happened.UNKNOWN, type(failure).__name__
        except PerdureError as failure:
            happened, error = _became(failure), type(failure).__name__
        answer = Answer(
            client=self._name, number=call.number, at=Notebook.now(), happened=happened, error=error, **seen
        )
        self._notebook.note(answer)
        self._is_missing = answer.error == RunNotFoundError.__name__
        return answer

    def _call(self, asked: Asked, run: str = "", **how: Any) -> Call:  # noqa: ANN401 - the fields of a call
        return Call(client=self._name, number=self._number(), at=0, asked=asked, run=run, **how)

    def _number(self) -> int:
        self.calls += 1
        return self.calls

    def _value(self) -> str:
        return f"{self._name}.{self.calls + 1}"

    async def _run(self, run: str) -> Run[list[str]]:
        """Return the handle of a run. Raises RunNotFoundError if nobody has started it."""
        if run not in self._runs:
            self._runs[run] = await self._client.get_run(run, keeper)
        return self._runs[run]


def _entry_of(call: Call) -> Entry:
    return Entry(value=call.value, peers=call.peers, has_child=call.has_child, is_pair=call.is_pair)


def end_of(run: str) -> str:
    """Return the request id under which whoever ends a run asks for that."""
    return f"{run}{END}"


def row_of(run: RunSummary) -> Row:
    """Return what is compared of a run's row."""
    return (run.id, run.ref.generation, run.sequence, run.status.is_closed)


def _place(position: str) -> tuple[int, int]:
    generation, _, sequence = position.partition(".")
    return int(generation), int(sequence)


def _became(error: PerdureError) -> Happened:
    """Return what an error says of the call: by P2 nothing was saved, unless nobody was there to say so, or it says
    that what was sent may still happen."""
    is_open = isinstance(error, EngineClosedError) or error.open_request_id is not None
    return Happened.UNKNOWN if is_open else Happened.NO


_WEIGHTS: Final = {
    "start": 4,
    "signal": 20,
    "update": 9,
    "query": 6,
    "describe": 24,
    "stream": 7,
    "follow": 1,
    "page": 10,
    "result": 2,
    "locks": 5,
    "hold": 3,
}
"""How often each call is made, in proportion."""
_LOCKS: Final = ("red", "green", "blue")
_STARTING_SHARE: Final = 0.3
"""How often a client starts a run after one that it had not found."""
_REQUEST_SHARE: Final = 0.5
_AGAIN_SHARES: Final = {Happened.YES: 0.1, Happened.NO: 0.3, Happened.UNKNOWN: 0.7}
"""How often a request is made again, by what became of it."""
_LATE_SHARE: Final = 0.04
"""How often a signal goes to a run that was asked to end."""
_PEERS_SHARE: Final = 0.2
_CHILD_SHARE: Final = 0.1
_PAIR_SHARE: Final = 0.1
_CUT_SHARE: Final = 0.04
_CUTS: Final = (0.0005, 0.002, 0.01)
_LIST_LENGTH: Final = 30
_LISTENING_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 30.0
_PAGE: Final = 200
