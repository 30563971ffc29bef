"""A way to a server that can be cut, and mended: what is on its way then arrives afterwards."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final
from urllib.parse import parse_qs, urlsplit

__all__ = ["Proxy", "proxied", "socket_of"]


def socket_of(url: str) -> str:
    """Return the path of the socket that a URL of a local server names."""
    asked = parse_qs(urlsplit(url).query)
    return f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}"


def proxied(url: str, proxy: "Proxy", *, name: str) -> str:
    """Return the URL of the same database by way of a proxy, for the process of a name."""
    read = urlsplit(url)
    return f"postgresql://{read.username}@127.0.0.1:{proxy.port}{read.path}?sslmode=disable&application_name={name}"


class Proxy:
    """Forwards what comes in at a port of this machine to a server's socket, and back."""

    def __init__(self, server_socket: Callable[[], str]) -> None:
        """Listen at a free port, from the event loop's next turn on. `server_socket`: the server's path by now."""
        self._server_socket: Final = server_socket
        self._listening: Final = socket.create_server(("127.0.0.1", 0))
        self._is_open: Final = asyncio.Event()
        self._is_open.set()
        self._connections: Final[set[asyncio.Task[None]]] = set()
        self._serving: Final = asyncio.get_running_loop().create_task(self._serve())

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def cut(self) -> None:
        """Let nothing through any more."""
        self._is_open.clear()

    def mend(self) -> None:
        """Let through what was sent meanwhile, and what comes."""
        self._is_open.set()

    async def close(self) -> None:
        """End all connections."""
        self._serving.cancel()
        await asyncio.wait({self._serving})
        self._listening.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._accept, sock=self._listening) as server:
            await server.serve_forever()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):  # that an end is gone, or was never there, the other one sees
            await self._is_open.wait()
            server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket())
            with closing(server_writer):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, server_writer))
                    both.create_task(self._forward(server_reader, writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until it ends, or is lost: that is let through in its turn, too."""
        with suppress(OSError):
            while data := await reader.read(_BYTES):
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        await self._is_open.wait()
        with suppress(OSError):
            writer.write_eof()


_BYTES: Final = 65_536
