"""Restate: its server beside this process, which serves the handlers and is the client.

Runs are workflows, called by their key over the server's HTTP ingress; where the start alone does not matter (W1 to W4)
one request starts a run and waits for its result, which is half of the requests. Steps are `run_typed`, parallel ones
`restate.gather`, signals durable promises that a shared handler resolves, as the documentation has them.

The handlers are served by Granian, over HTTP/2 with both directions open, in the loop of the client. The documentation
names Hypercorn, which took 1.7 times the CPU time here and did two thirds of the steps; h2corn is close to Granian. The
client is aiohttp, because the SDK's own, on httpx, is slower. Everything of the server's that decides about speed or
durability is its default.
"""

# Restate lives in the peer's environment, where this module runs; a type checker sees only the project's.
# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

import asyncio
import subprocess
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
import restate
from granian.http import HTTP2Settings
from granian.server.embed import Server

from bench.measures import measure_engine
from bench.peer_environments import RESTATE_SERVER, program
from bench.protocol import Candidate, Run
from bench.recording import RECORDING, ledger
from bench.records import Outcome, Request

_GO: Final = "go"
_REGISTRATION_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.02
_STREAM_BYTES: Final = 16 << 20
_CONNECTION_BYTES: Final = 64 << 20


def measure(request: Request) -> Outcome:
    return measure_engine(candidate(request), request)


def candidate(request: Request) -> Candidate:
    return Candidate(open=partial(open_restate, request.server), bytes_on_disk=_not_weighed, imported="restate")


def _not_weighed() -> int:
    raise NotImplementedError("what Restate has on disk is its server's, and it is not asked for it")


sequential_steps = restate.Workflow("sequential")
parallel_steps = restate.Workflow("parallel")
sleeps = restate.Workflow("sleeping")
waits = restate.Workflow("waiting")
ledgered_steps = restate.Workflow("ledgered")
long_runs = restate.Workflow("long")
app = restate.app([sequential_steps, parallel_steps, sleeps, waits, ledgered_steps, long_runs])


async def step(index: int) -> dict[str, object]:
    return {"ok": True, "i": index}


async def ledgered_step(number: int, index: int) -> dict[str, int]:
    ledger().step(number, index)
    return {"i": index}


async def clocked_step(index: int) -> dict[str, object]:
    RECORDING.clock.step()
    return {"ok": True, "i": index}


@sequential_steps.main("run")
async def sequential(ctx: restate.WorkflowContext, steps: int) -> int:
    for index in range(steps):
        await ctx.run_typed("step", step, index=index)
    return steps


@parallel_steps.main("run")
async def parallel(ctx: restate.WorkflowContext, steps: int) -> int:
    return len(await restate.gather(*(ctx.run_typed("step", step, index=index) for index in range(steps))))


@sleeps.main("run")
async def sleeping(ctx: restate.WorkflowContext, numbers: list[float]) -> float:
    number, seconds = numbers
    RECORDING.moments.falls_asleep(int(number))
    await ctx.sleep(timedelta(seconds=seconds))
    RECORDING.moments.wakes(int(number))
    return number


@waits.main("run")
async def waiting(ctx: restate.WorkflowContext, number: int) -> int:
    del number
    RECORDING.moments.waits()
    value: int = await ctx.promise(_GO, type_hint=int)
    return value


@waits.handler("go")
async def go(ctx: restate.WorkflowSharedContext, value: int) -> None:
    await ctx.promise(_GO, type_hint=int).resolve(value)


@ledgered_steps.main("run")
async def ledgered(ctx: restate.WorkflowContext, numbers: list[int]) -> int:
    number, steps = numbers
    total = 0
    for index in range(steps):
        total += (await ctx.run_typed("step", ledgered_step, number=number, index=index))["i"]
    return total


@long_runs.main("run")
async def long(ctx: restate.WorkflowContext, steps: int) -> int:
    for index in range(steps):
        await ctx.run_typed("step", clocked_step, index=index)
    return steps


@dataclass(frozen=True, kw_only=True)
class RestateRun:
    outcome: Callable[[], Awaitable[object]]
    send: Callable[[int], Awaitable[object]]

    async def result(self) -> object:
        return await self.outcome()

    async def signal(self, value: int) -> None:
        await self.send(value)


