"""A cluster that is kept: it is there again, belongs to one process at a time, and survives what interrupts it."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdure.errors import InvalidArgumentError, LocalPostgresError
from perdure.local_postgres import LocalPostgres
from perdure.local_postgres.accounts import server_account
from perdure.local_postgres.cluster import Cluster, kept_cluster
from tests.postgres_server import value


def kill(folder: Path) -> int:
    """Kill the server on a cluster, which loses its processes then; return its number."""
    pid = int((folder / "cluster" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    return pid


@contextmanager
def living(*, folder: Path | None = None, user: int | None = None) -> Iterator[int]:
    """Yield the number of a process that is no server."""
    with subprocess.Popen(["sleep", "600"], cwd=folder, user=user) as process:
        try:
            yield process.pid
        finally:
            process.kill()


async def test_what_a_kept_cluster_holds_is_there_again_and_waits_for_the_disk(open_folder: Path) -> None:
    folder = open_folder / "kept"
    with LocalPostgres(folder) as postgres:
        await value(postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        assert await value(postgres.url(), "SHOW fsync") == "on"
        with pytest.raises(LocalPostgresError, match=rf"in use by process {os.getpid()}.*{re.escape(postgres.url())}"):
            LocalPostgres(folder).start()
        kill(folder)
    with LocalPostgres(folder, tcp=True) as postgres:
        assert await value(postgres.url(), "SELECT answer FROM kept") == 42
    assert "database system was not properly shut down" in (folder / "server.log").read_text()
    assert (folder / "server.log.1").exists()


async def test_a_standby_follows_its_primary_and_is_promoted_when_that_is_gone(open_folder: Path) -> None:
    with LocalPostgres() as primary:
        await value(primary.url(), "CREATE TABLE followed AS SELECT 42 AS answer")
        standby = LocalPostgres(open_folder / "standby", standby_of=primary.url())
        with standby:
            assert await value(standby.url(), "SELECT pg_is_in_recovery()") is True
            await value(primary.url(), "UPDATE followed SET answer = 43")
            written = await value(primary.url(), "SELECT pg_current_wal_lsn()::text")
            async with asyncio.timeout(30):
                while not await value(standby.url(), f"SELECT pg_last_wal_replay_lsn() >= '{written}'"):
                    pass
            primary.stop()
            assert await value(standby.url(), "SELECT pg_promote()") is True
            assert await value(standby.url(), "SELECT answer FROM followed") == 43
            await value(standby.url(), "UPDATE followed SET answer = 44")
    with standby:
        assert await value(standby.url(), "SELECT answer FROM followed") == 44


def test_a_folder_that_holds_something_else_is_left_alone(open_folder: Path) -> None:
    (open_folder / "letter").write_text("dear")
    with pytest.raises(InvalidArgumentError, match="holds something else"):
        LocalPostgres(open_folder).start()
    assert [path.name for path in open_folder.iterdir()] == ["letter"]


def test_a_cluster_that_was_not_finished_is_made_anew(open_folder: Path) -> None:
    folder = open_folder / "kept"
    unfinished = folder / "cluster" / "initializing"
    with kept_cluster(folder, server_account(), url=""):
        unfinished.mkdir(parents=True)
        (unfinished / "PG_VERSION").write_text("18\n")
    with LocalPostgres(folder):
        assert (folder / "cluster" / "data" / "PG_VERSION").exists()
    assert not unfinished.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to somebody else")
def test_root_is_told_of_a_folder_that_the_servers_user_cannot_enter(open_folder: Path) -> None:
    open_folder.chmod(0o700)
    with pytest.raises(LocalPostgresError, match=r"refuses to run as root, and user .* cannot enter"):
        LocalPostgres(open_folder / "kept").start()


@pytest.fixture
def cluster(open_folder: Path) -> Cluster:
    """A cluster whose server died and left its file, of process 12345."""
    (open_folder / "cluster" / "data").mkdir(parents=True)
    return Cluster(home=open_folder, lock=0)


def leave(cluster: Cluster, pid: int) -> None:
    lines = [pid, cluster.home / "cluster" / "data", 1700000000, 5432, cluster.home, "", "  5432 77", "ready   "]
    (cluster.home / "cluster" / "data" / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))


def test_a_server_that_died_is_forgotten_though_its_number_is_another_process_now(cluster: Cluster) -> None:
    leave(cluster, os.getpid())
    assert cluster.is_ready()
    cluster.forget_dead_server()
    assert not cluster.is_ready()
    lines = (cluster.home / "cluster" / "data" / "postmaster.pid").read_text().splitlines()
    assert lines[0] == "2147483647"
    assert lines[6] == "  5432 77"[2:]


def test_a_server_that_somebody_else_started_is_named(cluster: Cluster) -> None:
    with living(folder=cluster.home / "cluster" / "data") as pid:
        leave(cluster, pid)
        with pytest.raises(LocalPostgresError, match=f"process {pid}"):
            cluster.forget_dead_server()
    cluster.forget_dead_server()


def test_a_server_takes_over_from_one_whose_number_is_another_process_now(open_folder: Path) -> None:
    folder, account = open_folder / "kept", server_account()
    with LocalPostgres(folder):
        died = kill(folder)
    left = folder / "cluster" / "data" / "postmaster.pid"
    with living(user=None if account is None else account.uid) as pid:
        left.write_text(left.read_text().replace(str(died), str(pid), 1))
        with LocalPostgres(folder) as postgres:
            assert asyncio.run(value(postgres.url(), "SELECT 1")) == 1
