"""Verification of the store, as a client asks for it."""

from collections.abc import Callable

from perdure.authoring.arguments import require_text
from perdure.client.gateway import Gateway, missing
from perdure.errors import UsageError
from perdure.kernel.identity import RunRef
from perdure.ports.verification import Verification, VerificationWish

__all__ = ["verify_store"]


async def verify_store(
    gateway: Gateway,
    namespace: str,
    run_id: str | None,
    *,
    repair: bool,
    accept_older_tables: bool,
    quarantine: bool,
    on_progress: Callable[[int, int], object] | None,
) -> Verification:
    """Return what is found; see `Client.verify`."""
    if accept_older_tables and (run_id is not None or not repair):
        raise UsageError(
            "engine.verify: accept_older_tables=True is about how a repair of the whole database builds indexes anew; "
            "say repair=True, and name no run"
        )
    run = None if run_id is None else RunRef(namespace=namespace, id=require_text(run_id, "engine.verify: id"))
    wish = VerificationWish(
        now=gateway.clock.now(),
        run=run,
        repairs=repair,
        accepts_older_tables=accept_older_tables,
        quarantines=quarantine,
        on_progress=on_progress,
    )
    found = await gateway.store.verify(wish)
    if run is not None and found.runs == 0:
        raise missing(run)
    return found
