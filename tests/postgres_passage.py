"""A way to a PostgreSQL server that can be cut, and opened again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qs, urlsplit

__all__ = ["Passage"]

_SOCKET: Final = ".s.PGSQL.5432"


class Passage:
    """Passes on what is said to a server's socket."""

    def __init__(self, behind: Path, folder: Path) -> None:
        self._behind: Final = behind
        self._socket: Final = folder / _SOCKET
        self._ends: Final[set[asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[tuple["Passage", str]]:
        """Open a way to the server of a URL; yield it, and the URL that leads over it."""
        [behind] = parse_qs(urlsplit(url).query)["host"]
        with TemporaryDirectory(dir="/tmp") as folder:  # a path of a socket must be short
            passage = cls(Path(behind) / _SOCKET, Path(folder))
            await passage.open()
            yield passage, url.replace(behind, folder)
            passage.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass_on, self._socket)

    def cut(self) -> None:
        """End all connections, and let nobody connect."""
        assert self._server is not None
        self._server.close()
        self._socket.unlink(missing_ok=True)
        for end in self._ends:
            end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._behind)
        ends = {writer, server_writer}
        self._ends.update(ends)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
        self._ends.difference_update(ends)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
