import asyncio
from pathlib import Path

import pytest

from perdure import Engine
from tests.architecture.repository import ROOT
from tests.cli.runs import Called, count, perdure


async def asked(*arguments: str, directory: Path) -> Called:
    """Call the command line while this process works."""
    async with Engine(f"sqlite:///{directory / 'perdure.db'}") as engine:
        await engine.start(count, id="counting")
        return await asyncio.to_thread(perdure, *arguments, directory=directory)


async def test_an_update_prints_its_result(place: Path) -> None:
    called = await asked("update", "counting", "add", "3", directory=place)
    assert (called.code, called.out) == (0, "3\n")


async def test_an_update_in_json_repeated_under_one_request_id_counts_once(place: Path) -> None:
    for _ in range(2):
        called = await asked("update", "counting", "add", "3", "--request-id", "r", "--json", directory=place)
        assert called.json == {
            "id": "counting",
            "namespace": "default",
            "update": "add",
            "completed": True,
            "result": 3,
        }


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_an_update_can_be_left_when_it_is_accepted(place: Path, form: tuple[str, ...]) -> None:
    called = await asked("update", "counting", "add", "3", "--accepted", *form, directory=place)
    assert called.code == 0
    assert "accepted" in called.out


async def test_a_rejected_update_fails_with_the_reason(place: Path) -> None:
    called = await asked("update", "counting", "add", '"three"', directory=place)
    assert called.code == 1
    assert "input of update 'add'" in called.err


def test_an_update_that_nobody_answers_is_given_up(place: Path) -> None:
    called = perdure("update", "waiting", "add", "--timeout", "10ms", directory=place)
    assert called.code == 1
    assert "may still" in called.err


def test_a_query_is_answered_by_the_code_of_a_module(place: Path) -> None:
    async def make() -> None:
        async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
            await engine.start(count, id="counting")

    asyncio.run(make())
    query = ("query", "counting", "counted")
    called = perdure(*query, "2", "--app", "tests.cli.runs", directory=place, PYTHONPATH=str(ROOT))
    assert (called.code, called.out) == (0, '{"0":2}\n')
    called = perdure(*query, "--app", "tests.cli.runs", "--json", directory=place, PYTHONPATH=str(ROOT))
    assert called.json["answer"] == {"0": 1}
    called = perdure("query", "counting", "what", "--app", "tests.cli.runs", directory=place, PYTHONPATH=str(ROOT))
    assert called.code == 2
    assert "it answers: counted" in called.err


def test_a_query_without_the_code_says_what_is_missing(place: Path) -> None:
    called = perdure("query", "waiting", "counted", directory=place)
    assert called.code == 2
    assert "import the module that defines it" in called.err
    assert perdure("query", "waiting", "counted", "--app", "nowhere", directory=place).code == 2
