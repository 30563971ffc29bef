"""Saved histories: exported whole, read back the same, also in older formats, and refused where they cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Context, Engine, activity, workflow
from perdure.errors import HistoryError
from perdure.kernel.history import RecordedEvent
from perdure.testing.history_files import HISTORY_FORMAT, history_text, read_history_file
from tests.cli.runs import perdure

CODE = """
from perdure import Context, activity, workflow

@activity(name="saved.double")
async def double(number: int) -> int:
    return 2 * number

@workflow(name="saved.order")
async def order(ctx: Context, number: int) -> int:
    return await double(number)

@workflow(name="saved.report")
async def report(ctx: Context, number: int) -> int:
    return number
"""


@activity(name="saved.double")
async def double(number: int) -> int:
    return 2 * number


@workflow(name="saved.order")
async def order(_ctx: Context, number: int) -> int:
    return await double(number)


@workflow(name="saved.report")
async def report(_ctx: Context, number: int) -> int:
    return number


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder with a database of six runs, and their code."""
    (tmp_path / "saved_code.py").write_text(CODE)
    async with Engine(f"sqlite:///{tmp_path / 'perdure.db'}") as engine:
        for number in range(4):
            await (await engine.start(order, number, id=f"order-{number}")).result()
        for number in range(2):
            await (await engine.start(report, number, id=f"report-{number}")).result()
    return tmp_path


@pytest.fixture
async def history() -> list[RecordedEvent]:
    async with Engine("memory:") as engine:
        run = await engine.start(order, 5, id="one")
        await run.result()
        return [recorded async for recorded in run.history()]


def test_an_exported_history_is_read_back_the_same(history: list[RecordedEvent], tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_bytes(history_text(history))
    heading = json.loads(file.read_text().splitlines()[0])
    assert heading == {
        "perdure_history": HISTORY_FORMAT,
        "id": "one",
        "namespace": "default",
        "generation": 1,
        "workflow": "saved.order",
        "definition_version": "1",
        "events": len(history),
    }
    assert read_history_file(file) == history


def test_a_file_without_a_heading_is_read_as_the_older_form(history: list[RecordedEvent], tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_bytes(b"".join(history_text(history).splitlines(keepends=True)[1:]))
    assert read_history_file(file) == history


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda lines: [lines[0].replace(b'"perdure_history":1', b'"perdure_history":2'), *lines[1:]], "of format 2;"),
        (lambda lines: lines[:-1], "it was cut off or changed"),
        (lambda lines: [lines[0].replace(b'"perdure_history":1', b'"perdure_history":"x"'), *lines[1:]], ":1: this is"),
        (lambda lines: [*lines[:2], b"{}"], ":3: this is no event"),
        (lambda lines: [*lines[:2], lines[2].replace(b'Z"', b'"')], "has no time zone"),
        (lambda lines: [*lines[:2], lines[2].replace(b"run_started", b"\xff")], ":3: this is no event"),
        (lambda lines: [b"\xff" + lines[0], *lines[1:]], ":1: this is no event"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"data":', b'"data":' + b"[" * 100_000)], ":3: this is no event"),
    ],
    ids=["newer", "cut off", "no number", "no event", "no time zone", "no text", "no heading", "too deep"],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name(
    history: list[RecordedEvent],
    tmp_path: Path,
    damage: Callable[[list[bytes]], list[bytes]],
    says: str,
) -> None:
    file = tmp_path / "one.jsonl"
    file.write_bytes(b"\n".join(damage(history_text(history).splitlines())))
    with pytest.raises(HistoryError, match=r"one\.jsonl.*") as caught:
        read_history_file(file)
    assert says in str(caught.value)


def test_half_a_history_is_not_saved(history: list[RecordedEvent]) -> None:
    with pytest.raises(HistoryError, match="does not begin with run_created"):
        history_text(history[1:])


def test_the_command_line_exports_what_it_replays(folder: Path) -> None:
    saved = perdure("history", "order-2", "--export", "order.jsonl", directory=folder)
    assert saved.code == 0, saved.err
    assert "5 events of default/order-2 saved in order.jsonl" in saved.out
    ran = perdure("replay", "order.jsonl", "--app", "saved_code", directory=folder)
    assert (ran.code, ran.out) == (0, "1 histories replayed: 1 same\n")
    refused = perdure("history", "order-2", "--export", "nowhere/order.jsonl", directory=folder)
    assert refused.code == 2
    assert "--export nowhere/order.jsonl: No such file or directory" in refused.err


def test_a_sample_of_the_runs_of_a_database_depends_on_its_seed_only(folder: Path) -> None:
    def replayed(*options: str) -> list[str]:
        called = perdure("replay", "--from-store", "--app", "saved_code", "--json", *options, directory=folder)
        assert called.code == 0, called.err
        return [run["name"] for run in called.json["runs"]]

    everything = replayed()
    first = replayed("--sample", "3", "--seed", "1")
    assert len(set(first)) == 3
    assert set(first) < set(everything)
    assert first == replayed("--sample", "3", "--seed", "1")
    assert len({tuple(replayed("--sample", "3", "--seed", str(seed))) for seed in range(2, 6)}) > 1
    assert replayed("--sample", "9") == everything
    refused = perdure("replay", "--from-store", "--app", "saved_code", "--sample", "0", directory=folder)
    assert (refused.code, "--sample is 0" in refused.err) == (2, True)


def test_the_summary_of_a_replay_counts_by_workflow(folder: Path) -> None:
    ran = perdure("replay", "--from-store", "--app", "saved_code", directory=folder)
    assert ran.out.splitlines() == ["  saved.order: 4 same", "  saved.report: 2 same", "6 histories replayed: 6 same"]
