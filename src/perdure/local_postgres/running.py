"""A server that runs: the supervisor that was told to start it, where it is reached, and what it says."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import msgspec

from perdure.errors import LocalPostgresError
from perdure.local_postgres import supervisor
from perdure.local_postgres.accounts import Account
from perdure.local_postgres.cluster import USER, Cluster

__all__ = ["ADDRESS", "Place", "Running"]

ADDRESS: Final = "127.0.0.1"
"""Where a server listens that listens by TCP."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens: on a socket below `folder`, and by TCP where `has_tcp`; `port` is the number of both.

    The folder is made for one server and goes with it.
    """

    folder: Path
    port: int
    has_tcp: bool

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket, which only the server's user can enter."""
        return self.folder / "socket"

    def url(self, database: str, *, password: str | None = None) -> str:
        """Return the URL of a database: by TCP with a password, by the socket without."""
        name = quote(database, safe="")
        if password is not None:
            return f"postgresql://{USER}:{password}@{ADDRESS}:{self.port}/{name}"
        return f"postgresql://{USER}@/{name}?host={quote(str(self.socket_folder))}&port={self.port}"


class Running:
    """The supervisor of a server, from its start to its end."""

    def __init__(self, cluster: Cluster, commands: list[list[str]], *, place: Place, account: Account | None) -> None:
        """Let a supervisor carry out the commands, the last of which serves the cluster."""
        self.place: Final = place
        self._cluster: Final = cluster
        self._log: Final[BinaryIO] = cluster.open_log()
        order = supervisor.Order(
            parent=os.getpid(),
            folder=str(place.folder),
            uid=None if account is None else account.uid,
            gid=None if account is None else account.gid,
            commands=commands,
        )
        try:
            self._supervisor: Final = subprocess.Popen(  # noqa: S603 - this interpreter, with a program of ours
                [sys.executable, "-I", "-S", supervisor.__file__, msgspec.json.encode(order).decode()],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                cwd="/",
                env=_environment(),
                pass_fds=() if cluster.lock is None else (cluster.lock,),
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return self.place.url(database, password=self._cluster.password if self.place.has_tcp else None)

    @property
    def process(self) -> int | None:
        """The number of the server's process; None if it has none any more."""
        return self._cluster.server_process()

    def wait_until_ready(self, timeout: timedelta) -> None:
        """Wait until the server takes connections. Raises LocalPostgresError if it ends before, or takes longer."""
        until = time.monotonic() + timeout.total_seconds()
        while not self._cluster.is_ready():
            if self._supervisor.poll() is not None:
                raise LocalPostgresError("PostgreSQL did not start; it said:", log=self._said())
            if time.monotonic() > until:
                raise LocalPostgresError(f"PostgreSQL did not start within {timeout}; it said:", log=self._said())
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End the server, and wait until it is gone."""
        assert self._supervisor.stdin is not None
        # A word, too: whoever was forked off this process keeps the pipe open.
        with contextlib.suppress(BrokenPipeError), self._supervisor.stdin as words:
            words.write(b"stop")
        self._supervisor.wait()
        self._log.close()
        shutil.rmtree(self.place.folder, ignore_errors=True)  # the supervisor has, unless somebody killed it

    def _said(self) -> str:
        length = os.fstat(self._log.fileno()).st_size
        end = os.pread(self._log.fileno(), _SAID_BYTES, max(length - _SAID_BYTES, 0))
        return "\n".join(end.decode(errors="replace").splitlines()[-_SAID_LINES:])


def _environment() -> dict[str, str]:
    """Return the environment of a server: nothing that was meant for clients of another, messages in English, UTC."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


_LOOK_SECONDS: Final = 0.005
_SAID_BYTES: Final = 8_192
_SAID_LINES: Final = 20
