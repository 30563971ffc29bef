import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, Stream, workflow
from tests.cli.runs import perdure

WORDS = Stream("words", str)


@workflow
async def speak(ctx: Context) -> None:
    for word in ("one", "two\x1b[2J"):
        ctx.publish(WORDS, word)


@pytest.fixture
def spoken(place: Path) -> Path:
    async def make() -> None:
        async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
            await (await engine.start(speak, id="speaker")).result()

    asyncio.run(make())
    return place


@pytest.mark.parametrize("form", [(), ("--follow",)])
def test_a_stream_is_printed_with_one_value_per_line(spoken: Path, form: tuple[str, ...]) -> None:
    called = perdure("stream", "speaker", "words", *form, directory=spoken)
    assert (called.code, called.err) == (0, "")
    assert called.out == '"one"\n"two\\u001b[2J"\n'


def test_a_stream_in_json_goes_on_after_a_position(spoken: Path) -> None:
    first, second = perdure("stream", "speaker", "words", "--json", directory=spoken).lines
    assert first == {"value": "one", "position": "1.3", "operation": 1, "attempt": 0}
    called = perdure("stream", "speaker", "words", "--json", "--after", first["position"], directory=spoken)
    assert called.lines == [second]


def test_the_stream_of_a_run_that_goes_on_is_printed_as_far_as_it_is(place: Path) -> None:
    assert perdure("stream", "waiting", "words", directory=place).out == ""


def test_a_position_of_no_value_is_called_wrong(spoken: Path) -> None:
    called = perdure("stream", "speaker", "words", "--after", "nonsense", directory=spoken)
    assert called.code == 2
    assert "no position" in called.err


def test_there_is_no_stream_of_no_run(place: Path) -> None:
    assert perdure("stream", "nobody", "words", directory=place).code == 3
