"""Retry, reset, fork: a run whose history begins with a part of another's; see `perdure.kernel.forking`.

The history is read, the copy is replayed against the code of this process if it has any, and one write creates the run.
That the id has had no other successor meanwhile is demanded by the write. Of a run that is open the write is also its
end, and demands that nothing has been added to what was read: whoever owns it may be faster, and then it is read anew.
"""

from perdure.chance import new_name
from perdure.client.gateway import Gateway, TakenRun, missing
from perdure.client.generations import fork_of
from perdure.client.wishes import Listed, Point, Wish, require_sound
from perdure.errors import DamagedHistoryError, InvalidArgumentError, RunExistsError, RunNotRepairableError, StateError
from perdure.kernel import fork_points as points
from perdure.kernel import messages as m
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.forking import ForkOrder, fork
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.replacing import replace
from perdure.kernel.replay import Replay
from perdure.kernel.time import timestamp_from_datetime
from perdure.kernel.transition import Applied, Creation, Transition
from perdure.ports.store import RunSummary
from perdure.redaction import concealed

__all__ = ["consider_fork", "fork_run"]


async def fork_run(
    gateway: Gateway, ref: RunRef, wish: Wish, *, request_id: str, listed: Listed | None = None
) -> RunSummary:
    """Create the run that is wished for and return its row; if this request has made it before, that run's.

    With `listed` only if the run is still that. Raises RunNotFoundError, RunNotRepairableError, RunExistsError,
    RunClosedError, InvalidArgumentError, NonDeterminismError.
    """
    require_sound(wish, request_id)
    try:
        return await _fork(gateway, ref, wish, request_id, listed)
    except StateError:
        made = await _made_before(gateway, ref, wish, request_id)  # by the same request, at the same time
        if made is None:
            raise
        return made


async def _fork(gateway: Gateway, ref: RunRef, wish: Wish, request_id: str, listed: Listed | None) -> RunSummary:
    for _ in range(_TRIES):
        # In this order: a run that the same request has made is never taken for the one to be forked.
        origin = await _origin(gateway, ref)
        made = await _made_before(gateway, ref, wish, request_id)
        if made is not None:
            return made
        if listed is not None:
            listed.require(origin)
        ends_origin = wish.cause is not ForkCause.FORK and not origin.status.is_closed
        forked = await (_replace if ends_origin else _create)(gateway, origin, wish, request_id)
        if forked is not None:
            return forked
    message = f"run {ref} cannot be reset: each time it was about to be, another worker claimed it; try again"
    raise RunNotRepairableError(message)


async def consider_fork(gateway: Gateway, ref: RunRef, wish: Wish, *, listed: Listed) -> None:
    """Raise what `fork_run` would raise, and write nothing."""
    require_sound(wish, "")
    origin = await _origin(gateway, ref)
    listed.require(origin)
    history = await _read(gateway, origin, wish)
    _prepare(gateway, history, origin, wish, "", unread=await _unread(gateway, origin))


_TRIES = 100


async def _made_before(gateway: Gateway, ref: RunRef, wish: Wish, request_id: str) -> RunSummary | None:
    """Return the run that this request has made before. Raises InvalidArgumentError if its id was another request's."""
    made = await gateway.store.find_by_request(ref.namespace, request_id) if request_id else None
    if made is None:
        return None
    forked = await fork_of(gateway.store, made)
    if forked is None:
        raise _used(request_id, f"start run {made.ref}")
    if (forked.cause, forked.origin.id) != (wish.cause, ref.id):
        raise _used(request_id, f"{forked.cause} run {forked.origin}")
    return made


async def _origin(gateway: Gateway, ref: RunRef) -> RunSummary:
    origin = await gateway.store.find(ref)
    if origin is None:
        raise missing(ref)
    return origin


async def _create(gateway: Gateway, origin: RunSummary, wish: Wish, request_id: str) -> RunSummary | None:
    """Make the run beside the one that is copied, or after it, and return its row."""
    history, unread = await _read(gateway, origin, wish), await _unread(gateway, origin)
    creation, _ = _prepare(gateway, history, origin, wish, request_id, unread=unread)
    outcome = await gateway.start(creation)
    if not isinstance(outcome, Applied):
        taken = f"a run {creation.ref} exists already"
        raise RunExistsError(f"{taken}; choose another id" if wish.id else f"{taken}: somebody else was faster")
    if outcome.run_key == creation.run_key:
        return await gateway.store.find(creation.run_key)
    made = await _made_before(gateway, origin.ref, wish, request_id)  # by the same request meanwhile
    if made is None:
        raise _used_for_message(creation.ref, request_id)
    return made


