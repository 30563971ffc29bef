"""Beginning a run under an id: the run that has it is returned, refused, followed or replaced, as the policy says."""

from contextlib import suppress
from typing import Any, Final, TypeVar, TypeVarTuple

import msgspec

from perdure.authoring.arguments import require_choice
from perdure.authoring.workflow import Workflow, require_workflow
from perdure.client.gateway import Gateway, missing
from perdure.client.handle import Run
from perdure.client.start_rules import Rule
from perdure.client.starting import IdPolicy, StartRequest, make_creation
from perdure.errors import InvalidArgumentError, RunClosedError, RunError, RunExistsError
from perdure.kernel import events as e
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.payload import Payload
from perdure.kernel.transition import Applied, RunStatus
from perdure.ports.store import RunSummary

__all__ = ["begin", "begin_within", "require_within"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


async def begin(
    gateway: Gateway,
    ref: RunRef,
    workflow: Workflow[*Ts, R],
    args: tuple[*Ts],
    request: StartRequest,
    *,
    rule: Rule | None = None,
    signals: tuple[e.CarriedSignal, ...] = (),
    updates: tuple[e.CarriedUpdate, ...] = (),
    unanswered: RunKey | None = None,
) -> tuple[Run[R], RunKey | None]:
    """Begin a run of `ref`; return its handle, and the key of the run that this call, or an earlier one of its request
    id, began or reached; None: it had another one to return.

    With a `rule`, begin it, or let its start wait, or return another one, as that says. `unanswered`: see `Creation`.
    Raises as `Client.start`.
    """
    if rule is not None:
        from perdure.client.keyed_starts import start_by_key  # noqa: PLC0415 - only those who start by a key pay for it

        return await start_by_key(gateway, ref, rule, workflow, args, request), None
    workflow, payload, policy = _looked_at(gateway, workflow, args, request)
    while True:
        run_key, now = gateway.store.new_run_key(), gateway.clock.now()
        creation = make_creation(
            workflow, payload, request, ref=ref, run_key=run_key, now=now, signals=signals, updates=updates
        )
        if unanswered is not None:
            creation = msgspec.structs.replace(creation, unanswered=unanswered)
        outcome = await gateway.start(creation)
        if isinstance(outcome, Applied):
            if outcome.run_key != run_key:  # the run of the same request made before
                ref = await _ref_of(gateway, outcome.run_key)
            return Run(gateway, ref, run_key=outcome.run_key, signature=workflow.signature), outcome.run_key
        existing = await gateway.store.find(RunRef(namespace=ref.namespace, id=ref.id))
        if existing is None:
            continue
        if not await _makes_way(gateway, existing, policy, workflow.name):
            return Run(gateway, ref, run_key=existing.run_key, signature=workflow.signature), None
        ref = RunRef(namespace=ref.namespace, id=ref.id, generation=existing.ref.generation + 1)


async def begin_within(
    gateway: Gateway,
    ref: RunRef,
    workflow: Workflow[*Ts, R],
    args: tuple[*Ts],
    request: StartRequest,
    *,
    transaction: object,
) -> Run[R]:
    """Begin a run of `ref` within a transaction of the caller's; return its handle, or that of whatever has the id.

    Raises as `Client.start`.
    """
    workflow, payload, policy = _looked_at(gateway, workflow, args, request)
    run_key, now = gateway.store.new_run_key(), gateway.clock.now()
    creation = make_creation(workflow, payload, request, ref=ref, run_key=run_key, now=now)
    outcome, existing = await gateway.store.create_within(transaction, creation)
    if not (isinstance(outcome, Applied) and outcome.run_key == run_key):
        if existing is None:  # it was removed meanwhile
            raise missing(ref)
        if not isinstance(outcome, Applied):  # else it is the run of the same request made before
            await _makes_way(gateway, existing, policy, workflow.name)
        ref, run_key = existing.ref, existing.run_key
    return Run(gateway, ref, run_key=run_key, signature=workflow.signature)


def _looked_at(
    gateway: Gateway, workflow: Workflow[*Ts, R], args: tuple[*Ts], request: StartRequest
) -> tuple[Workflow[*Ts, R], Payload, IdPolicy]:
    """Return the workflow of the version that is wanted, its encoded arguments and the policy. Raises UsageError."""
    require_workflow(workflow, "start")
    workflow = gateway.registry.at_version(workflow, request.version)
    payload = workflow.signature.encode_arguments(args, {})
    return workflow, payload, require_choice(request.id_policy, IdPolicy, "id_policy")


def require_within(id_policy: IdPolicy | str, rule: Rule | None) -> None:
    """Refuse what a start within a transaction of the caller's cannot do. Raises InvalidArgumentError."""
    if rule is not None:
        raise InvalidArgumentError(
            "debounce, deduplicate and singleton cannot be given with within=: what becomes of several starts by a key "
            "is decided once for all of them, and not by a transaction that may be undone; give an id or a request_id"
        )
    policy = require_choice(id_policy, IdPolicy, "id_policy")
    if policy not in _WITHIN:
        raise InvalidArgumentError(
            f"id_policy={policy.value!r} cannot be given with within=: no run is ended, or followed, by a transaction "
            f"that may be undone; take {' or '.join(repr(one.value) for one in _WITHIN)}"
        )


_WITHIN: Final = (IdPolicy.RETURN_EXISTING, IdPolicy.FAIL)


async def _ref_of(gateway: Gateway, run_key: RunKey) -> RunRef:
    summary = await gateway.store.find(run_key)
    if summary is None:
        raise missing(run_key)
    return summary.ref


async def _makes_way(gateway: Gateway, existing: RunSummary, policy: IdPolicy, workflow: str) -> bool:
    """Decide by the policy whether a new run takes the id; end the existing one for it if so."""
    if policy is IdPolicy.FAIL:
        message = f"a run {existing.ref} exists already ({existing.status}); choose another id, or another id_policy"
        raise RunExistsError(message)
    if policy is IdPolicy.RETURN_EXISTING:
        if existing.workflow == workflow:
            return False
        message = (
            f"a run {existing.ref} exists already, of the workflow {existing.workflow!r}, not {workflow!r}; "
            f"choose another id"
        )
        raise RunExistsError(message)
    if existing.status.is_closed:
        return existing.status is not RunStatus.CONTINUED
    if policy is IdPolicy.RESTART_CLOSED:
        return False
    run = Run[Any](gateway, existing.ref, run_key=existing.run_key, signature=None)
    try:
        await run.terminate("replaced by a new run of the same id")
    except RunClosedError:
        return True
    with suppress(RunError):
        await run.result()
    return True
