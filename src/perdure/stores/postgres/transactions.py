"""Transactions of steps: what a function of a user writes is committed together with its outcome, or not at all.

**Exactly once.** The outcome goes into the inbox of the run, in the same transaction, if the run is still owned under
the token of the attempt: its row is locked for that, so that nobody takes the run over in between. Whoever owns the run
next reads its inbox before any step is made again, and finds it done. The message's id lets the inbox take one outcome
of an attempt.

**A connection of the user's own kind.** The search path and the types are those of the role and the database, not those
of the store's own connections: all that is Perdure's is named in full, and escaped here. The time-outs are the store's.
Before a connection is used again all that a step may have set for its session is undone.

**A COMMIT without an answer** is settled by the row of the run, which the transaction has locked: whoever gets that
lock sees what became of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from perdure.errors import StoreUnavailableError, UsageError
from perdure.kernel.messages import encode_message
from perdure.kernel.transition import Applied, Delivery, Outcome, Stale
from perdure.ports.transactions import ENDINGS, StepTransaction
from perdure.stores.postgres.connection import Connection, Transaction, connect_plainly, driver_errors, end
from perdure.stores.postgres.faults import is_contention, store_error, transaction_is_over
from perdure.stores.postgres.names import escaped
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.to_the_end import to_its_end

__all__ = ["Transactions"]


class Transactions:
    """The connections of a session on which steps of users write."""

    def __init__(self, url: str, settings: PostgresSettings, *, location: str) -> None:
        """Prepare; connections are made when they are first needed."""
        self._url: Final = url
        self._settings: Final = settings
        self._location: Final = location
        self._all: Final[set[Connection]] = set()
        self._free: Final[list[Connection]] = []
        self._is_closed = False
        self._hold: Final = _HOLD.replace("{schema}", f'"{settings.schema}"')
        self._deliver: Final = _DELIVER.replace("{schema}", f'"{settings.schema}"')
        self._find: Final = _FIND.replace("{schema}", f'"{settings.schema}"')
        self._lock: Final = _LOCK.replace("{schema}", f'"{settings.schema}"')

    async def make(self, step: StepTransaction) -> Outcome:
        """Make a step; return `Applied`, or `Stale`, and nothing was saved, if the run is not the owner's any more or
        has an outcome of the attempt already.

        Raises what the step raises, UsageError for a function that cannot be awaited or ends the transaction itself,
        and StoreErrors.
        """
        if not step.is_async:
            raise UsageError(
                "a transactional activity on PostgreSQL is an `async def`: its connection is asyncpg's, and awaited"
            )
        for _ in range(_TRIES):
            async with self._connection() as connection:
                made = await self._make(connection, step)
            if not isinstance(made, Exception):
                return made
            if not is_contention(made):
                raise made
        raise StoreUnavailableError(
            f"a transactional step on {self._location} was undone {_TRIES} times, since other transactions were in the "
            f"way each time. Nothing of it was saved."
        )

    async def _make(self, connection: Connection, step: StepTransaction) -> Outcome | Exception:
        """Make a step; return its outcome, or why it was undone. What this raises leaves a transaction open."""
        transaction = connection.transaction(isolation=step.isolation.value)
        await transaction.start()
        try:
            await connection.execute(_MARK)
            told: Delivery = await step.perform(connection)
            await self._demand_mark(connection)
            is_told = await self._tell(connection, step, told)
        except Exception as error:  # noqa: BLE001 - code of a user: its error is the answer to its caller
            await transaction.rollback()
            return error
        if not is_told:
            await transaction.rollback()
            return Stale(step.run_key)
        await to_its_end(self._commit(transaction, step, told))
        return Applied(step.run_key, step.owner)

    async def _commit(self, transaction: Transaction, step: StepTransaction, told: Delivery) -> None:
        try:
            await transaction.commit()
        except driver_errors():
            if not await self._is_saved(step, told):
                raise

    async def _demand_mark(self, connection: Connection) -> None:
        try:
            await connection.execute(_RELEASE_MARK)
        except driver_errors() as error:
            if transaction_is_over(error):
                raise UsageError(
                    "a transactional activity has ended the transaction that it was given; leave COMMIT and ROLLBACK "
                    "to the engine, and use `async with connection.transaction():` for a part that may be undone"
                ) from error
            raise

    async def _tell(self, connection: Connection, step: StepTransaction, told: Delivery) -> bool:
        """Put the outcome into the inbox of the run, if it is the owner's still, waits for it and has none there."""
        data = encode_message(told.message).decode()
        digest = digest_of_message(step.run_key, told.message_id, told.at, data)
        if not await connection.fetchval(self._hold, step.run_key, step.fencing_token, step.owner):
            return False
        position = await connection.fetchval(
            self._deliver,
            step.run_key,
            escaped(told.message_id),
            data,
            told.at,
            digest,
            step.sequence,
            ENDINGS,
            f'^{{"operation":{step.operation}[,}}]',
        )
        return position is not None

    async def _is_saved(self, step: StepTransaction, told: Delivery) -> bool:
        """Find out what became of a commit without an answer, however long that takes; False once this is closed, and
        whoever owns the run next finds it out."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._is_closed:
            try:
                async with self._connection() as connection, connection.transaction():
                    await connection.execute(self._lock, step.run_key)
                    return bool(await connection.fetchval(self._find, step.run_key, escaped(told.message_id)))
            except Exception:  # noqa: BLE001 - whatever keeps it from being found out is tried again
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.settling_pause_seconds)
        return False

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Give out a connection, and end it where anything is raised: that undoes what is open on it."""
        connection = await self._take()
        self._all.add(connection)
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        else:
            if self._is_closed:
                connection.terminate()
            else:
                self._free.append(connection)
        finally:
            self._all.discard(connection)

    async def _take(self) -> Connection:
        """Return one on which nothing is left of a step, a new one if need be."""
        while self._free:
            connection = self._free.pop()
            if await _is_cleaned(connection):
                return connection
        try:
            return await connect_plainly(self._url, self._settings)
        except driver_errors() as error:
            raise store_error(error, location=self._location, doing="connecting for a step") from error

    async def close(self) -> None:
        """End all connections, and keep none any more."""
        self._is_closed = True
        for connection in (*self._free, *self._all):
            if not connection.is_closed():
                await end(connection)

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        for connection in (*self._free, *self._all):
            connection.terminate()