async def _replace(gateway: Gateway, origin: RunSummary, wish: Wish, request_id: str) -> RunSummary | None:
    """End the run that is copied and make its successor; None if another worker has taken it meanwhile."""
    taken = gateway.take_over(origin)

    def end_of(history: list[RecordedEvent]) -> Transition:
        creation, order = _prepare(gateway, history, origin, wish, request_id)
        return replace(history, creation, order, fencing_token=taken.fencing_token, by=gateway.worker_id)

    history = await _read(gateway, origin, wish)
    end = end_of(history)
    if not await taken.take(end):
        if not taken.is_held:
            return None
        try:
            history = await _read_on(gateway, origin.run_key, history)
            if not await _is_held(gateway, taken, origin):  # asked after the reading: what was read is all there is
                return None
            end = end_of(history)
            if not await taken.end(end):
                if request_id and await _is_held(gateway, taken, origin):
                    raise _used_for_message(origin.ref, request_id)
                return None
        finally:
            taken.let_go()
    return await gateway.store.find(end.creations[0].run_key)


async def _is_held(gateway: Gateway, taken: TakenRun, origin: RunSummary) -> bool:
    """Whether a run that was seized still is: it is another's when our lease has passed, or somebody else seized it."""
    row = await gateway.store.find(origin.run_key)
    return row is not None and (row.owner, row.fencing_token) == (gateway.worker_id, taken.fencing_token)


def _used_for_message(ref: RunRef, request_id: str) -> InvalidArgumentError:
    return _used(request_id, f"send run {ref.namespace}/{ref.id} a message")


def _used(request_id: str, what: str) -> InvalidArgumentError:
    message = f"the request id {request_id!r:.60} was used to {what}, so nothing was done; each request needs its own"
    return InvalidArgumentError(message)


def _prepare(
    gateway: Gateway,
    history: list[RecordedEvent],
    origin: RunSummary,
    wish: Wish,
    request_id: str,
    *,
    unread: tuple[m.Message, ...] = (),
) -> tuple[Creation, ForkOrder]:
    registry, version = gateway.registry, wish.version
    order = ForkOrder(
        cause=wish.cause,
        ref=_successor(origin.ref, wish),
        run_key=gateway.store.new_run_key(),
        call_name=new_name(),
        origin=origin.ref,
        origin_key=origin.run_key,
        now=gateway.clock.now(),
        reason=wish.reason,
        by=wish.by,
        definition_version=version,
        stages=() if version is None else registry.workflow(origin.workflow, version).stages,
        reapplies_signals=wish.reapplies_signals,
        unread=unread,
        request_id=request_id,
    )
    creation = fork(history, _point_of(history, wish), order)
    _require_code_fits(gateway, creation)
    return creation, order


def _point_of(history: list[RecordedEvent], wish: Wish) -> int:
    return points.point_of_retry(history) if wish.cause is ForkCause.RETRY else _event_at(history, wish.point)


def _event_at(history: list[RecordedEvent], point: Point) -> int:
    if point.event is not None:
        return points.point_at(history, point.event)
    if point.stage is not None:
        return points.point_before_stage(history, point.stage)
    if point.activity is not None:
        return points.point_before_activity(history, point.activity)
    if point.before is not None:
        return points.point_before_moment(history, timestamp_from_datetime(point.before))
    return points.point_of_last_failure(history)


async def _read(gateway: Gateway, origin: RunSummary, wish: Wish) -> list[RecordedEvent]:
    """Return the history up to where the row stands: what is added meanwhile is noticed by the write.

    Of a damaged one, that is to be forked from an event before the damage, return what is sound.
    """
    try:
        return (await _read_on(gateway, origin.run_key, []))[: origin.sequence]
    except DamagedHistoryError as error:
        if wish.cause is not ForkCause.FORK or wish.point.event is None or error.event <= wish.point.event:
            raise
        return await gateway.store.read_history(origin.run_key, limit=error.event - 1)


async def _read_on(gateway: Gateway, run_key: RunKey, history: list[RecordedEvent]) -> list[RecordedEvent]:
    """Return a history with all that has been added to it."""
    read = list(history)
    while page := await gateway.store.read_history(run_key, after=len(read), limit=_PAGE):
        read += page
    return read


async def _unread(gateway: Gateway, origin: RunSummary) -> tuple[m.Message, ...]:
    """Return what a run that has ended has left in its inbox, which takes no more; of one that is open nothing."""
    if not origin.status.is_closed:
        return ()
    return tuple(entry.message for entry in await gateway.store.read_inbox(origin.run_key, limit=_LONGEST_INBOX))


_PAGE = 1_000
_LONGEST_INBOX = 1_000_000


def _successor(ref: RunRef, wish: Wish) -> RunRef:
    if wish.cause is ForkCause.FORK:
        return RunRef(namespace=ref.namespace, id=wish.id)
    return RunRef(namespace=ref.namespace, id=ref.id, generation=ref.generation + 1)


def _require_code_fits(gateway: Gateway, creation: Creation) -> None:
    """Replay the copy against this process' code, if it has any, and take no note of what that asks for.

    Raises NonDeterminismError.
    """
    workflow = gateway.registry.find(creation.workflow, creation.definition_version)
    if workflow is None:
        return
    program = CoroutineProgram(workflow.entry(gateway.registry), points.created_of((creation.created,)))
    replay = Replay(program, conceal=concealed)
    try:
        replay.take((creation.created, *creation.copied))
        replay.finish()
    finally:
        program.close()
