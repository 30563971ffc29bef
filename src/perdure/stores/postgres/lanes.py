"""Lanes: connections that write, each with a row that numbers its transactions.

An engine has fewer commits under way than there are lanes (`PostgresSettings.writers`): however long these take, as in
the way of another's transaction, or while nobody knows what became of them, one is left to claim, and to renew leases.

**What became of a commit of which no answer came** is found out by the lane's row (`settle`). To count up its epoch
waits for the transaction that holds the row, and has one fail that comes to it later: the server may still be at work
on what it was sent before the connection was lost. Then the number says whether the last one was committed.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from perdure.kernel.identity import RunKey, WorkerId
from perdure.logs import Recurring
from perdure.stores.postgres.connection import Connection, connect_to_write, end
from perdure.stores.postgres.faults import is_lost
from perdure.stores.postgres.settings import PostgresSettings

__all__ = ["FencedError", "Lane", "Lanes", "Settled"]


class FencedError(Exception):
    """A lane's epoch has passed: nothing of the transaction is saved."""


class Settled(msgspec.Struct, frozen=True):
    """What became of a commit: whether it is saved, and which runs it has changed."""

    is_saved: bool
    applied: frozenset[RunKey] = frozenset()


class Lane:
    """One of a session's lanes. `number` counts its transactions."""

    def __init__(self, lane: int) -> None:
        """Begin without a connection."""
        self.lane: Final = lane
        self.epoch = 0
        self.number = 0
        self._connection: Connection | None = None

    def distrust(self) -> None:
        """Let go of the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and not self._connection.is_closed()

    async def connection(self, url: str, settings: PostgresSettings) -> Connection:
        """Return its connection, a new one if need be. Raises what connecting raises."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect_to_write(url, settings)
        return self._connection

    async def close(self) -> None:
        """End its connection in good order, if it has one."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            await end(connection)


class Lanes:
    """All lanes of a session: who writes takes one, and gives it back."""

    def __init__(self, url: str, settings: PostgresSettings, worker_id: WorkerId, *, now: Callable[[], float]) -> None:
        """Prepare; `begin` makes their rows."""
        self._url: Final = url
        self._settings: Final = settings
        self._worker_id: Final = worker_id
        self._all: Final = [Lane(lane) for lane in range(settings.writers)]
        self._free: Final = self._all[::-1]
        self._turns: Final = asyncio.Semaphore(settings.writers)
        self._recurring: Final = Recurring("perdure.store", now)

    async def take(self) -> Lane:
        """Wait for a lane that nobody uses, in the order in which they are asked for."""
        await self._turns.acquire()
        return self._free.pop()

    def give_back(self, lane: Lane) -> None:
        """Let others have a lane."""
        self._free.append(lane)
        self._turns.release()

    async def connection_of(self, lane: Lane) -> Connection:
        """Return the connection of a lane. Raises what connecting raises."""
        return await lane.connection(self._url, self._settings)

    async def settle(self, lane: Lane) -> Settled:
        """Find out what became of the lane's last transaction, however long that takes."""
        pause = 0.05
        while True:
            lane.distrust()
            try:
                connection = await self.connection_of(lane)
                row = await connection.fetchrow(_NEXT_EPOCH, self._worker_id, lane.lane)
            except Exception as again:  # noqa: BLE001 - whatever keeps it from being found out is tried again
                if not is_lost(again):
                    self._recurring.warning("what became of a commit cannot be found out yet: %s", again, cause=again)
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.settling_pause_seconds)
                continue
            if row is None:
                return Settled(is_saved=False)
            lane.epoch = row["epoch"]
            is_saved = row["last_commit"] == lane.number
            lane.number = row["last_commit"]
            return Settled(is_saved=is_saved, applied=frozenset(map(RunKey, row["applied"])))

    async def close(self) -> None:
        """End all connections."""
        for lane in self._all:
            await lane.close()

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        for lane in self._all:
            lane.distrust()


# worker_id, lane
_NEXT_EPOCH: Final = """
UPDATE lanes SET epoch = epoch + 1 WHERE worker_id = $1 AND lane = $2 RETURNING epoch, last_commit, applied
"""
