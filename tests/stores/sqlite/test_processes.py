"""Several processes on one file: who is alive, what a killed one leaves, and how news travels."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from perdure.stores.sqlite.presence import Presence, sidecar_folder
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import START, delivery, later

ROOT = Path(__file__).resolve().parents[3]
# So long that only a notice can be heard of within a test.
NEVER = 3_600.0


class Process:
    """The program `second_process`."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child

    async def ask(self, *words: object) -> list[str]:
        self.tell(*words)
        return await self.hear()

    def tell(self, *words: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write((" ".join(str(word) for word in words) + "\n").encode())

    async def hear(self) -> list[str]:
        assert self.child.stdout is not None
        async with asyncio.timeout(30):
            return (await self.child.stdout.readline()).decode().split()

    async def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        await self.child.wait()


@asynccontextmanager
async def second_process(path: Path) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.stores.sqlite.second_process",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    process = Process(child)
    try:
        assert (await process.hear())[0] == "ready"
        yield process
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)
            process.tell("exit")
            async with asyncio.timeout(30):
                await child.wait()


@asynccontextmanager
async def opened(path: Path, *, check_seconds: float = NEVER) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(path, settings=SqliteSettings(safety_check_seconds=check_seconds)))
    await session.open(name="first", lease_seconds=NEVER)
    yield session
    await session.store.close()


async def test_a_child_that_outlives_its_parent_does_not_pass_for_it(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with second_process(path) as process:
        _, child = await process.ask("fork")
        try:
            await process.kill()
            presence = Presence(path)
            is_alone = presence.try_alone()
            presence.close(None)
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert is_alone


async def test_the_runs_of_a_killed_process_are_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened(path) as session, second_process(path) as process:
        await process.ask("hold", "run")
        assert await session.store.free_expired(now=later(1)) == 0
        await process.kill()
        assert await session.store.free_expired(now=later(1)) == 1
        (claimed,) = await session.claim(now=later(1))
        assert claimed.recovered
        assert len(list(sidecar_folder(path).glob("session-*.lock"))) == 1


async def test_who_opens_after_all_others_were_killed_finds_their_runs_free(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with second_process(path) as process:
        await process.ask("hold", "run")
        await process.kill()
    async with opened(path) as session:
        (claimed,) = await session.claim(now=START)
        assert claimed.recovered
        status = await session.store.status()
        assert status.facts["sessions"] == str(session.worker)


async def test_who_opens_while_another_lives_takes_nothing_from_it(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with second_process(path) as process:
        _, run_key = await process.ask("hold", "run")
        async with opened(path) as session:
            assert await session.claim() == []
            assert await session.store.free_expired(now=later(1)) == 0
        assert await process.ask("signal", run_key, "still-alive") == ["sent"]


async def test_a_closed_process_leaves_its_runs_to_others(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened(path) as session:
        async with second_process(path) as process:
            await process.ask("hold", "run")
        (claimed,) = await session.claim()
        assert not claimed.recovered


async def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    acknowledged: set[str] = set()
    for round_ in range(3):
        async with second_process(path) as process:
            process.tell("create", f"round-{round_}", 10_000)
            while len(acknowledged) < 40 * (round_ + 1):
                word, run_id = await process.hear()
                assert word == "created"
                acknowledged.add(run_id)
            await process.kill()
    async with opened(path) as session:
        found = {claimed.summary.ref.id for claimed in await session.claim(limit=100_000)}
        assert acknowledged <= found


async def test_two_processes_that_write_at_the_same_time_both_get_on(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened(path) as session, second_process(path) as process:
        process.tell("create", "theirs", 50)
        for number in range(50):
            await session.create(f"ours-{number}")
        for number in range(50):
            assert await process.hear() == ["created", f"theirs-{number}"]
        assert len(await session.claim(limit=1_000)) == 100


@pytest.mark.parametrize("folders", [0, 3], ids=["short", "longer than a socket's path"])
async def test_a_message_from_another_process_is_heard_of_at_once(tmp_path: Path, folders: int) -> None:
    folder = tmp_path.joinpath(*["a folder whose name is quite long"] * folders)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.db"
    async with opened(path) as session, second_process(path) as process:
        run = await session.hold()
        session.changes.clear()
        await process.ask("signal", run.run_key, "hello")
        await session.hear_of(run.run_key)
        assert await session.signals(run.run_key) == ["hello"]


async def test_a_stopped_process_stops_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened(path) as session, second_process(path) as process:
        _, run_key = await process.ask("hold", "theirs")
        process.child.send_signal(signal.SIGSTOP)
        run = await session.hold("ours")
        for number in range(30):
            await session.commit(delivery(run.run_key, f"signal {number}"))
        assert await session.store.free_expired(now=later(1)) == 0, "it is alive and its lease has not passed"
        process.child.send_signal(signal.SIGCONT)
        assert await process.ask("signal", run_key, "on-we-go") == ["sent"]


async def test_what_no_notice_told_is_found_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened(path, check_seconds=0.02) as session, opened(path) as other:
        run = await session.hold()
        session.changes.clear()
        (sidecar_folder(path) / f"session-{session.worker}.sock").unlink()
        await other.commit(delivery(run.run_key))
        await session.hear_of(run.run_key)
        assert session.changes[-1].everything