async def _is_cleaned(connection: Connection) -> bool:
    """Undo what is set for the session of a connection, or end it."""
    try:
        await connection.reset()
        await connection.execute(_CLEAN)
    except driver_errors():
        connection.terminate()
        return False
    except BaseException:
        connection.terminate()
        raise
    return True


_TRIES: Final = 10
_FIRST_PAUSE_SECONDS: Final = 0.05

# It is gone with the transaction that it was set in.
_MARK: Final = "SAVEPOINT perdure"
_RELEASE_MARK: Final = "RELEASE SAVEPOINT perdure"

# What asyncpg's own `reset` leaves: settings of a role come back by RESET ALL only once it is that role again.
_CLEAN: Final = """
SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES
"""

# run_key, fencing_token, owner; a statement of its own, so that the next sees what whoever had the row before has left
_HOLD: Final = """
SELECT 1 FROM {schema}.runs WHERE run_key = $1 AND fencing_token = $2 AND owner = $3 FOR NO KEY UPDATE
"""

# run_key, message_id, data, at, digest, sequence, types of events that end an attempt, the beginning of their data
_DELIVER: Final = """
INSERT INTO {schema}.inbox (run_key, message_id, data, at, digest)
SELECT $1, $2::varchar, $3::text, $4::bigint, $5::bytea
WHERE NOT EXISTS (
    SELECT FROM {schema}.history
    WHERE history.run_key = $1 AND sequence > $6 AND type = ANY ($7::text[]) AND data ~ $8
)
ON CONFLICT DO NOTHING RETURNING position
"""

# run_key; nobody has changed the run since, nor does before this transaction ends
_LOCK: Final = "SELECT FROM {schema}.runs WHERE run_key = $1 FOR NO KEY UPDATE"

# run_key, message_id
_FIND: Final = "SELECT EXISTS (SELECT FROM {schema}.inbox WHERE run_key = $1 AND message_id = $2)"
