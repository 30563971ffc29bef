"""Runs that are created within a transaction of a caller's: there with whatever else it writes, or not at all.

The store's own functions decide and write, on the caller's connection, in a savepoint. The schema comes first in the
search path meanwhile. What was locked for a run that is not created, since its id is taken, is let go with the
savepoint: whoever works on that run must not wait for the caller.
"""

from typing import TYPE_CHECKING, Final, cast

from perdure.errors import InternalError, StoreUnavailableError, UsageError
from perdure.kernel.identity import WorkerId
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Creation, Exists, Outcome
from perdure.ports.store import RunSummary
from perdure.stores.postgres import reading
from perdure.stores.postgres.callers import CallersConnection, callers_connection
from perdure.stores.postgres.commits import Commits
from perdure.stores.postgres.flushing import CollisionError

if TYPE_CHECKING:
    from perdure.stores.postgres.connection import Connection

__all__ = ["create_within"]


async def create_within(
    given: object, creation: Creation, commits: Commits, *, schema: str, session: tuple[WorkerId, Timestamp]
) -> tuple[Outcome, RunSummary | None]:
    """Create a run; see `RunStore.create_within`. `session` is that of the store, by its number and when it began."""
    connection = await callers_connection(given)
    await connection.execute(_BEGIN)
    try:
        path = await _enter(connection, schema, session)
        outcome, existing = await _create(connection, creation, commits, schema)
        if existing is not None:
            await connection.execute(_UNDO)
        else:
            await connection.execute(_SET_PATH, path)
    except BaseException as error:
        await _leave(connection, error)
        raise
    await connection.execute(_END)
    return outcome, existing


async def _enter(connection: CallersConnection, schema: str, session: tuple[WorkerId, Timestamp]) -> str:
    """Let the schema come first in the search path; return what that was. Raises UsageError for another database."""
    [found] = await connection.fetch(_LOOK, f'"{schema}".sessions')
    if found["there"] is not None:
        await connection.execute(_SET_PATH, f'"{schema}"')
        if await connection.fetch(_SESSION, *session):
            return str(found["path"])
    raise UsageError(
        "within=: the connection is to another database than the engine's, or may not read Perdure's tables there"
    )


async def _create(
    connection: CallersConnection, creation: Creation, commits: Commits, schema: str
) -> tuple[Outcome, RunSummary | None]:
    own = cast("Connection", connection)
    for _ in range(_TRIES):
        try:
            [outcome] = await commits.decide_within(own, [creation])
        except CollisionError:  # another transaction has the id, or the request, since it was looked for
            await connection.execute(_UNDO)
            await connection.execute(_SET_PATH, f'"{schema}"')
            continue
        return outcome, await _existing(own, creation, outcome)
    raise StoreUnavailableError(
        f"starting run {creation.ref} within a transaction failed {_TRIES} times, since others began and ended runs of "
        f"its id each time"
    )


async def _existing(connection: "Connection", creation: Creation, outcome: Outcome) -> RunSummary | None:
    """Return the run that has the id or the request of a creation; None if that is applied."""
    if not isinstance(outcome, Applied | Exists):
        raise InternalError(f"the creation of run {creation.ref} was answered by {outcome!r}")
    if outcome.run_key == creation.run_key:
        return None
    return await reading.find(connection, outcome.run_key, latest=False)


async def _leave(connection: CallersConnection, error: BaseException) -> None:
    """Undo what was done, so that the caller can go on, unless the connection is lost."""
    try:
        await connection.execute(_UNDO)
        await connection.execute(_END)
    except Exception as worse:  # noqa: BLE001 - of any driver: what came first is what is told
        error.add_note(f"its transaction could not be led back to where it was: {worse}")


_TRIES: Final = 10
_BEGIN: Final = "SAVEPOINT perdure_start"
_UNDO: Final = "ROLLBACK TO SAVEPOINT perdure_start"
_END: Final = "RELEASE SAVEPOINT perdure_start"

# the table of sessions
_LOOK: Final = "SELECT current_setting('search_path') AS path, to_regclass($1::text)::text AS there"

# search path, until the transaction ends
_SET_PATH: Final = "SELECT set_config('search_path', $1::text, true)"

# worker_id, started_at
_SESSION: Final = "SELECT 1 FROM sessions WHERE worker_id = $1::bigint AND started_at = $2::bigint"
