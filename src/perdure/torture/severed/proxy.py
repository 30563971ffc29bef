"""A way to a server that can be cut, and mended: what is on its way then arrives afterwards."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final
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
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._keep(self._serve())

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

    def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        self._listening.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, sock=self._listening)
        async with server:
            await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_open.wait()
        try:
            back_reader, back_writer = await asyncio.open_unix_connection(self._server_socket())
        except OSError:  # there is no server now
            writer.close()
            return
        self._keep(self._forward(reader, back_writer))
        self._keep(self._forward(back_reader, writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until it ends: that is let through in its turn, too."""
        with suppress(OSError):
            while data := await reader.read(_BYTES):
                await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        await self._is_open.wait()
        writer.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_BYTES: Final = 65_536
