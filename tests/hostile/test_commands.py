"""Commands that do something with what has a hostile name: nothing in what they say is obeyed, or forges a line."""

import asyncio
import contextlib
import io
from pathlib import Path

import pytest

from perdure import Context, Cron, Engine, Signal, Update, workflow
from perdure.cli.application import run_command_line
from perdure.texts import printable
from tests.hostile.texts import assert_harmless

NAME = "\x1b[2J\u202e\nforged"
GO_ON = Signal(NAME, int)


@workflow(name=NAME)
async def hostile(ctx: Context) -> None:
    async def answer(number: int) -> int:
        return number

    ctx.on_update(Update(NAME, int, int), answer)
    await ctx.wait_for(GO_ON)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("perdure.db", "other.db"):
        asyncio.run(_fill(f"sqlite:///{tmp_path / name}"))
    return tmp_path


async def _fill(url: str) -> None:
    async with Engine(url, works=False) as engine:
        await engine.start(hostile, id=NAME)
        await engine.schedules.create(NAME, hostile, when=Cron("@yearly"))


def said(*arguments: str) -> str:
    """Call the command line in this process; demand that it tells the name on one line, and return what it printed."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        run_command_line(arguments)
    assert_harmless(written.getvalue())
    assert printable(NAME) in written.getvalue(), (arguments, written.getvalue())
    assert not any(line.startswith("forged") for line in written.getvalue().splitlines())
    return written.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", NAME),
        ("history", NAME, "--export", f"{NAME}.jsonl"),
        ("signal", NAME, NAME, "1"),
        ("cancel", NAME),
        ("terminate", NAME),
        ("suspend", NAME),
        ("resume", NAME),
        ("fork", NAME, "--new-id", f"{NAME} again"),
        ("start", NAME, "--id", f"{NAME} started"),
        ("start", NAME, "--debounce", NAME, "--wait", "1h"),
        ("bulk", "reset", "--event", "99", "--yes"),
        ("export", "--to", f"{NAME}.jsonl"),
        ("prune", "--older-than", "1d", "--archive", NAME),
        ("backup", "--to", f"{NAME}.db"),
        ("schedules", "pause", NAME),
        ("schedules", "resume", NAME),
        ("schedules", "trigger", NAME),
        ("schedules", "delete", NAME),
    ],
    ids=lambda arguments: " ".join(arguments).replace(NAME, "NAME"),
)
def test_a_command_names_what_it_was_given_on_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    said(*arguments)
    assert folder.is_dir()


def test_an_import_names_what_it_refuses_and_what_is_damaged_on_one_line(folder: Path) -> None:
    said("export", "--to", f"{NAME}.jsonl")
    file = folder / f"{NAME}.jsonl"
    assert "another run" in said("import", str(file), "--open", "--db", "sqlite:///other.db")
    file.write_bytes(file.read_bytes().replace(b'"at":"20', b'"at":"19'))
    assert "damaged" in said("import", str(file), "--open", "--db", "sqlite:///third.db")


async def test_an_update_that_is_accepted_is_named_on_one_line(folder: Path) -> None:
    async with Engine(f"sqlite:///{folder / 'perdure.db'}") as engine:
        await engine.start(hostile, id="another")
        assert "accepted" in await asyncio.to_thread(said, "update", NAME, NAME, "1", "--accepted")
