"""The dispatcher: which of the queued activity attempts starts next, and when there is room for it.

Each kind of executor (loop, threads, pool processes) has its own slots and its own scheduling tree, so that a full one
never holds up another. The decision is the tree's; this class only counts slots and keeps time.
"""

import asyncio
import logging
from collections.abc import Hashable, Iterable

from perdure.execution.attempts import Attempts
from perdure.execution.call import ActivityCall
from perdure.kernel import inputs as i
from perdure.kernel.events import TimeoutKind
from perdure.kernel.options import Executor
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.clock import Clock
from perdure.scheduling.explanation import Absent, Explanation
from perdure.scheduling.item import Item
from perdure.scheduling.tree import SchedulingTree, default_tree

__all__ = ["Dispatcher"]

_logger = logging.getLogger("perdure.worker")


class Dispatcher:
    """Queues attempts and starts them as slots come free."""

    def __init__(self, attempts: Attempts, clock: Clock, *, slots: dict[Executor, int]) -> None:
        """Start attempts with `attempts`; at most `slots` of each executor run at once."""
        self._attempts = attempts
        self._clock = clock
        self._lines = {executor: _Line(count) for executor, count in slots.items()}
        self._is_finishing = False
        attempts.on_free = self._freed

    def enqueue(self, call: ActivityCall) -> None:
        """Let an attempt wait for its turn; it may start, or run out of time, before this returns."""
        now = self._clock.now()
        if call.deadline_at is not None and call.deadline_at <= now:
            _time_out(call, TimeoutKind.SCHEDULE_TO_CLOSE)
            return
        call.executor = executor = self._attempts.place(call)
        line = self._lines[executor]
        call.item = item = _item(call)
        if line.free > 0 and not self._is_finishing and line.tree.try_pass(item, now):
            self._start(line, call, now)
            return
        line.queued[item.key] = call
        line.tree.enqueue(item, now)
        if not line.slots:
            _logger.warning("activity %s waits for ever: this worker has no %s slots", call.activity, executor)
        self._limit_wait(line, call)

    def withdraw(self, call: ActivityCall) -> None:
        """Take an attempt back: forget it if it waits, cancel it if it runs. Its outcome is dropped."""
        if call.running is not None:
            self._attempts.cancel(call.running)
        elif call.item is not None:
            self._take_from_queue(self._lines[call.executor], call)

    def reprioritise(self, calls: Iterable[ActivityCall]) -> None:
        """Move the calls of a run whose priority has changed to its new class, at their age.

        What runs already and what has a priority of its own stays where it is.
        """
        for call in calls:
            item, priority = call.item, call.run.state.priority
            if item is None or call.running is not None or call.options.priority is not None:
                continue
            line = self._lines[call.executor]
            if item.key in line.queued and item.priority is not priority:
                call.item = line.tree.reprioritise(item, priority, self._clock.now())

    def explain(self, call: ActivityCall) -> Explanation:
        """Say why an attempt does not run yet: who is ahead of it in the line of its executor."""
        item = call.item
        if item is None:
            return Absent(key=_key(call))
        return self._lines[call.executor].tree.explain(item)

    async def finish(self, grace_seconds: float) -> None:
        """Start nothing more, let what runs end for `grace_seconds`, cancel the rest, close the executors.

        What still waits stays as it is recorded: the next owner of its run queues it again.
        """
        self._is_finishing = True
        for line in self._lines.values():
            for call in line.queued.values():
                _disarm(call)
        await self._attempts.finish(grace_seconds)

    @property
    def waiting(self) -> int:
        """How many attempts wait for a slot."""
        return sum(len(line.tree) for line in self._lines.values())

    @property
    def running(self) -> int:
        """How many attempts run."""
        return sum(line.tree.running for line in self._lines.values())

    def _start_what_fits(self, line: "_Line", now: Timestamp) -> None:
        while line.free > 0 and not self._is_finishing:
            item = line.tree.select(now)
            if item is None:
                return
            call = line.queued.pop(item.key)
            if call.timers:
                _disarm(call)
            self._start(line, call, now)

    def _start(self, line: "_Line", call: ActivityCall, now: Timestamp) -> None:
        line.free -= 1
        self._attempts.start(call, now)

    def _freed(self, call: ActivityCall, seconds: float, now: Timestamp) -> None:
        line = self._lines[call.executor]
        line.free += 1
        if call.item is not None:
            line.tree.complete(call.item, seconds, now)
        if line.queued:
            self._start_what_fits(line, now)

    def _limit_wait(self, line: "_Line", call: ActivityCall) -> None:
        """Arm the time-outs that an attempt can meet while it still waits."""
        limits: list[tuple[int, TimeoutKind]] = []
        if call.options.schedule_to_start_microseconds is not None:
            limits.append((call.options.schedule_to_start_microseconds, TimeoutKind.SCHEDULE_TO_START))
        if call.deadline_at is not None:
            limits.append((max(call.deadline_at - self._clock.now(), 0), TimeoutKind.SCHEDULE_TO_CLOSE))
        if limits and not self._is_finishing:
            loop = asyncio.get_running_loop()
            call.timers = [
                loop.call_later(microseconds / MICROSECONDS_PER_SECOND, self._waited_too_long, line, call, kind)
                for microseconds, kind in limits
            ]

    def _waited_too_long(self, line: "_Line", call: ActivityCall, kind: TimeoutKind) -> None:
        if self._take_from_queue(line, call):
            _time_out(call, kind)

    def _take_from_queue(self, line: "_Line", call: ActivityCall) -> bool:
        _disarm(call)
        if call.item is None or line.queued.pop(call.item.key, None) is None:
            return False
        return line.tree.remove(call.item, self._clock.now())


class _Line:
    """The slots of one executor and those who wait for them."""

    __slots__ = ("free", "queued", "slots", "tree")

    def __init__(self, slots: int) -> None:
        self.slots = self.free = slots
        self.tree: SchedulingTree = default_tree()
        self.queued: dict[Hashable, ActivityCall] = {}


def _key(call: ActivityCall) -> Hashable:
    """Name a call in its tree. The token tells a run that was lost and claimed again from its stuck former self."""
    return (call.run.run_key, call.fencing_token, call.operation, call.attempt)


def _item(call: ActivityCall) -> Item:
    state = call.run.state
    created = state.created
    return Item(
        key=_key(call),
        priority=state.priority if call.options.priority is None else call.options.priority,
        tenant="" if created is None else created.tenant,
        workflow_type="" if created is None else created.workflow,
        enqueued_at=call.scheduled_at,
        deadline=None if created is None else created.deadline_at,
        estimated_cost=_estimate(call),
    )


def _estimate(call: ActivityCall) -> float:
    expected = call.options.expected_duration_microseconds
    return 1.0 if expected is None else expected / MICROSECONDS_PER_SECOND


def _disarm(call: ActivityCall) -> None:
    for timer in call.timers:
        timer.cancel()
    call.timers = ()


def _time_out(call: ActivityCall, kind: TimeoutKind) -> None:
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
