"""`perdure tasks`, and what `perdure show` says of a run's tasks: one is under way, one waits, one was given back."""

import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, Settings, activity, heartbeat, workflow
from perdure.kernel import events as e
from tests.cli.runs import Called, perdure
from tests.journeys.workflows import until

NASTY = "evil\x1b[2Jqueue"


@activity(name="cli.render", queue="gpu")
async def render() -> None:
    await asyncio.sleep(0.01)  # longer than it takes until another heartbeat is saved
    heartbeat("half")
    await asyncio.Event().wait()


@activity(name="cli.sort", queue=NASTY)
async def sort() -> None: ...


@workflow(name="cli.queueing")
async def queueing(_: Context) -> None:
    await asyncio.gather(render(), sort())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Called]:
    """Return what commands print while one task is under way and one waits."""
    return asyncio.run(_shown(tmp_path_factory.mktemp("queues")))


async def _shown(folder: Path) -> dict[str, Called]:
    url = f"sqlite:///{folder / 'perdure.db'}"
    serves = Settings(queues=("gpu",), only_queues=True, shutdown_grace_seconds=0.0, heartbeat_save_seconds=0.001)
    async with Engine(url, name="owner") as owner, Engine(url, settings=serves, name="server"):
        run = await owner.start(queueing, id="queued")

        async def has_beaten() -> bool:
            tasks = await owner.tasks()
            return len(tasks) == 2 and any(
                [isinstance(recorded.event, e.ActivityHeartbeatRecorded) async for recorded in run.history()]
            )

        await until(has_beaten)
        commands = {"tasks": ("tasks",), "show": ("show", "queued")}
        return {
            f"{name}{json}": await asyncio.to_thread(perdure, *command, *json.split(), directory=folder)
            for name, command in commands.items()
            for json in ("", " --json")
        }


def test_tasks_are_listed_with_the_worker_that_has_them(shown: dict[str, Called]) -> None:
    called = shown["tasks --json"]
    assert called.code == 0, called.err
    assert [(one["queue"], one["state"], one["worker"]) for one in called.json["tasks"]] == [
        ("gpu", "claimed", "server"),
        (NASTY, "waits", None),
    ]
    assert [one["waits_for"] for one in called.json["tasks"]] == [None, f"nobody serves the queue {NASTY!r}"]
    assert called.json["is_all"]
    text = shown["tasks"].out
    assert "at worker server (session" in " ".join(text.split())
    assert "\x1b[2J" not in text


def test_a_run_shows_where_its_tasks_wait_or_are_under_way(shown: dict[str, Called]) -> None:
    called = shown["show --json"]
    assert called.code == 0, called.err
    at_work, waiting = called.json["tasks"]
    assert (at_work["queue"], at_work["attempt"], at_work["worker"]) == ("gpu", 1, "server")
    assert at_work["last_heartbeat_at"] >= at_work["queued_at"]
    assert (waiting["queue"], waiting["worker"], waiting["last_heartbeat_at"]) == (NASTY, None, None)
    text = " ".join(shown["show"].out.split())
    assert "In task queues" in text
    assert "at worker server (session" in text
    assert "waits: nobody" in text
    assert "\x1b[2J" not in text
