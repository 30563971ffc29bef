"""Who holds and who waits for locks, as a client asks."""

from typing import Final

from perdure.authoring.arguments import require_integer, require_text
from perdure.client.gateway import Gateway, key_of
from perdure.kernel.locking import LockEntry
from perdure.ports.store import LockQuery

__all__ = ["find_locks"]


async def find_locks(
    gateway: Gateway, namespace: str, *, key: str | None, run_id: str | None, after: int, limit: int
) -> list[LockEntry]:
    """Return one page of entries; see `Client.locks`."""
    query = LockQuery(
        namespace=namespace,
        key=None if key is None else require_text(key, "engine.locks: key"),
        run_key=None if run_id is None else await key_of(gateway, namespace, run_id, asked_by="engine.locks"),
        after=require_integer(after, "engine.locks: after", least=0, most=_LARGEST_POSITION),
        limit=require_integer(limit, "engine.locks: limit"),
    )
    return await gateway.store.list_locks(query)


_LARGEST_POSITION: Final = 2**63 - 1
