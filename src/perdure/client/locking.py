"""Who holds and who waits for locks, as a client asks."""

from perdure.authoring.arguments import require_text
from perdure.client.gateway import Gateway, missing
from perdure.errors import InvalidArgumentError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.locking import LockEntry
from perdure.ports.store import LockQuery

__all__ = ["find_locks"]


async def find_locks(
    gateway: Gateway, namespace: str, *, key: str | None, run_id: str | None, after: int, limit: int
) -> list[LockEntry]:
    """Return one page of entries; see `Client.locks`."""
    if type(limit) is not int or limit < 1:
        message = f"engine.locks: limit is {limit!r:.60}; it must be an integer from 1"
        raise InvalidArgumentError(message)
    query = LockQuery(
        namespace=namespace,
        key=None if key is None else require_text(key, "engine.locks: key"),
        run_key=None if run_id is None else await _key_of(gateway, namespace, run_id),
        after=after,
        limit=limit,
    )
    return await gateway.store.list_locks(query)


async def _key_of(gateway: Gateway, namespace: str, run_id: str) -> RunKey:
    ref = RunRef(namespace=namespace, id=require_text(run_id, "engine.locks: run_id"))
    summary = await gateway.store.find(ref)
    if summary is None:
        raise missing(ref)
    return summary.run_key
