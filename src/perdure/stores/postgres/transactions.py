"""Transactions of steps: what a function of a user writes is committed together with its outcome, or not at all.

**Exactly once.** The outcome goes into the inbox of the run, in the same transaction, if the run is still owned under
the token of the attempt: its row is locked for that, so that nobody takes the run over in between. Whoever owns the run
next reads its inbox before any step is made again, and finds it done. The message's id lets the inbox take one outcome
of an attempt.

**A connection of the user's own kind** (`step_connections`, `step_pools`): all that is Perdure's is named in full.

**A COMMIT without an answer** is settled by the row of the run, which the transaction has locked: whoever gets that
lock sees what became of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perdure.errors import StoreUnavailableError, UsageError
from perdure.kernel.isolation import Isolation
from perdure.kernel.messages import encode_message
from perdure.kernel.transition import Applied, Delivery, Outcome, Stale
from perdure.ports.transactions import ENDINGS, StepTransaction
from perdure.stores.postgres.callers import CallersConnection
from perdure.stores.postgres.connection import milliseconds
from perdure.stores.postgres.faults import is_contention, is_unknown_table, transaction_is_over
from perdure.stores.postgres.identity import Identity, is_of
from perdure.stores.postgres.rows import EVENT_COLUMNS
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.step_connections import OpenTransaction, StepConnections
from perdure.stores.sql.blocks import events_of_row
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.to_the_end import to_its_end

__all__ = ["Transactions"]


class Transactions:
    """The transactions of a session in which steps of users write."""

    def __init__(
        self, connections: StepConnections, settings: PostgresSettings, *, location: str, identity: Identity
    ) -> None:
        """Prepare. `identity`: of the store's database, to which the connections must be."""
        self._identity: Final = identity
        self._connections: Final = connections
        self._settings: Final = settings
        self._location: Final = location
        self._is_closed = False
        idle = milliseconds(settings.idle_seconds)
        self._hold: Final = _HOLD.replace("{schema}", f'"{settings.schema}"').replace("{idle}", idle)
        self._mentions: Final = _MENTIONS.replace("{schema}", f'"{settings.schema}"')
        self._deliver_unless_mentioned: Final = _DELIVER_UNLESS_MENTIONED.replace("{schema}", f'"{settings.schema}"')
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
                "a transactional activity on PostgreSQL is an `async def`: its connection is an asynchronous one, and "
                "awaited"
            )
        for _ in range(_TRIES):
            async with self._connections.begin(step.isolation) as transaction:
                made = await self._make(transaction, step)
            if not isinstance(made, Exception):
                return made
            if not is_contention(made):
                raise made
        raise StoreUnavailableError(
            f"a transactional step on {self._location} was undone {_TRIES} times, since other transactions were in the "
            f"way each time. Nothing of it was saved."
        )

    async def _make(self, transaction: OpenTransaction, step: StepTransaction) -> Outcome | Exception:
        """Make a step; return its outcome, or why it was undone. What this raises leaves a transaction open."""
        try:
            await transaction.own.execute(_MARK)
            told: Delivery = await step.perform(transaction.given)
            await _demand_mark(transaction.own)
            is_told = await self._tell(transaction.own, step, told)
        except Exception as error:  # noqa: BLE001 - code of a user: its error is the answer to its caller
            await transaction.roll_back()
            return error
        if not is_told:
            await transaction.roll_back()
            return Stale(step.run_key)
        try:
            await to_its_end(self._commit(transaction, step, told))
        except Exception as error:
            if is_contention(error):
                return error
            raise
        return Applied(step.run_key, step.owner)

    async def _commit(self, transaction: OpenTransaction, step: StepTransaction, told: Delivery) -> None:
        try:
            await transaction.commit()
        except Exception as error:
            if is_contention(error) or not await self._is_saved(step, told):
                raise

    async def _tell(self, connection: CallersConnection, step: StepTransaction, told: Delivery) -> bool:
        """Put the outcome into the inbox of the run, if it is the owner's still, waits for it and has none there."""
        data = encode_message(told.message).decode()
        digest = digest_of_message(step.run_key, told.message_id, told.at, data)
        try:
            held = await connection.fetch(self._hold, step.run_key, step.fencing_token, step.owner)
        except Exception as error:
            if is_unknown_table(error):
                raise UsageError(_ELSEWHERE) from error
            raise
        if not held:
            if not await is_of(connection, self._identity, schema=self._settings.schema):
                raise UsageError(_ELSEWHERE)
            return False
        place = (step.run_key, step.sequence, f'"operation":{step.operation}[,}}]')
        message = (told.message_id, data, told.at, digest)
        if await connection.fetch(self._deliver_unless_mentioned, *place, *message):
            return True
        rows = await connection.fetch(self._mentions, *place)
        return not _has_ended(step, rows) and bool(await connection.fetch(self._deliver, step.run_key, *message))

    async def _is_saved(self, step: StepTransaction, told: Delivery) -> bool:
        """Find out what became of a commit without an answer, however long that takes; False once this is closed, and
        whoever owns the run next finds it out."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._is_closed:
            try:
                async with self._connections.begin(Isolation.READ_COMMITTED) as looking:
                    await looking.own.fetch(self._lock, step.run_key)
                    found = await looking.own.fetch(self._find, step.run_key, told.message_id)
                    await looking.roll_back()
                    return bool(found)
            except Exception:  # noqa: BLE001 - whatever keeps it from being found out is tried again
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.settling_pause_seconds)
        return False

    async def close(self) -> None:
        """End all connections, and find nothing out any more."""
        self._is_closed = True
        await self._connections.close()

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        self._connections.abandon()


def _has_ended(step: StepTransaction, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these rows of a history, which nobody changes now, have an outcome of the attempt."""
    found = (recorded for row in rows for recorded in events_of_row(tuple(row[column] for column in _COLUMNS)))
    return any(
        one.sequence > step.sequence and one.type in ENDINGS and getattr(one.event, "operation", None) == step.operation
        for one in found
    )


