"""A place where an activity, in whatever thread or process it runs, reports and waits to be let go.

Visitors speak in lines over a socket. That a visitor's process is gone shows as the end of its lines.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_SECONDS = 100.0  # the first visitor may have to wait for a cluster of Ray to start


class Visitor:
    """An activity that reported; seen from the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def line(self) -> str:
        """Return the next line; empty when the visitor is gone."""
        return (await asyncio.wait_for(self._reader.readline(), LIMIT_SECONDS)).decode().rstrip("\n")

    def tell(self, line: str = "go on") -> None:
        self._writer.write(f"{line}\n".encode())

    async def close(self) -> None:
        self._writer.close()


class Meeting:
    """The test's side."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._visitors: asyncio.Queue[Visitor] = asyncio.Queue()
        self._all: list[Visitor] = []
        self._server: asyncio.Server | None = None

    async def visitor(self) -> Visitor:
        """Return the next one to come."""
        return await asyncio.wait_for(self._visitors.get(), LIMIT_SECONDS)

    @property
    def visits(self) -> int:
        """How many have come so far."""
        return len(self._all)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._welcome, self.address)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for visitor in self._all:
            await visitor.close()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitor = Visitor(reader, writer)
        self._all.append(visitor)
        self._visitors.put_nowait(visitor)


class Visit:
    """The activity's side."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r")

    def say(self, line: object) -> None:
        self._connection.sendall(f"{line}\n".encode())

    def hear(self) -> str:
        """Wait for the test's next line; empty when the test has left."""
        return self._lines.readline().rstrip("\n")

    def descriptor(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._lines.close()


@contextmanager
def visiting(address: str) -> Iterator[Visit]:
    """Go to the meeting at this address."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        visit = Visit(connection)
        try:
            yield visit
        finally:
            visit.close()
