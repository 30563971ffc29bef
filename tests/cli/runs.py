"""A database with one run of each kind that the commands must show, and how the tests call the commands."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from perdure import Context, Engine, ParentClosePolicy, Retry, Signal, Update, activity, fixed, workflow
from tests.forking import run_module

ADD = Update("add", int, int)
REVIEW = Signal("review", dict[str, bool])
NASTY_ID = "evil\x1b[2J\u202eid"


@activity
async def greeting(name: str) -> str:
    return f"hello {name}"


@activity(retry=Retry(attempts=1))
async def explode(message: str) -> None:
    raise ValueError(message)


@activity(retry=Retry(attempts=5, backoff=fixed(timedelta(hours=1))))
async def unreachable() -> None:
    raise ConnectionError("no route to host")


@workflow
async def greet(ctx: Context, name: str) -> str:
    async with ctx.stage("greeting"):
        return await greeting(name)


@workflow
async def fail(ctx: Context, message: str) -> None:
    async with ctx.stage("exploding"):
        await explode(message)


@workflow
async def wait_for_review(ctx: Context) -> str:
    ctx.set("asked", ["alice", "bob"])
    async with ctx.stage("review"):
        decision = await ctx.wait_for(REVIEW, timeout=timedelta(days=3))
    return "approved" if decision["approved"] else "refused"


@workflow
async def count(ctx: Context) -> None:
    counted = 0

    async def add(amount: int) -> int:
        nonlocal counted
        counted += amount
        return counted

    @ctx.query("counted")
    def tell(times: int = 1) -> dict[int, int]:
        return {counted: times}

    ctx.on_update(ADD, add)
    await ctx.wait_for(REVIEW)


@workflow
async def stubborn(ctx: Context) -> None:
    await unreachable()


@workflow
async def family(ctx: Context) -> str:
    first = await ctx.run_child(greet, "child", id="family/first")
    ctx.start_child(wait_for_review, id="family/second", policy=ParentClosePolicy.ABANDON)
    await ctx.wait_for(REVIEW)
    return first


@dataclass(frozen=True, kw_only=True)
class Called:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def perdure(*arguments: str, directory: Path, **environment: str) -> Called:
    """Call the command line in a process of its own."""
    return Called(**run_module("perdure", *arguments, directory=directory, **environment)._asdict())


def make_runs(database: Path) -> None:
    """Fill a database."""
    asyncio.run(fill(f"sqlite:///{database}"))


async def fill(url: str) -> None:
    """Have a run of each kind in a database."""
    async with Engine(url) as engine:
        await (await engine.start(greet, "Ada", id="done", labels={"team": "red"}, tenant="acme")).result()
        failed = await engine.start(fail, "the reactor is hot", id="failed", labels={"team": "blue"})
        await asyncio.wait([asyncio.ensure_future(failed.result())])
        await engine.start(wait_for_review, id="waiting", labels={"team": "blue"}, tenant="acme")
        stuck = await engine.start(stubborn, id="stuck")
        await engine.start(greet, "Eve", id=NASTY_ID)
        parent = await engine.start(family, id="family")
        for run, event in ((stuck, "ActivityAttemptFailed"), (parent, "ChildCompleted")):
            async for recorded in run.watch():
                if type(recorded.event).__name__ == event:
                    break
