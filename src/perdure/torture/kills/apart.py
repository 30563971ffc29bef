"""The control of transactional steps: a store that commits what a step wrote by itself, and its outcome after that."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from perdure.kernel.transition import Delivery, Outcome
from perdure.ports.store import RunStore
from perdure.ports.transactions import StepTransaction
from perdure.stores.opening import database_path, is_on_a_server
from perdure.stores.postgres.connection import connect_plainly
from perdure.stores.postgres.settings import PostgresSettings
from perdure.torture.kills.lying import LyingStore

__all__ = ["ApartStore"]


class ApartStore(LyingStore):
    """A store whose steps write on a connection of their own."""

    def __init__(self, store: RunStore, url: str) -> None:
        """Lie about `store`, which is that of `url`."""
        super().__init__(store)
        self._url: Final = url

    async def transact(self, step: StepTransaction) -> Outcome:
        """Commit what a step writes, and, a moment later, its outcome."""
        told = await self._write(step)
        await asyncio.sleep(_DELAY_SECONDS)
        [outcome] = await self.truth.commit([told])
        return outcome

    async def _write(self, step: StepTransaction) -> Delivery:
        if is_on_a_server(self._url):
            return await _write_on_a_server(self._url, step)
        return await asyncio.to_thread(_write_to_a_file, database_path(self._url), step)


async def _write_on_a_server(url: str, step: StepTransaction) -> Delivery:
    connection = await connect_plainly(url, PostgresSettings())
    try:
        async with connection.transaction():
            told: Delivery = await step.perform(connection)
            return told
    finally:
        await connection.close()


def _write_to_a_file(path: Path, step: StepTransaction) -> Delivery:
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(_PATIENCE_MILLISECONDS)
        connection.execute("BEGIN IMMEDIATE")
        told: Delivery = step.perform(connection)
        connection.execute("COMMIT")
        return told


_DELAY_SECONDS: Final = 0.05
_PATIENCE_MILLISECONDS: Final = 10_000
