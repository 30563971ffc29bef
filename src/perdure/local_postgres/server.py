"""`LocalPostgres`: what a program calls that wants a server."""

import contextlib
import shutil
import socket
import tempfile
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from perdure.errors import InvalidArgumentError, LocalPostgresError, StateError
from perdure.local_postgres.accounts import Account, can_reach, folder_for, open_to, server_account
from perdure.local_postgres.binaries import find_binaries, reachable
from perdure.local_postgres.cluster import Cluster, Settings, kept_cluster
from perdure.local_postgres.running import ADDRESS, Place, Running
from perdure.logs import logger_named

__all__ = ["LocalPostgres"]

_LOGGER: Final = logger_named("perdure.local_postgres")


class LocalPostgres:
    """A PostgreSQL server of this process's own, which ends with it, however that ends.

    ``with LocalPostgres() as postgres: ...`` is a throw-away server with an empty cluster; what was in it is gone at
    the end. With a `folder` the cluster is kept there, made where it is missing, and opened again the next time. Use it
    from one thread at a time.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        settings: Settings | None = None,
        tcp: bool = False,
        standby_of: str | None = None,
        binaries: str | Path | None = None,
        start_timeout: timedelta = timedelta(seconds=60),
    ) -> None:
        """Start nothing yet.

        `settings` are PostgreSQL's own, as ``{"max_connections": 20}``. `tcp`: listen at 127.0.0.1 as well, at a free
        port and with a password, for tools that cannot use Unix sockets. `standby_of`: the URL of a server of the same
        user; a new cluster is a copy of that one's, and follows it until it is promoted (``SELECT pg_promote()``).
        `binaries`: the folder of `postgres` and `initdb`; None: those that ``PERDURE_POSTGRES_BIN`` names, of
        ``perdure[local-postgres]``, of the system, in PATH. `start_timeout`: so long the server may take to answer; a
        large cluster may need more after a crash.

        Raises InvalidArgumentError for settings that this class decides: where the server listens and what it serves.
        """
        self._folder: Final = None if folder is None else Path(folder)
        self._settings: Final[Settings] = dict(settings or {})
        self._tcp: Final = tcp
        self._standby_of: Final = standby_of
        self._binaries: Final = None if binaries is None else Path(binaries)
        self._start_timeout: Final = start_timeout
        self._running: Running | None = None
        if taken := sorted(self._settings.keys() & _TAKEN_SETTINGS):
            raise InvalidArgumentError(f"LocalPostgres decides {', '.join(taken)} itself: leave that out of `settings`")

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises StateError where it runs already, InvalidArgumentError where `folder` or `binaries` are something else,
        LocalPostgresError where there is no server to start, another process has the folder, or the server ends or does
        not answer in time; with the end of its log.
        """
        if self._running is not None:
            raise StateError("this LocalPostgres has been started: stop it before it is started again")
        for _ in range(_PORTS_TRIED - 1):
            try:
                self._running = self._started()
                return
            except LocalPostgresError as error:  # another program may take the port before the server does
                if not self._tcp or _PORT_IS_TAKEN not in error.log:
                    raise
        self._running = self._started()

    def stop(self) -> None:
        """Stop the server, and return when it is gone; do nothing where none runs. Open sessions are ended."""
        if self._running is not None:
            running, self._running = self._running, None
            running.stop()
            _LOGGER.info("PostgreSQL at %s is stopped", running.place.folder)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, as psql, asyncpg and psycopg take it. Raises StateError where none runs."""
        if self._running is None:
            raise StateError("this LocalPostgres does not run: start it, or use it in a `with` statement")
        return self._running.url(database)

    @property
    def process(self) -> int:
        """The number of the server's process. Raises StateError where none runs."""
        process = None if self._running is None else self._running.process
        if process is None:
            raise StateError("this LocalPostgres does not run: start it, or use it in a `with` statement")
        return process

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def _started(self) -> Running:
        account = server_account()
        with contextlib.ExitStack() as undo:
            place = _new_place(account, has_tcp=self._tcp)
            undo.callback(shutil.rmtree, place.folder, ignore_errors=True)
            binaries = reachable(find_binaries(self._binaries), account, copy_to=place.folder / "binaries")
            open_to(account, place.folder)
            folder_for(account, place.socket_folder)
            with self._cluster(place, account) as cluster:
                serving = cluster.serving(
                    binaries,
                    socket=place.socket_folder,
                    port=place.port,
                    address=ADDRESS if place.has_tcp else "",
                    settings=self._settings,
                )
                initialization = cluster.initialization(binaries, account, standby_of=self._standby_of)
                commands = [*initialization, serving]
                running = Running(cluster, commands, place=place, account=account)
            undo.callback(running.stop)
            running.wait_until_ready(self._start_timeout)
            undo.pop_all()
        _LOGGER.info("PostgreSQL answers at %s", place.url("postgres"))
        return running

    def _cluster(self, place: Place, account: Account | None) -> contextlib.AbstractContextManager[Cluster]:
        if self._folder is None:
            return contextlib.nullcontext(Cluster(home=place.folder))
        return kept_cluster(self._folder, account, url=place.url("postgres"))


def _new_place(account: Account | None, *, has_tcp: bool) -> Place:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_folder_of_sockets(account)))
    return Place(folder=folder, port=_free_port() if has_tcp else _USUAL_PORT, has_tcp=has_tcp)


def _folder_of_sockets(account: Account | None) -> Path:
    """Return the temporary folder, or /tmp where that is closed to the account or too long for the path of a socket."""
    place = Path(tempfile.gettempdir()).resolve()
    if len(bytes(place)) <= _FOLDER_BYTES and can_reach(place, account):
        return place
    return Path("/tmp")  # noqa: S108 - mkdtemp makes a folder in it that nobody else can enter


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


_TAKEN_SETTINGS: Final = frozenset(
    {"config_file", "data_directory", "hba_file", "listen_addresses", "port", "unix_socket_directories"}
)
_USUAL_PORT: Final = 5432  # no port at all without TCP, only a part of the socket's name
_PORTS_TRIED: Final = 5
_PORT_IS_TAKEN: Final = "could not create any TCP/IP sockets"
_PREFIX: Final = "perdure-postgres-"
_FOLDER_BYTES: Final = 107 - len(f"/{_PREFIX}12345678/socket/.s.PGSQL.65535")  # a socket's path has at most 107
