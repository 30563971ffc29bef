"""Updating the run of an id, which is started with the update in one commit if there is none."""

from datetime import timedelta
from typing import Any, TypeVarTuple

from perdure.authoring.workflow import Workflow
from perdure.chance import new_name
from perdure.client.beginning import begin
from perdure.client.gateway import Gateway
from perdure.client.starting import IdPolicy, StartRequest
from perdure.client.updating import Asked
from perdure.errors import RunClosedError
from perdure.kernel import events as e
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.messages import UpdateMessage
from perdure.kernel.payload import Payload

__all__ = ["update_with_start"]

Ts = TypeVarTuple("Ts")


async def update_with_start(
    gateway: Gateway,
    ref: RunRef,
    workflow: Workflow[*Ts, Any],
    args: tuple[*Ts],
    request: StartRequest,
    *,
    name: str,
    body: Payload,
    timeout: timedelta | None,
) -> Payload:
    """Return the result of an update of the run of `ref`, or of the one that is begun with it.

    An update that the run of the id ended without answering goes, with its request id, to the one that follows.
    Raises as `Client.update_with_start`.
    """
    update_id = request.request_id or new_name()
    sent = UpdateMessage(update_id=update_id, name=name, body=body)
    carried = (e.CarriedUpdate(update_id=update_id, name=name, body=body),)
    unanswered: RunKey | None = None
    while True:
        _, begun = await begin(gateway, ref, workflow, args, request, updates=carried, unanswered=unanswered)
        asked = Asked(gateway=gateway, ref=ref, message=sent, is_repeatable=bool(request.request_id), begun=begun)
        try:
            return await asked.answer(until_completed=True, timeout=timeout)
        except RunClosedError:
            follows = request.id_policy != IdPolicy.RETURN_EXISTING
            if not follows or (begun is not None and await _has_begun(gateway, ref, begun, request.request_id)):
                raise
        unanswered = begun


async def _has_begun(gateway: Gateway, ref: RunRef, run_key: RunKey, request_id: str) -> bool:
    """Whether the run that a call was given was begun by it, rather than updated by an earlier one of its request."""
    made = await gateway.store.find_by_request(ref.namespace, request_id) if request_id else None
    return not request_id or (made is not None and made.run_key == run_key)