@dataclass(frozen=True, kw_only=True)
class RestateEngine:
    session: aiohttp.ClientSession
    ingress: str

    async def sequential(self, id: str, steps: int) -> Run:
        return self._called("sequential", id, steps)

    async def parallel(self, id: str, steps: int) -> Run:
        return self._called("parallel", id, steps)

    async def sleeping(self, id: str, number: int, seconds: float) -> Run:
        return await self._started("sleeping", id, [number, seconds])

    async def waiting(self, id: str, number: int) -> Run:
        return await self._started("waiting", id, number)

    async def ledgered(self, id: str, number: int, steps: int) -> Run:
        return await self._started("ledgered", id, [number, steps])

    async def long(self, id: str, steps: int) -> Run:
        return await self._started("long", id, steps)

    async def find(self, id: str) -> Run:
        """Give the run of a workflow that its id begins with: a key is that of one workflow, and none is asked for."""
        return self._run(_WORKFLOWS[id.partition("-")[0]], id)

    def row_committer(self) -> None:
        return None  # its log takes no rows

    def facts(self) -> dict[str, str]:
        server = program("restate", RESTATE_SERVER)
        said, dumped = (
            subprocess.run([server, word], capture_output=True, text=True, check=True).stdout
            for word in ("--version", "--dump-config")
        )
        return {
            "restate-server": said.split()[1],
            "restate-sdk": version("restate-sdk"),
            "granian": version("granian"),
            "log-server.rocksdb-disable-wal-fsync": str(
                tomllib.loads(dumped)["log-server"]["rocksdb-disable-wal-fsync"]
            ),
        }

    def _called(self, workflow: str, id: str, argument: object) -> RestateRun:
        """Start a run and wait for its result by one request."""
        call = asyncio.ensure_future(self._ask("POST", f"{workflow}/{id}/run", argument))
        return RestateRun(outcome=lambda: call, send=partial(self._signal, workflow, id))

    async def _started(self, workflow: str, id: str, argument: object) -> RestateRun:
        await self._ask("POST", f"{workflow}/{id}/run/send", argument)
        return self._run(workflow, id)

    def _run(self, workflow: str, id: str) -> RestateRun:
        attach = partial(self._ask, "GET", f"restate/workflow/{workflow}/{id}/attach")
        return RestateRun(outcome=attach, send=partial(self._signal, workflow, id))

    async def _signal(self, workflow: str, id: str, value: int) -> object:
        return await self._ask("POST", f"{workflow}/{id}/go", value)

    async def _ask(self, method: str, path: str, argument: object = None) -> object:
        body = {} if argument is None else {"json": argument}
        async with self.session.request(method, f"{self.ingress}/{path}", **body) as response:
            if response.status >= _ERRORS:
                raise RuntimeError(f"{method} {path} was answered {response.status}: {await response.text()}")
            answer: object = await response.json(content_type=None)
            return answer


_ERRORS: Final = 400
_WORKFLOWS: Final = {"wait": "waiting", "crash": "ledgered", "long": "long"}


@asynccontextmanager
async def open_restate(url: str) -> AsyncIterator[RestateEngine]:
    place = urlsplit(url)
    ports = {name: int(values[0]) for name, values in parse_qs(place.query).items()}
    handlers = _server_of_handlers(place.hostname, ports["handlers"])
    serving = asyncio.ensure_future(handlers.serve())
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as session:
            await _register(session, f"http://{place.hostname}:{ports['admin']}", ports["handlers"])
            yield RestateEngine(session=session, ingress=f"http://{place.netloc}")
    finally:
        handlers.stop()
        await serving


def _server_of_handlers(address: str | None, port: int) -> Any:  # noqa: ANN401 - Granian has no types here
    return Server(
        app,
        address=address,
        port=port,
        interface="asginl",
        http="2",
        websockets=False,
        log_enabled=False,
        # By its default windows of 1 MB a run of 2,000 steps is never replayed: the server gives up each time.
        http2_settings=HTTP2Settings(
            initial_stream_window_size=_STREAM_BYTES, initial_connection_window_size=_CONNECTION_BYTES
        ),
    )


async def _register(session: aiohttp.ClientSession, admin: str, port: int) -> None:
    """Tell the server where the handlers are; a server that knows it already says so."""
    uri = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(_REGISTRATION_SECONDS):
        while True:
            with suppress(aiohttp.ClientError):
                async with session.post(f"{admin}/deployments", json={"uri": uri}) as response:
                    if response.ok:
                        return
            await asyncio.sleep(_PAUSE_SECONDS)
