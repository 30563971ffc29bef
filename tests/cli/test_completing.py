import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, activity, current_attempt, defer, workflow
from perdure.kernel import events as e
from tests.cli.runs import perdure

tokens: list[str] = []


@activity
async def ask_somebody() -> int:
    tokens.append(current_attempt().token)
    defer()


@workflow
async def asking_somebody(ctx: Context) -> int:
    return await ask_somebody()


@pytest.fixture
def token(place: Path) -> str:
    """The token of an activity that waits for somebody, in a database that nobody works on."""

    async def make() -> None:
        async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
            run = await engine.start(asking_somebody, id="asking")
            async for recorded in run.watch():
                if isinstance(recorded.event, e.ActivityDeferred):
                    break

    tokens.clear()
    asyncio.run(make())
    return tokens[0]


def result(place: Path) -> int:
    async def wait() -> int:
        async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
            return await (await engine.get_run("asking", asking_somebody)).result()

    return asyncio.run(wait())


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_activity_is_completed_while_nobody_works(place: Path, token: str, form: tuple[str, ...]) -> None:
    called = perdure("complete", token, "42", *form, directory=place)
    assert (called.code, called.err) == (0, "")
    assert "completed" in called.out
    assert result(place) == 42


def test_an_activity_is_failed_once(place: Path, token: str) -> None:
    assert perdure("fail", token, "no credit", "--final", directory=place).code == 0
    called = perdure("complete", token, "42", directory=place)
    assert called.code == 1
    assert "has failed already" in called.err


def test_a_failure_that_is_not_final_leaves_the_next_attempt_to_the_policy(place: Path, token: str) -> None:
    called = perdure("fail", token, "no answer", "--json", directory=place)
    assert called.json == {"token": token, "failed": True}


def test_what_is_no_token_is_called_wrong(place: Path) -> None:
    called = perdure("complete", "nonsense", directory=place)
    assert called.code == 2
    assert "no token" in called.err
