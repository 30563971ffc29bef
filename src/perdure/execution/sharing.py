"""Sharing: a loaded worker gives runs to those that have free slots.

A run belongs to the worker that has started or claimed it, and its activities are made there: so one worker may hold
many that wait for its slots, while the slots of another are free. The other one cannot take them: whose they are is
for their owner to say. So **who has free slots announces that, and who is loaded gives** (work sharing, initiated by
the sender: Eager, Lazowska, Zahorjan 1986): it releases the runs whose attempts wait, as if they were idle, and rests
from claiming for a moment, since it would claim them itself; whoever has room claims them, reads their histories, and
begins.

**Which.** Runs of which nothing is under way but attempts that have not begun, and that waited already when the lease
was renewed before; the latest first, and no more than half as many as the others have slots for, of the kind that is
needed. Not those whose attempts may be made at most once, which count as begun, are of a queue, or wait at a limit.
Only workers with the same code share with each other (`perdure.authoring.fingerprint`), for a run that has met a patch
is nothing for those which do not have that yet; and only those that see the same rows (`Serving.seen_as`). Moving a
run costs a commit, a claim and a replay.

**When.** With each renewal of the lease. What a worker announces is as old as its last one, and tells a half or a
double of its slots, and of each kind of no more than runs fit into its memory: of several kinds together it may be more
than fit, and what does not waits for whoever has room, the giver too. Who was given too much gives it on, and who
closes has none.

**Limits.** Who claims what was given is whoever comes first: it may be another loaded worker, which gives it on.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from perdure.authoring.fingerprint import fingerprint
from perdure.errors import PerdureError
from perdure.execution.active_run import ActiveRun
from perdure.execution.call import ActivityCall
from perdure.kernel.identity import Operation, RunKey
from perdure.ports.tasks import ServerSummary, Serving

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["WorkSharing"]


class WorkSharing:
    """What one worker announces, and gives away."""

    def __init__(self, worker: "Worker") -> None:
        """Share the runs of `worker`."""
        self._worker = worker
        self._announced = Serving()
        self._waited: frozenset[_Name] = frozenset()
        self._is_looking = False
        self._name_code()

    def look_soon(self) -> None:
        """Have a look, which nobody waits for."""
        if not self._is_looking:
            self._is_looking = True
            self._worker.mail.spawn(self._look())

    async def _look(self) -> None:
        try:
            await self.look()
        except PerdureError as error:  # the next renewal of the lease looks again
            self._worker.recurring.warning("sharing runs failed: %s", error, cause=error)
        finally:
            self._is_looking = False

    async def look(self) -> None:
        """Announce whether slots are free, if that has changed, and give away what waits for too long.

        Raises StoreErrors, and EngineClosedError.
        """
        worker = self._worker
        self._name_code()
        if worker.store.is_alone() or not self._has_to_tell:
            return
        serving = self.serving
        if _kinds(serving) != _kinds(self._announced):
            await worker.store.announce(serving)
            self._announced = serving
        waited, self._waited = self._waited, frozenset()
        is_loaded = worker.is_claiming and any(worker.dispatcher.waiting_for_slots())
        if is_loaded and (room := self._room_of(await worker.store.list_servers())):
            waiting = list(islice(worker.dispatcher.waiting_for_slots(), _LOOKED_AT))
            self._waited = frozenset(map(_name, waiting))
            self._give(_spare(call for call in waiting if _name(call) in waited), room)

    @property
    def _has_to_tell(self) -> bool:
        """Whether this is no client, which others have nothing of; or one that closes, and has told of slots."""
        return self._worker.is_claiming or bool(self._worker.queues) or bool(self._announced.code)

    def forget(self) -> None:
        """Announce anew with the next look: the session may have been taken for dead, and forgotten."""
        self._announced = Serving()

    @property
    def serving(self) -> Serving:
        """What others are to know of this worker."""
        worker, room = self._worker, dict[str, int]()
        takes = worker.room + worker.idle.count()
        if worker.is_claiming and takes > 0:
            room = {executor: min(free, takes) for executor, free in worker.dispatcher.free_slots().items()}
        return worker.queues.serving(room=room, code=self._name_code())

    def _name_code(self) -> str:
        """Return the name of this worker's code. It is made when the worker opens, and soon after new code has come,
        also while nobody is told: before running code has changed what it reaches."""
        return fingerprint(self._worker.registry)

    def _room_of(self, servers: list[ServerSummary]) -> Counter[str]:
        """Return half of the slots that are free at others of the same code and rows: others may be giving, too."""
        worker, room = self._worker, Counter[str]()
        now, own = worker.clock.now(), {_fit(one) for one in servers if one.worker == worker.worker_id}
        for other in servers:
            if other.worker != worker.worker_id and other.lease_until > now and _fit(other) in own:
                room.update({executor: (free + 1) // 2 for executor, free in other.serving.room.items()})
        return room

    def _give(self, runs: Iterator[ActiveRun], room: Counter[str]) -> None:
        given = 0
        for run in runs:
            needed = Counter[str](call.executor for call in run.calls.values())
            if needed <= room:
                room -= needed
                given += 1
                run.surrender()
            if given >= _GIVEN_AT_ONCE or not room:
                break
        if given:
            self._worker.claims.rest(_REST_SECONDS)


_Name = tuple[RunKey, Operation, int]


def _name(call: ActivityCall) -> _Name:
    return (call.run.run_key, call.operation, call.attempt)


def _spare(calls: Iterator[ActivityCall]) -> Iterator[ActiveRun]:
    """Yield the runs of calls that may be given away, each once."""
    seen: set[int] = set()
    for call in calls:
        run = call.run
        if isinstance(run, ActiveRun) and run.run_key not in seen:
            seen.add(run.run_key)
            if run.is_spare:
                yield run


def _fit(server: ServerSummary) -> tuple[str, str]:
    """Return what two must have in common, so that each can go on with the runs of the other."""
    return server.serving.code, server.serving.seen_as


def _kinds(serving: Serving) -> tuple[object, ...]:
    """Return what is worth a commit to tell: of numbers not each change, but whether one has halved or doubled."""
    room = {executor: free.bit_length() for executor, free in serving.room.items()}
    return serving.queues, serving.labels, serving.code, room


_GIVEN_AT_ONCE: Final = 100
_LOOKED_AT: Final = 10_000
_REST_SECONDS: Final = 0.5
"""How long who has given runs away claims none: they would come back."""
