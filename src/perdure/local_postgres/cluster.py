"""What a server has on disk: a folder made by initdb, which at most one server works on.

A cluster's home holds `cluster/data`, PostgreSQL's own folder; `password`, for connections by TCP; `server.log`; and,
of a kept one, `perdure.lock`, held by the supervisor as long as it lives. `data` is made beside its place and moved
there when it is whole, so that one that was interrupted is never taken for a cluster. `cluster` is the server's user's.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import msgspec

from perdure.errors import InvalidArgumentError, LocalPostgresError
from perdure.local_postgres.accounts import Account, can_reach, folder_for, give, open_to
from perdure.local_postgres.binaries import Binaries

__all__ = ["USER", "Cluster", "Settings", "kept_cluster"]

Settings: TypeAlias = Mapping[str, str | int]
"""Name of a setting of PostgreSQL -> value, as in postgresql.conf."""

USER: Final = "postgres"
"""The one role of a new cluster, a superuser."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster in a folder, which exists; `lock` is the open file that says whose a kept one is."""

    home: Path
    lock: int | None = None

    @property
    def password(self) -> str:
        """The password of `USER`."""
        return self._password_file.read_text("ascii")

    def open_log(self) -> BinaryIO:
        """Begin the log of a server; that of the one before it is kept."""
        log = self.home / "server.log"
        if log.exists():
            log.replace(self.home / "server.log.1")
        log.touch(mode=0o600)  # a statement that failed stands in it
        return log.open("w+b", buffering=0)

    def initialization(self, binaries: Binaries, account: Account | None, *, standby_of: str | None) -> list[list[str]]:
        """Return the commands that make the cluster, none where there is one: a new one, or a copy of what is served at
        a URL, which it follows."""
        if self._data.exists():
            return []
        new = folder_for(account, self._data.parent) / "initializing"
        shutil.rmtree(new, ignore_errors=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(), "ascii")
        give(self._password_file, account)
        if standby_of is None:
            make = [binaries.program("initdb"), "--pgdata", str(new), "--pwfile", str(self._password_file), *_INITDB]
        else:
            make = [binaries.program("pg_basebackup"), "--pgdata", str(new), "--dbname", standby_of, *_BASE_BACKUP]
        return [make, *([] if self.lock is None else [_synced(new)]), ["mv", str(new), str(self._data)]]

    def serving(self, binaries: Binaries, *, socket: Path, port: int, address: str, settings: Settings) -> list[str]:
        """Return the command that serves the cluster, on a socket in a folder and, unless that is empty, an address."""
        place = ["-D", str(self._data), "-k", str(socket), "-p", str(port), "-h", address]
        usual = _THROW_AWAY if self.lock is None else _KEPT
        chosen = [word for name, value in {**usual, **settings}.items() for word in ("-c", f"{name}={value}")]
        return [binaries.program("postgres"), *place, *chosen]

    def server_process(self) -> int | None:
        """Return the number of the process that serves the cluster; None if none has said that it does."""
        lines = self._server_lines()
        return int(lines[0]) if lines and lines[0].isdecimal() else None

    def is_ready(self) -> bool:
        """Whether a server has said that it takes connections."""
        return self._server_lines()[_STATUS_LINE:] == ["ready"]

    def forget_dead_server(self) -> None:
        """Make nothing of what a server left that has died. Raises LocalPostgresError where one lives.

        PostgreSQL clears the file away by itself, unless the number of that process is another's by now: so it gets one
        that nobody has. The other lines stay, by which it finds back ends that outlive their server.
        """
        lines = self._server_lines()
        if not lines or not lines[0].isdecimal():
            return
        if _serves(int(lines[0]), self._data):
            raise LocalPostgresError(
                f"another PostgreSQL server has {self.home}: process {lines[0]}. Stop that one first"
            )
        file = os.open(self._data / "postmaster.pid", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(file, "w") as forgotten:
            forgotten.write("\n".join([_NOBODY, *lines[1:_STATUS_LINE], ""]))

    @property
    def _data(self) -> Path:
        return self.home / "cluster" / "data"

    @property
    def _password_file(self) -> Path:
        return self.home / "password"

    def _server_lines(self) -> list[str]:
        try:
            return [line.strip() for line in (self._data / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []


@contextlib.contextmanager
def kept_cluster(folder: Path, account: Account | None, *, url: str) -> Iterator[Cluster]:
    """Have the cluster in a folder for oneself, until whoever was given its lock has ended, or nobody was.

    The folder is made where it is missing. Whoever else wants it is told of `url`. Raises InvalidArgumentError where
    the folder holds something else, LocalPostgresError where another has it, or the account cannot enter it.
    """
    home = folder.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(home.iterdir()) and not (home / _LOCK).exists():
        raise InvalidArgumentError(f"{folder} holds something else than a cluster of PostgreSQL: name an empty folder")
    with _locked(home, url) as lock:
        open_to(account, home)
        if account is not None and not can_reach(folder_for(account, home / "cluster"), account):
            raise LocalPostgresError(
                f"PostgreSQL refuses to run as root, and user {account.name}, who runs it, cannot enter {folder}: "
                "a folder above it is closed to others. Name a folder elsewhere, as under /var/lib"
            )
        cluster = Cluster(home=home, lock=lock)
        cluster.forget_dead_server()
        yield cluster


@contextlib.contextmanager
def _locked(home: Path, url: str) -> Iterator[int]:
    lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}, which serves it at {url}".encode(), 0)
        yield lock
    except BlockingIOError:
        holder = os.pread(lock, _HOLDER_BYTES, 0).decode()
        raise LocalPostgresError(f"{home} is in use by {holder}. Connect to that, or stop it") from None
    finally:
        os.close(lock)


def _serves(pid: int, data: Path) -> bool:
    """Whether a process is the server of a cluster: one works in its own folder."""
    if not Path("/proc/self").exists():
        return _is_alive(pid)
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _synced(folder: Path) -> list[str]:
    """Return the command that makes safe what initdb wrote, at once: file by file it takes 5 s on some disks."""
    return ["sync", "-f", str(folder)] if sys.platform == "linux" else ["sync"]


_INITDB: Final = (
    f"--username={USER}",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
)
_BASE_BACKUP: Final = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
_THROW_AWAY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# After a crash PostgreSQL syncs all files of the cluster one by one, or, where Linux lets it, the file system at once.
_KEPT: Final = {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}
_LOCK: Final = "perdure.lock"
_STATUS_LINE: Final = 7
_NOBODY: Final = str(2**31 - 1)
_HOLDER_BYTES: Final = 1_000
