"""Throw-away servers, and the errors of all."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from perdure.errors import InvalidArgumentError, LocalPostgresError, StateError
from perdure.local_postgres import LocalPostgres, server
from perdure.local_postgres.accounts import Account
from perdure.local_postgres.binaries import find_binaries
from perdure.local_postgres.running import Place
from tests.postgres_server import PostgresServer, value


def folder_of(postgres: LocalPostgres) -> Path:
    assert postgres._running is not None
    return postgres._running.place.folder


@pytest.fixture(scope="module")
def tcp() -> Iterator[LocalPostgres]:
    """A server that listens by TCP as well, with settings and a database's name that need care."""
    with LocalPostgres(tcp=True, settings={"max_connections": 17, "application_name": "it's one"}) as postgres:
        yield postgres


async def test_a_new_database_is_utf8_sorted_by_bytes_and_in_utc(postgres: str) -> None:
    assert await value(postgres, "SHOW server_encoding") == "UTF8"
    assert await value(postgres, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
    assert await value(postgres, "SHOW timezone") == "UTC"


async def test_a_server_listens_to_no_network_unless_that_is_asked_for(postgres: str) -> None:
    assert await value(postgres, "SHOW listen_addresses") == ""


async def test_a_throw_away_server_waits_for_no_disk(postgres: str) -> None:
    assert await value(postgres, "SHOW fsync") == "off"


def test_nobody_else_can_reach_the_socket_the_cluster_or_the_password(tcp: LocalPostgres) -> None:
    assert (folder_of(tcp) / "socket").stat().st_mode & 0o777 == 0o700
    assert (folder_of(tcp) / "cluster").stat().st_mode & 0o777 == 0o700
    assert (folder_of(tcp) / "password").stat().st_mode & 0o777 == 0o600


async def test_each_test_has_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    async with postgres_server.database() as first, postgres_server.database() as second:
        await value(first, "CREATE TABLE here (id int)")
        assert await value(second, "SELECT to_regclass('here')::text") is None
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await value(first, "SELECT 1")


async def test_a_database_can_be_made_like_another(postgres_server: PostgresServer) -> None:
    async with postgres_server.database() as template:
        await value(template, "CREATE TABLE here (id int)")
        async with postgres_server.database(like=template) as copy:
            assert await value(copy, "SELECT to_regclass('here')::text") == "here"


def test_psql_takes_the_url(postgres: str) -> None:
    command = [find_binaries().program("psql"), postgres, "--no-psqlrc", "--tuples-only", "--command", "SELECT 6 * 7"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "42"


async def test_a_server_by_tcp_asks_for_the_password_in_its_url(tcp: LocalPostgres) -> None:
    assert "@127.0.0.1:" in tcp.url()
    assert await value(tcp.url(), "SELECT inet_server_addr()::text") == "127.0.0.1/32"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(tcp.url(), password="guessed")


async def test_settings_are_those_of_postgresql(tcp: LocalPostgres) -> None:
    assert await value(tcp.url(), "SHOW max_connections") == "17"


async def test_a_url_names_a_database_whatever_its_name(tcp: LocalPostgres) -> None:
    await value(tcp.url(), 'CREATE DATABASE "a/b ?&%"')
    assert await value(tcp.url("a/b ?&%"), "SELECT current_database()") == "a/b ?&%"


def test_a_server_is_started_once_and_stopped_as_often_as_anybody_likes() -> None:
    postgres = LocalPostgres()
    postgres.stop()
    with pytest.raises(StateError, match="does not run"):
        postgres.url()
    with postgres:
        folder = folder_of(postgres)
        with pytest.raises(StateError, match="has been started"):
            postgres.start()
    postgres.stop()
    assert not folder.exists()


def test_a_server_that_was_killed_is_stopped_like_any_other() -> None:
    with LocalPostgres() as postgres:
        folder = folder_of(postgres)
        os.kill(int((folder / "cluster" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert not folder.exists()


def test_what_the_server_says_is_in_the_error() -> None:
    with pytest.raises(LocalPostgresError, match=r"did not start; it said:\n.*invalid value for parameter") as raised:
        LocalPostgres(settings={"max_connections": "many"}).start()
    assert '"max_connections": "many"' in raised.value.log


def test_a_server_that_takes_too_long_is_given_up_and_nothing_of_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Path] = []
    new_place = server._new_place

    def noted(account: Account | None, *, has_tcp: bool) -> Place:
        places.append((place := new_place(account, has_tcp=has_tcp)).folder)
        return place

    monkeypatch.setattr(server, "_new_place", noted)
    with pytest.raises(LocalPostgresError, match="did not start within 0:00:00"):
        LocalPostgres(start_timeout=timedelta(0)).start()
    assert [place.exists() for place in places] == [False]


def test_a_port_that_another_program_has_taken_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = [other.getsockname()[1], server._free_port()]
        monkeypatch.setattr(server, "_free_port", lambda: ports.pop(0))
        with LocalPostgres(tcp=True):
            assert ports == []


def test_where_it_listens_and_what_it_serves_is_no_setting() -> None:
    with pytest.raises(InvalidArgumentError, match="decides data_directory, port itself"):
        LocalPostgres(settings={"port": 1, "data_directory": "/here", "work_mem": "1MB"})


def test_a_temporary_folder_with_a_long_path_holds_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "long" * 30)
    assert server._folder_of_sockets(None) == Path("/tmp")


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root runs the server himself, and reaches his own")
async def test_binaries_that_only_root_reaches_serve_as_copies(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERDURE_POSTGRES_BIN", raising=False)
    found, closed = find_binaries(), open_folder / "closed"
    for part in found.parts:
        shutil.copytree(found.root / part, closed / part, symlinks=True)
    (closed / found.parts[0]).parent.joinpath("__init__.py").touch()
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    assert find_binaries().root == closed
    with LocalPostgres() as postgres:
        assert await value(postgres.url(), "SELECT 1") == 1
