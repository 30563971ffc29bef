"""Runs that are created within a transaction of a caller's: there with whatever else it writes, or not at all.

The store's own functions decide and write, on the caller's connection, in a savepoint. The schema comes first in the
search path meanwhile. What was locked for a run that is not created, since its id is taken, is let go with the
savepoint: whoever works on that run must not wait for the caller.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from perdure.errors import InternalError, StoreUnavailableError, UsageError
from perdure.kernel.transition import Applied, Creation, Exists, Outcome
from perdure.ports.store import RunSummary
from perdure.stores.postgres import reading
from perdure.stores.postgres.callers import CallersConnection, callers_connection
from perdure.stores.postgres.commits import Commits
from perdure.stores.postgres.flushing import CollisionError
from perdure.stores.postgres.identity import Identity, is_of
from perdure.stores.to_the_end import to_its_end

if TYPE_CHECKING:
    from perdure.stores.postgres.connection import Connection

__all__ = ["create_within"]


async def create_within(
    given: object, creation: Creation, commits: Commits, *, schema: str, identity: Identity
) -> tuple[Outcome, RunSummary | None]:
    """Create a run; see `RunStore.create_within`. `identity` is that of the store's database.

    Starts on one connection come one after the other: their statements, and savepoints, must not mingle.
    """
    connection = await callers_connection(given)
    async with _TURNS.turn(connection.key):
        return await _create_in_turn(connection, creation, commits, schema=schema, identity=identity)


async def _create_in_turn(
    connection: CallersConnection, creation: Creation, commits: Commits, *, schema: str, identity: Identity
) -> tuple[Outcome, RunSummary | None]:
    await connection.execute(_BEGIN)
    try:
        path = await _enter(connection, schema, identity)
        outcome, existing = await _create(connection, creation, commits, schema)
        if outcome.run_key != creation.run_key:
            await connection.execute(_UNDO)
        else:
            await connection.execute(_SET_PATH, path)
    except BaseException as error:
        await to_its_end(_leave(connection, error))
        raise
    await to_its_end(connection.execute(_END))  # from here on it is created, whoever is cancelled
    return outcome, existing


class _Turns:
    """Lets those come one after the other that have the same key."""

    def __init__(self) -> None:
        self._turns: Final[dict[int, tuple[asyncio.Lock, list[None]]]] = {}

    @asynccontextmanager
    async def turn(self, key: int) -> AsyncIterator[None]:
        """Wait until all before have left."""
        lock, waiting = self._turns.setdefault(key, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                del self._turns[key]


async def _enter(connection: CallersConnection, schema: str, identity: Identity) -> str:
    """Let the schema come first in the search path; return what that was. Raises UsageError for another database."""
    [found] = await connection.fetch(_LOOK, f'"{schema}".schema_migrations')
    if found["there"] is None or not await is_of(connection, identity, schema=schema):
        raise UsageError(
            "within=: the connection is to another database than the engine's, or may not read Perdure's tables there"
        )
    await connection.execute(_SET_PATH, _path_to(schema))
    return str(found["path"])


def _path_to(schema: str) -> str:
    """Return the search path for the store's statements: temporary tables of the caller's must not hide what is its."""
    return f'"{schema}", pg_temp'


async def _create(
    connection: CallersConnection, creation: Creation, commits: Commits, schema: str
) -> tuple[Applied | Exists, RunSummary | None]:
    own = cast("Connection", connection)
    for _ in range(_TRIES):
        try:
            [outcome], _ = await commits.decide_within(own, [creation])
        except CollisionError:  # another transaction has the id, or the request, since it was looked for
            await connection.execute(_UNDO)
            await connection.execute(_SET_PATH, _path_to(schema))
            continue
        if not isinstance(outcome, Applied | Exists):
            raise InternalError(f"the creation of run {creation.ref} was answered by {outcome!r}")
        is_created = outcome.run_key == creation.run_key
        if is_created:
            return outcome, None
        [row] = await reading.runs_of_keys(own, [outcome.run_key])
        return outcome, reading.summary_of(row)
    raise StoreUnavailableError(
        f"starting run {creation.ref} within a transaction failed {_TRIES} times, since others began and ended runs of "
        f"its id each time"
    )


async def _leave(connection: CallersConnection, error: BaseException) -> None:
    """Undo what was done, so that the caller can go on, unless the connection is lost."""
    try:
        await connection.execute(_UNDO)
        await connection.execute(_END)
    except Exception as worse:  # noqa: BLE001 - of any driver: what came first is what is told
        error.add_note(f"its transaction could not be led back to where it was: {worse}")


_TURNS: Final = _Turns()
_TRIES: Final = 10
_BEGIN: Final = "SAVEPOINT perdure_start"
_UNDO: Final = "ROLLBACK TO SAVEPOINT perdure_start"
_END: Final = "RELEASE SAVEPOINT perdure_start"

# a table of the schema
_LOOK: Final = "SELECT current_setting('search_path') AS path, to_regclass($1::text)::text AS there"

# search path, until the transaction ends
_SET_PATH: Final = "SELECT set_config('search_path', $1::text, true)"
