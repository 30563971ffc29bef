"""The dispatcher: which of the queued activity attempts starts next, and when there is room for it.

Each kind of executor (loop, threads, pool processes) has its own slots and its own scheduling tree, so that a full one
never holds up another. The decision is the tree's; this class only counts slots and keeps time.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from perdure.execution.attempts import Attempts
from perdure.execution.call import ActivityCall
from perdure.kernel import inputs as i
from perdure.kernel.events import TimeoutKind
from perdure.kernel.options import Executor
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.clock import Clock
from perdure.scheduling.item import Item
from perdure.scheduling.tree import SchedulingTree, default_tree

__all__ = ["Dispatcher"]


class Dispatcher:
    """Queues attempts and starts them as slots come free."""

    def __init__(self, attempts: Attempts, clock: Clock, *, slots: dict[Executor, int]) -> None:
        """Start attempts with `attempts`; at most `slots` of each executor run at once."""
        self._attempts = attempts
        self._clock = clock
        self._lines = {executor: _Line(count) for executor, count in slots.items()}
        attempts.on_free = self._freed

    def enqueue(self, call: ActivityCall) -> None:
        """Let an attempt wait for its turn; it may start before this returns."""
        line = self._lines[self._attempts.executor_of(call)]
        now = self._clock.now()
        state = call.run.state
        created = state.created
        call.item = Item(
            key=(call.run.run_key, call.operation, call.attempt),
            priority=state.priority if call.options.priority is None else call.options.priority,
            tenant="" if created is None else created.tenant,
            workflow_type="" if created is None else created.workflow,
            enqueued_at=call.scheduled_at,
            deadline=None if created is None else created.deadline_at,
            estimated_cost=_estimate(call),
        )
        line.queued[call.item.key] = call
        line.tree.enqueue(call.item, now)
        self._limit_wait(line, call)
        self._start_what_fits(line)

    def withdraw(self, call: ActivityCall) -> None:
        """Take an attempt back: forget it if it waits, cancel it if it runs. Its outcome is dropped."""
        line = self._lines[self._attempts.executor_of(call)]
        if call.item is not None and line.queued.pop(call.item.key, None) is not None:
            line.tree.remove(call.item, self._clock.now())
        elif call.running is not None:
            self._attempts.cancel(call.running)

    @property
    def waiting(self) -> int:
        """How many attempts wait for a slot."""
        return sum(len(line.tree) for line in self._lines.values())

    @property
    def running(self) -> int:
        """How many attempts run."""
        return sum(line.tree.running for line in self._lines.values())

    def _start_what_fits(self, line: "_Line") -> None:
        while line.free > 0:
            item = line.tree.select(self._clock.now())
            if item is None:
                return
            line.free -= 1
            self._attempts.start(line.queued.pop(item.key))

    def _freed(self, call: ActivityCall, executor: Executor, seconds: float) -> None:
        line = self._lines[executor]
        line.free += 1
        if call.item is not None:
            line.tree.complete(call.item, seconds, self._clock.now())
        if len(line.tree):
            self._start_what_fits(line)

    def _limit_wait(self, line: "_Line", call: ActivityCall) -> None:
        """Arm the time-outs that an attempt can meet while it still waits."""
        limits: list[tuple[int, TimeoutKind]] = []
        if call.options.schedule_to_start_microseconds is not None:
            limits.append((call.options.schedule_to_start_microseconds, TimeoutKind.SCHEDULE_TO_START))
        if call.deadline_at is not None:
            limits.append((max(call.deadline_at - self._clock.now(), 0), TimeoutKind.SCHEDULE_TO_CLOSE))
        for microseconds, kind in limits:
            _call_later(microseconds, partial(self._waited_too_long, line, call, kind))

    def _waited_too_long(self, line: "_Line", call: ActivityCall, kind: TimeoutKind) -> None:
        if call.item is None or line.queued.pop(call.item.key, None) is None:
            return
        line.tree.remove(call.item, self._clock.now())
        call.run.attempt_ended(
            call,
            i.AttemptTimedOut(
                operation=call.operation,
                attempt=call.attempt,
                timeout=kind,
                retry=call.options.retry or NO_RETRY,
                started_at=None,
                heartbeat=call.heartbeat,
            ),
        )


class _Line:
    """The slots of one executor and those who wait for them."""

    __slots__ = ("free", "queued", "tree")

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.tree: SchedulingTree = default_tree()
        self.queued: dict[object, ActivityCall] = {}


def _estimate(call: ActivityCall) -> float:
    expected = call.options.expected_duration_microseconds
    return 1.0 if expected is None else expected / MICROSECONDS_PER_SECOND


def _call_later(microseconds: int, callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(microseconds / MICROSECONDS_PER_SECOND, callback)
