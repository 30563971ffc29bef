"""A real PgBouncer in transaction mode before a server, for tests.

It is looked for in ``PERDURE_PGBOUNCER`` of the environment and in PATH; where there is none, Debian's package is
fetched by apt and unpacked, which needs no root, into a folder that is kept (`CACHE`). Neither PyPI nor npm has it: on
a machine that is no Debian, or reaches no more than these, its tests are skipped, as the summary of pytest says.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from perdure.local_postgres.accounts import give, server_account

__all__ = ["Pooler", "demand_pgbouncer", "pooler_of"]

VARIABLE: Final = "PERDURE_PGBOUNCER"
CACHE: Final = Path.home() / ".cache" / "perdure-tests" / "pgbouncer"
PORT: Final = 6432
_PROGRAM: Final = "usr/sbin/pgbouncer"
_LIBRARIES: Final = ("libevent", "libc-ares", "libcares")


class Program(msgspec.Struct, frozen=True):
    """A program, and the folders of libraries that it needs besides the system's."""

    path: Path
    libraries: tuple[Path, ...] = ()

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, self.libraries))}


def demand_pgbouncer() -> Program:
    """Return PgBouncer. Skips the test where there is none, and says why."""
    if program := _found():
        return program
    pytest.skip(
        f"no PgBouncer: it is not in PATH, {VARIABLE} names none, and apt brings none. Nothing of a pooler is tested "
        f"here. Install the package pgbouncer"
    )


@cache
def _found() -> Program | None:
    return _installed() or _unpacked() or _fetched()


def _installed() -> Program | None:
    found = os.environ.get(VARIABLE) or shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Program(Path(found)) if found else None


def _unpacked() -> Program | None:
    return _in(CACHE) if (CACHE / _PROGRAM).exists() else None


def _in(folder: Path) -> Program:
    return Program(folder / _PROGRAM, tuple((folder / "usr/lib").glob("*-linux-gnu")))


def _fetched() -> Program | None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    try:
        CACHE.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # there is no home
        return None
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as name:
        folder = Path(name)
        if not _download(folder) and os.geteuid() == 0:
            _run("apt-get", "update", "-q", cwd=folder)
            _download(folder)
        for package in folder.glob("*.deb"):
            _run("dpkg-deb", "--extract", str(package), str(folder / "unpacked"), cwd=folder)
        if (folder / "unpacked" / _PROGRAM).exists():
            with suppress(OSError):  # another process has done so meanwhile
                (folder / "unpacked").rename(CACHE)
    return _unpacked()


def _download(folder: Path) -> bool:
    depends = _run("apt-cache", "depends", "pgbouncer", cwd=folder)
    needed = [line.split()[-1] for line in depends.splitlines() if "Depends:" in line]
    libraries = [name for name in needed if name.startswith(_LIBRARIES)]
    _run("apt-get", "download", "-q", "pgbouncer", *libraries, cwd=folder)
    return any(folder.glob("pgbouncer*.deb"))


def _run(*command: str, cwd: Path) -> str:
    """Return what a command prints; nothing if it takes too long, as apt does where it reaches nobody."""
    try:
        return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=60).stdout
    except subprocess.TimeoutExpired:
        return ""


class Pooler:
    """PgBouncer on a socket in a folder. `url` leads through it, and names the server's own socket for what needs a
    session."""

    def __init__(self, program: Program, folder: Path, *, url: str) -> None:
        self.url: Final = url
        self._program: Final = program
        self._folder: Final = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        account = server_account()
        self._process = process = await asyncio.create_subprocess_exec(
            str(self._program.path), "-q", str(self._folder / "settings"), env=self._program.environment(),
            user=None if account is None else account.uid, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(20):
            while not await self._answers():
                if process.returncode is not None:
                    _, said = await process.communicate()
                    raise AssertionError(f"PgBouncer has ended: {said.decode()}")
                await asyncio.sleep(0.005)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._folder / f".s.PGSQL.{PORT}")
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def kill(self) -> None:
        """End it as SIGKILL does."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def pooler_of(url: str, *, pool_size: int = 6) -> AsyncIterator[Pooler]:
    """Let PgBouncer stand before the server of a URL. Each database has `pool_size` connections, whoever comes."""
    program = demand_pgbouncer()
    [socket], [port] = (parse_qs(urlsplit(url).query)[name] for name in ("host", "port"))
    folder = Path(tempfile.mkdtemp(prefix="pgb-", dir="/tmp"))  # a path of a socket must be short
    try:
        (folder / "users").write_text(f'"{urlsplit(url).username}" ""\n')
        (folder / "settings").write_text(_SETTINGS.format(folder=folder, socket=socket, port=port, size=pool_size))
        if program.libraries:  # unpacked where no other user may come
            shutil.copytree(CACHE, folder / "program")
            program = _in(folder / "program")
        give(folder, server_account())
        through = url.replace(f"host={socket}", f"host={folder}").replace(f"port={port}", f"port={PORT}")
        pooler = Pooler(program, folder, url=f"{through}&session_host={socket}:{port}")
        try:
            await pooler.start()
            yield pooler
        finally:
            await pooler.kill()
    finally:
        shutil.rmtree(folder)


_SETTINGS: Final = """
[databases]
* = host={socket} port={port}

[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
"""
