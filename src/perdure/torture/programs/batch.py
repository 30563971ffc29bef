"""The writes of a program: what a worker that knows the rows would write, and sometimes what a wrong one would."""

from typing import TYPE_CHECKING, Final

import msgspec

from perdure.kernel.events import SignalReceived
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef
from perdure.kernel.lineage import CarriedUpdate
from perdure.kernel.locking import LockChange, LockRelease, LockRequest
from perdure.kernel.messages import SignalMessage, request_of_update
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import (
    Answers,
    Creation,
    Delivery,
    RunRow,
    RunStatus,
    Seizure,
    Write,
)
from perdure.ports.store import LockQuery
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import (
    Held,
    creation,
    event,
    parks,
    release,
    transition,
)
from perdure.testing.store_conformance.tasks import task
from perdure.torture.programs.steps import Draws
from perdure.torture.programs.words import (
    ACTIVITIES,
    CODES,
    IDS,
    MESSAGES,
    NAMESPACES,
    QUEUES,
    VERSIONS,
    WORKFLOWS,
)

if TYPE_CHECKING:
    from perdure.torture.programs.world import World

__all__ = ["Batch"]


class Batch:
    """Writes of one batch: mostly what a worker that knows the rows would write, sometimes what a wrong one would."""

    def __init__(self, world: "World", session: StoreSession, draws: Draws) -> None:
        self.world = world
        self.session = session
        self.draws = draws
        self.advanced: dict[int, int] = {}

    async def write(self) -> Write:
        """Return some write."""
        kind = self.draws.of(_KINDS)
        run = self._held()
        match kind:
            case "creation":
                return self.some_creation()
            case "delivery":
                return self.some_delivery()
            case "seize":
                return self._seizure()
            case _ if run is None:
                return self.some_delivery() if self.draws.below(2) else self.some_creation()
            case "release":
                wake_at = self.draws.of((None, self.world.now, self._soon()))
                return await self._release(self._mistaken(run), wake_at=wake_at)
            case "park":
                return await self._park(self._mistaken(run))
            case "begin":
                return self._begin()
            case _:
                return await self._transition(run)

    async def _release(self, run: Held, *, wake_at: Timestamp | None) -> Write:
        return release(
            run,
            wake_at=wake_at,
            now=self.world.now,
            end_at=self._end(),
            inbox_position=self.draws.of((None, await self._seen(run))),
            recovered=self.draws.is_rare(),
        )

    def _seizure(self) -> Write:
        """Return the seizure of any run, mostly as its row stands."""
        key = self.world.keys[self._number()]
        row = self.world.rows.get(self.world.numbers[key])
        token = FencingToken(0) if row is None else row.fencing_token
        return Seizure(run_key=key, fencing_token=FencingToken(token + self.draws.of((0, 0, 0, 1))))

    async def _park(self, run: Held) -> Write:
        seen = await self._seen(run)
        tried = self.draws.of((CODES[:1], CODES[1:], CODES))
        recovered = self.draws.is_rare()
        now = self.world.now
        return parks(
            run,
            tried=tried,
            tried_position=seen,
            now=now,
            wake_at=self.draws.of((None, None, self._soon())),
            end_at=self._end(),
            inbox_position=self.draws.of((None, seen, seen)),
            recovered=recovered,
        )

    async def _seen(self, run: Held) -> int:
        """Return up to which position of a run's inbox its owner may have looked."""
        entries = await self.world.observer.inbox(run.run_key)
        return self.draws.of([0, *(entry.position for entry in entries)])

    def _end(self) -> Timestamp | None:
        return self.draws.of((None, None, self._soon()))

    def _number(self) -> int:
        """Return the number of a run, or (rarely) of one that never was."""
        if self.draws.is_rare() or not self.world.rows:
            return self.draws.below(self.world.used + 1)
        return self.draws.of(sorted(self.world.rows))

    def _soon(self) -> Timestamp:
        return Timestamp(self.world.now + self.draws.below(40) * 1_000_000)

    def _held(self) -> Held | None:
        """Return a run that this session owns; rarely any other, as if it did."""
        world = self.world
        rows = [world.rows[number] for number in sorted(world.rows)]
        own = [row for row in rows if row.owner == self.session.worker]
        candidates = rows if self.draws.is_rare() else own
        if not candidates:
            return None
        row = self.draws.of(candidates)
        ahead = self.advanced.get(world.numbers[row.run_key], 0)
        return Held(
            run_key=row.run_key,
            ref=row.ref,
            owner=self.session.worker,
            fencing_token=row.fencing_token,
            sequence=row.sequence + ahead,
        )

    def _mistaken(self, run: Held) -> Held:
        if not self.draws.is_rare():
            return run
        change = msgspec.structs.replace
        return self.draws.of(
            (
                change(run, fencing_token=FencingToken(run.fencing_token - 1)),
                change(run, fencing_token=FencingToken(run.fencing_token + 1)),
                change(run, sequence=max(run.sequence - 1, 0)),
                change(run, sequence=run.sequence + 1),
                change(run, owner=self.world.observer.worker),
                change(run, run_key=self.world.keys[self._number()]),
            )
        )

    def some_creation(self, *, parent: Held | None = None, ref: RunRef | None = None) -> Creation:
        """Return the creation of a run: by an id that may be taken, a child of `parent` if there is one."""
        draws, world = self.draws, self.world
        if ref is None:
            ref = RunRef(namespace=draws.of(NAMESPACES), id=draws.of(IDS), generation=self._generation())
        if parent is not None:
            ref = msgspec.structs.replace(ref, namespace=parent.ref.namespace)  # no other one may have it
        if parent is not None and ref.id == parent.ref.id:
            # Whether a run that closes may leave its own id to a child is not for the stores to agree on.
            ref = msgspec.structs.replace(ref, id=f"child of {ref.id}")
        made = creation(
            world.keys[world.new_number()],
            ref.id,
            namespace=ref.namespace,
            generation=ref.generation,
            workflow=draws.of(WORKFLOWS),
            version=draws.of(VERSIONS),
            priority=draws.of(tuple(Priority)),
            tenant=draws.of(("", "t1", "t2")),
            labels=draws.of(({}, {"x": "1"}, {"y": ""}, {"x": "2", "y": "1"})),
            parent=parent,
            operation=1 + draws.below(3),
            at=world.now,
            wake_at=draws.of((world.now, self._soon())),
            request_id=draws.of(("", "", "", "r1", "r2")),
            unanswered=self._unanswered(),
            updates=draws.of(((), (), (CarriedUpdate(update_id="r1", name="u", body=NULL),))),
            deadline_at=self._end(),
        )
        return self._with_copy(made) if draws.is_rare() else made

    def _with_copy(self, made: Creation) -> Creation:
        """Let a run begin with a copied history."""
        at = Timestamp(self.world.now + 1_000_000)
        status = self.draws.of((RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.CREATED))
        row = RunRow(
            sequence=2, status=status, stage="s", progress=0.25, priority=made.priority, updated_at=at, started_at=at
        )
        return msgspec.structs.replace(made, copied=(event(2, at=at),), row=row)

    def _generation(self) -> int:
        return self.draws.of((1, 1, 2, 3))

    def _begin(self) -> Write:
        begins = msgspec.structs.replace(self.some_creation(), copied=(), row=None)
        run = Held(
            run_key=begins.run_key,
            ref=begins.ref,
            owner=self.session.worker,
            fencing_token=FencingToken(1),
            sequence=0,
        )
        return transition(
            run,
            events=1 + self.draws.below(3),
            begins=begins,
            status=self.draws.of((RunStatus.RUNNING, RunStatus.RUNNING, RunStatus.COMPLETED)),
            at=self.world.now,
            priority=begins.priority,
            labels=self._labels(),
        )

    async def _transition(self, known: Held) -> Write:
        draws, world = self.draws, self.world
        run = self._mistaken(known)
        events = draws.below(4)
        status = draws.of((RunStatus.RUNNING, RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.RUNNING, *RunStatus))
        creations = [self.some_creation(parent=run) for _ in range(draws.of((0, 0, 0, 1, 2)))]
        moves_inbox_to = None
        if status is RunStatus.CONTINUED and draws.below(3):
            ref = msgspec.structs.replace(run.ref, generation=run.ref.generation + 1)
            following = self.some_creation(ref=ref)
            creations.append(msgspec.structs.replace(following, request_id=""))
            moves_inbox_to = following.run_key
        self.advanced[world.numbers[known.run_key]] = self.advanced.get(world.numbers[known.run_key], 0) + events
        moved = transition(
            run,
            events=events,
            what=SignalReceived(name=draws.of(("x", "y\x00", "é'"))) if draws.is_rare() else None,
            status=status,
            priority=draws.of(tuple(Priority)),
            at=world.now,
            consumed=await self._consumed(run.run_key),
            deliveries=[
                self._asking(run) if draws.below(2) else self.some_delivery() for _ in range(draws.of((0, 0, 1, 2)))
            ],
            creations=creations,
            labels=self._labels(),
            moves_inbox_to=moves_inbox_to,
            must_not_overtake=[draws.of(("m1", "m2", "m3"))] if draws.is_rare() else [],
            end_at=self._end(),
            locks=await self._locks(run.run_key, is_last=status.is_closed),
        )
        withdrawn = tuple(Operation(number) for number in draws.of(_WITHDRAWN))
        queued = tuple(self._task(run, number) for number in draws.of(_QUEUED))
        return msgspec.structs.replace(moved, withdrawn=withdrawn, queued=queued)

    def _task(self, run: Held, number: int) -> Task:
        draws = self.draws
        return task(
            run,
            number,
            attempt=draws.of((1, 1, 2)),
            queue=draws.of((QUEUES[0], QUEUES[0], *QUEUES)),
            activity=draws.of(ACTIVITIES),
            priority=draws.of((*[Priority.NORMAL] * 8, *Priority)),
            queued_at=draws.of((self.world.now, self._soon())),
            options=draws.of((None, ActivityOptions(at_most_once=True), _LONG, *map(_demanding, _LABELS))),
            tenant=draws.of(("t1", "t1", "t2", "t3")),
            sticky_to=draws.of(self.world.sessions).worker if draws.is_rare() else None,
            sticky_until=self._soon(),
        )

    async def _locks(self, run_key: RunKey, *, is_last: bool) -> list[LockChange]:
        """Return requests, within some of what the run holds, and releases; all of them where the run ends."""
        draws = self.draws
        row = self.world.rows.get(self.world.numbers[run_key])
        query = LockQuery(namespace="default" if row is None else row.ref.namespace, run_key=run_key)
        entries = await self.world.observer.store.list_locks(query)
        released = [entry for entry in entries if is_last or draws.is_rare()]
        kept = [entry.operation for entry in entries if entry not in released]
        changes: list[LockChange] = [LockRelease(operation=entry.operation) for entry in released]
        if draws.is_rare():
            changes.append(LockRelease(operation=Operation(1_000_000)))
        for _ in range(0 if is_last else draws.of((0, 0, 1, 1, 2))):
            self.world.lock_operation += 1
            changes.append(
                LockRequest(
                    operation=Operation(self.world.lock_operation),
                    key=draws.of(("k1", "k2", "k3")),
                    limit=draws.of((1, 1, 2, None)),
                    holding=tuple(kept) if draws.below(4) else (),
                    waits=not draws.is_rare(),
                )
            )
        return changes

    def _labels(self) -> dict[str, str | None] | None:
        changes: tuple[dict[str, str | None], ...] = ({}, {}, {"x": "2"}, {"x": None, "y": "1"}, {"z": None})
        return self.draws.of(changes) or None

    async def _consumed(self, run_key: RunKey) -> list[int]:
        of = self.world.keys[self._number()] if self.draws.is_rare() else run_key
        entries = await self.world.observer.inbox(of)
        return [entry.position for entry in entries if self.draws.below(2)]

    def some_delivery(self) -> Delivery:
        """Return a message to some run."""
        draws, world = self.draws, self.world
        ref = RunRef(namespace=draws.of(NAMESPACES), id=draws.of(IDS), generation=self._generation())
        return Delivery(
            target=world.keys[self._number()] if draws.below(2) else ref,
            message=draws.of(MESSAGES),
            message_id=draws.of(("", "m1", "m2", "m3")),
            at=draws.of((world.now, self._soon())),
            request_id=draws.of(("", "", "", "r1", "r2", "r3", request_of_update("r1"))),
            unanswered=self._unanswered(),
        )

    def _unanswered(self) -> RunKey | None:
        return self.world.keys[self._number()] if self.draws.is_rare() else None

    def _asking(self, sender: Held) -> Delivery:
        """Return a delivery of a run that wants to know what becomes of it."""
        answers = Answers(
            run_key=sender.run_key,
            delivered=self.draws.of((None, SignalMessage(name="delivered"))),
            missing=SignalMessage(name="missing"),
            closed=SignalMessage(name="closed"),
        )
        return msgspec.structs.replace(self.some_delivery(), answers=answers, request_id="")


_WITHDRAWN: Final = ((), (), (1,), (2, 3))
_LONG: Final = ActivityOptions(expected_duration_microseconds=3_000_000)
_QUEUED: Final = ((), (1,), (2, 3), (1, 2, 3))
"""Of which operations tasks leave their queues, and come into them."""

_LABELS: Final = ({"gpu": "a100"}, {"gpu": "a100", "zone": "eu"}, {"gpu": "h100"})


def _demanding(labels: dict[str, str]) -> ActivityOptions:
    return ActivityOptions(labels=labels)


_KINDS: Final = (
    *(("creation", "creation", "begin", *["transition"] * 6, *["delivery"] * 3, "release", "park") * 3),
    "seize",
)
