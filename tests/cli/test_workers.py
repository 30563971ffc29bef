"""`perdure workers`: two of the same code, one of other code, and a client, on one file."""

import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, Settings, activity, workflow
from perdure.authoring.fingerprint import fingerprint
from perdure.authoring.registry import Registry
from perdure.cli.announced import _conclusion
from perdure.kernel.identity import WorkerId
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import ServerSummary, Serving
from tests.cli.runs import Called, perdure

NASTY = "evil\x1b[2Jworker"


@activity(name="cli.announced")
async def announced() -> None: ...


@workflow(name="cli.announcing")
async def announcing(_: Context) -> None:
    await announced()


def registry(*, is_whole: bool = True) -> Registry:
    made = Registry()
    made.add_workflow(announcing)
    if is_whole:
        made.add_activity(announced)
    return made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Called]:
    """Return what the command prints."""
    return asyncio.run(_shown(tmp_path_factory.mktemp("workers")))


async def _shown(folder: Path) -> dict[str, Called]:
    url = f"sqlite:///{folder / 'perdure.db'}"
    serving = Settings(queues=("gpu",), labels={"gpu": "a100"}, loop_slots=7, thread_slots=2, process_slots=1)
    async with Engine(url, name="alone", registry=registry()):
        called = {"nobody": await asyncio.to_thread(perdure, "workers", directory=folder)}
    async with (
        Engine(url, name="one", registry=registry()) as one,
        Engine(url, name="other", registry=registry(), settings=serving) as other,
        Engine(url, name=NASTY, registry=registry(is_whole=False)) as older,
        Engine(url, name="client", registry=registry(), works=False) as client,
    ):
        for engine in (one, other, older, client):
            await engine.worker.sharing.look()  # as each does when it renews its lease
        for json in ("", "--json"):
            called[json] = await asyncio.to_thread(perdure, "workers", *json.split(), directory=folder)
        return called


def test_workers_are_listed_with_the_name_of_their_code(shown: dict[str, Called]) -> None:
    called = shown["--json"]
    assert called.code == 0, called.err
    found = {one["worker"]: one for one in called.json["workers"]}
    assert found.keys() == {"one", "other", NASTY}, "a client is none"
    same, older = fingerprint(registry()), fingerprint(registry(is_whole=False))
    assert {name: one["code"] for name, one in found.items()} == {"one": same, "other": same, NASTY: older}
    assert same != older
    other = found["other"]
    assert (other["queues"], other["labels"], other["seen_as"]) == (["gpu"], {"gpu": "a100"}, None)
    assert (other["free_slots"]["loop"], other["free_slots"]["thread"]) == (7, 2)
    assert other["lease_until"].endswith("Z")


def test_people_are_told_who_shares_with_whom(shown: dict[str, Called]) -> None:
    text = " ".join(shown[""].out.split())
    assert text.count(fingerprint(registry())) == 2
    assert fingerprint(registry(is_whole=False)) in text
    assert "gpu=a100" in text
    assert "These are 2 groups" in text
    assert "\x1b[2J" not in text


def test_where_nobody_has_announced_anything_it_is_said_why(shown: dict[str, Called]) -> None:
    assert "No worker has announced itself" in shown["nobody"].out


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([], []),
        (["one"], []),
        (["one", "one"], ["All have the same code"]),
        (["one", "other", "one"], ["These are 2 groups"]),
    ],
)
def test_who_shares_is_said_where_there_are_several_who_may(codes: list[str], said: list[str]) -> None:
    found = [
        ServerSummary(worker=WorkerId(1), name="", serving=Serving(code=code), lease_until=Timestamp(1))
        for code in codes
    ]
    lines = _conclusion(found)
    assert [line[: len(beginning)] for line, beginning in zip(lines, said, strict=True)] == said