async def _demand_mark(connection: CallersConnection) -> None:
    try:
        await connection.execute(_RELEASE_MARK)
    except Exception as error:
        if transaction_is_over(error):
            raise UsageError(
                "a transactional activity has ended the transaction that it was given; leave COMMIT and ROLLBACK to "
                "the engine, and use a savepoint for a part that may be undone: `async with connection.transaction():`,"
                " or `begin_nested()` of SQLAlchemy"
            ) from error
        raise


_ELSEWHERE: Final = (
    "the connections of transaction_pool= are to another database than the engine's; the outcome of a transactional "
    "activity is committed with what it writes, so both must be in one"
)

_COLUMNS: Final = EVENT_COLUMNS.split(", ")
_TRIES: Final = 10
_FIRST_PAUSE_SECONDS: Final = 0.05

# It is gone with the transaction that it was set in.
_MARK: Final = "SAVEPOINT perdure"
_RELEASE_MARK: Final = "RELEASE SAVEPOINT perdure"

# run_key, fencing_token, owner; a statement of its own, so that the next sees what whoever had the row before has left.
# From here on the transaction holds what a takeover of the run waits for: it may not stand still any more.
_HOLD: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '{idle}', true) FROM {schema}.runs
WHERE run_key = $1::bigint AND fencing_token = $2::bigint AND owner = $3::bigint FOR NO KEY UPDATE
"""

# run_key, sequence, what is in the data of each event of an operation, and may be in what others hold
_MENTIONING: Final = """
FROM {schema}.history WHERE history.run_key = $1::bigint AND sequence > $2::bigint AND data ~ $3::text
"""
_MENTIONS: Final = f"SELECT {EVENT_COLUMNS} {_MENTIONING}"

# the same, message_id, data, at, digest
_DELIVER_UNLESS_MENTIONED: Final = f"""
INSERT INTO {{schema}}.inbox (run_key, message_id, data, at, digest)
SELECT $1::bigint, $4::varchar, $5::text, $6::bigint, $7::bytea WHERE NOT EXISTS (SELECT {_MENTIONING})
ON CONFLICT DO NOTHING RETURNING position
"""

# run_key, message_id, data, at, digest
_DELIVER: Final = """
INSERT INTO {schema}.inbox (run_key, message_id, data, at, digest)
VALUES ($1::bigint, $2::varchar, $3::text, $4::bigint, $5::bytea)
ON CONFLICT DO NOTHING RETURNING position
"""

# run_key; nobody has changed the run since, nor does before this transaction ends
_LOCK: Final = "SELECT FROM {schema}.runs WHERE run_key = $1::bigint FOR NO KEY UPDATE"

# run_key, message_id
_FIND: Final = "SELECT 1 FROM {schema}.inbox WHERE run_key = $1::bigint AND message_id = $2::varchar"
