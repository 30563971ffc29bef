"""Request ids of retries, resets and forks: a repetition has one effect, and nothing else is taken for one."""

import pytest

from perdure import Context, Engine, Run, RunFailedError, workflow
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine


@workflow
async def request_failing(ctx: Context) -> None:
    async with ctx.stage("deciding"):
        raise ValueError("not yet")


async def failed(engine: Engine, run_id: str, request_id: str = "") -> Run[None]:
    run = await engine.start(request_failing, id=run_id, request_id=request_id)
    with pytest.raises(RunFailedError):
        await run.result()
    return run


async def generation(run: Run[None]) -> int:
    return (await run.describe()).ref.generation


async def test_the_request_that_started_a_run_resets_it_not(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await failed(engine, "x", request_id="r")
        for ask in (run.retry, run.reset, run.fork):
            with pytest.raises(InvalidArgumentError, match="'r' was used to start run default/x, so nothing was done"):
                await ask(request_id="r")
        assert await generation(run) == 1


async def test_the_request_of_a_retry_is_none_of_a_reset_or_a_fork(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await failed(engine, "x")
        await run.retry(request_id="r")
        for ask in (run.reset, run.fork):
            with pytest.raises(InvalidArgumentError, match="'r' was used to retry run default/x"):
                await ask(stage="deciding", request_id="r")
        assert await generation(run) == 2


async def test_the_request_of_one_run_is_none_of_another(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await (await failed(engine, "x")).fork(request_id="r")
        other = await failed(engine, "y")
        for ask in (other.fork, other.retry):
            with pytest.raises(InvalidArgumentError, match="'r' was used to fork run default/x"):
                await ask(request_id="r")


async def test_a_repetition_gives_the_run_that_was_made_whatever_came_after_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await failed(engine, "x")
        await run.reset(stage="deciding", request_id="r")
        with pytest.raises(RunFailedError):
            await run.result()
        await run.retry()
        await run.reset(stage="deciding", request_id="r")
        assert await generation(run) == 3
        forks = [recorded.event async for recorded in run.history() if isinstance(recorded.event, e.RunForked)]
        assert [fork.cause for fork in forks] == ["retry"]
