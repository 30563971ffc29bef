"""The dispatcher: which of the queued activity attempts starts next, and when there is room for it.

Each kind of executor (loop, threads, pool processes, a cluster) has its own slots and its own scheduling tree, so that
a full one never holds up another. The decision is the tree's, and for calls under limits (rate, concurrency, resources,
breaker) also their `Admission`'s; this class only counts slots and keeps time.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

from perdure.configuration import Settings
from perdure.execution.attempts import Attempts
from perdure.execution.call import ActivityCall
from perdure.execution.limits import BreakerLimit, Limits, failure_of_open_circuit, had_rather_fail
from perdure.kernel import inputs as i
from perdure.kernel.events import TimeoutKind
from perdure.kernel.failure import Failure
from perdure.kernel.options import Executor
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.logs import logger_named
from perdure.ports.clock import Clock
from perdure.scheduling.admission import Admission, Group
from perdure.scheduling.explanation import Absent, Explanation, Running
from perdure.scheduling.item import Item
from perdure.scheduling.tree import SchedulingTree, default_tree

__all__ = ["Dispatcher", "slots_of"]

_logger = logger_named("perdure.worker")


class Dispatcher:
    """Queues attempts and starts them as slots come free."""

    def __init__(self, attempts: Attempts, clock: Clock, limits: Limits, *, slots: dict[Executor, int]) -> None:
        """Start attempts with `attempts` as `limits` allow; at most `slots` of each executor run at once."""
        self._attempts = attempts
        self._clock = clock
        self._limits = limits
        self._lines = {executor: _Line(count) for executor, count in slots.items()}
        self._admission = Admission({executor: line.tree for executor, line in self._lines.items()})
        self._opening: asyncio.TimerHandle | None = None
        self._opens_at: Timestamp | None = None
        self._will_serve = False
        self._is_finishing = False
        self.on_room: Callable[[], None] | None = None
        """Called once, and forgotten, when a slot comes free."""
        attempts.on_free = self._freed
        attempts.on_outcome = self._learn

    def enqueue(self, call: ActivityCall) -> None:
        """Let an attempt wait for its turn; it may start, or run out of time, before this returns."""
        now = self._clock.now()
        if call.deadline_at is not None and call.deadline_at <= now:
            _time_out(call, TimeoutKind.SCHEDULE_TO_CLOSE)
            return
        call.executor = executor = self._attempts.place(call)
        line = self._lines[executor]
        limits = self._limits.key(call)
        if limits is None and line.free > 0 and not len(line.tree) and not self._is_finishing:
            self._start(line, call, now)
            return
        call.item = item = _item(call)
        if limits is not None:
            self._enqueue_limited(line, call, item, limits, now)
            return
        line.queued[item.key] = call
        line.tree.enqueue(item, now)
        self._limit_wait(line, call)

    def withdraw(self, call: ActivityCall) -> None:
        """Take an attempt back: forget it if it waits, cancel it if it runs. Its outcome is dropped."""
        if call.running is not None:
            self._attempts.cancel(call.running)
        elif call.item is not None:
            self._take_from_queue(self._lines[call.executor], call)

    def is_waiting(self, call: ActivityCall) -> bool:
        """Whether an attempt has not begun yet."""
        return call.item is not None and call.item.key in self._lines[call.executor].queued

    def reprioritise(self, calls: Iterable[ActivityCall]) -> None:
        """Move the calls of a run whose priority has changed to its new class, at their age.

        What runs already and what has a priority of its own stays where it is.
        """
        for call in calls:
            item, priority = call.item, call.run.priority
            if item is None or call.running is not None or call.options.priority is not None:
                continue
            line = self._lines[call.executor]
            if item.key not in line.queued or item.priority is priority:
                continue
            now = self._clock.now()
            if call.group is None:
                call.item = line.tree.reprioritise(item, priority, now)
            else:
                call.item = self._admission.reprioritise(call.group, item, priority, now)
                self._serve_soon()

    def explain(self, call: ActivityCall) -> Explanation:
        """Say why an attempt does not run yet: which limit refused it, or who is ahead of it in its line."""
        item = call.item
        if call.running is not None:
            return Running(key=_key(call))
        if item is None:
            return Absent(key=_key(call))
        if call.group is not None:
            return self._admission.explain(call.group, item, self._clock.now())
        return self._lines[call.executor].tree.explain(item)

    def clock_was_set(self) -> None:
        """Let all that limits hold up try again."""
        self._admission.reopen_all()
        self._serve_soon()

    async def finish(self, grace_seconds: float) -> None:
        """Start nothing more, let what runs end for `grace_seconds`, cancel the rest, close the executors.

        What still waits stays as it is recorded: the next owner of its run queues it again.
        """
        self._is_finishing = True
        if self._opening is not None:
            self._opening.cancel()
        for line in self._lines.values():
            for call in line.queued.values():
                _disarm(call)
        await self._attempts.finish(grace_seconds)

    def room(self, executors: Iterable[Executor]) -> int:
        """Return how many attempts could start at once, wherever of these they were."""
        return max(0, min(self._lines[executor].room for executor in executors))

    def free_slots(self) -> dict[str, int]:
        """Return how many more attempts could start at once, of each executor that has room."""
        return {executor: line.room for executor, line in self._lines.items() if line.room > 0}

    def waiting_for_slots(self) -> Iterator[ActivityCall]:
        """Yield the attempts that wait for a slot, and at no limit: in each line the latest first."""
        for line in self._lines.values():
            if line.free <= 0:
                yield from (call for call in reversed(line.queued.values()) if call.group is None)

    @property
    def waiting(self) -> int:
        """How many attempts wait for a slot or at a limit."""
        return sum(len(line.queued) for line in self._lines.values())

    @property
    def running(self) -> int:
        """How many attempts run."""
        return sum(line.slots - line.free for line in self._lines.values())

    def _start_what_fits(self, line: "_Line", now: Timestamp) -> None:
        while line.free > 0 and not self._is_finishing:
            item = line.tree.select(now)
            if item is None:
                return
            call = line.queued[item.key]
            if call.group is not None and not self._is_admitted(line, call, call.group, item, now):
                continue
            del line.queued[item.key]
            if call.timers:
                _disarm(call)
            self._start(line, call, now)

    def _start(self, line: "_Line", call: ActivityCall, now: Timestamp) -> None:
        line.free -= 1
        if call.around is not None and call.around.at <= now:  # the slot is free again at the next turn of the loop
            asyncio.get_running_loop().call_soon(self._freed, call, 0.0, now)
            _time_out(call, TimeoutKind.DEADLINE)
            return
        self._attempts.start(call, now)

    def _freed(self, call: ActivityCall, seconds: float, now: Timestamp) -> None:
        line = self._lines[call.executor]
        line.free += 1
        if self.on_room is not None:
            told, self.on_room = self.on_room, None
            told()
        if call.item is not None:
            line.tree.complete(call.item, seconds, now)
            if call.group is not None:
                self._admission.release(call.group, call.item, seconds, now)
                self._serve_opened(now, changed=line)
                return
        if line.queued:
            self._start_what_fits(line, now)

    # --- calls under limits --------------------------------------------------------------------------------------

    def _enqueue_limited(self, line: "_Line", call: ActivityCall, item: Item, limits: Hashable, now: Timestamp) -> None:
        failure = self._limits.failure(call, item, now)
        if failure is not None:
            _fail(call, failure, now)
            return
        call.group = group = self._admission.group(limits, call.executor, lambda: self._limits.bind(call))
        line.queued[item.key] = call
        self._admission.add(group, item, now)
        self._serve_opened(now, changed=line)
        if line.queued.get(item.key) is call:
            self._limit_wait(line, call)

    def _is_admitted(
        self, line: "_Line", call: ActivityCall, group: Group[Executor], item: Item, now: Timestamp
    ) -> bool:
        """Ask the limits of a call that has been selected. One that had rather fail than wait for a breaker fails."""
        refusing = self._admission.admit(group, item, now)
        if isinstance(refusing, BreakerLimit) and had_rather_fail(call):
            self._take_from_queue(line, call)
            _fail(call, failure_of_open_circuit(call, refusing, now), now)
        return refusing is None

    def _learn(self, call: ActivityCall, given: i.Input | None) -> None:
        """Let the breaker of a call learn its outcome, and those that wait for it try again."""
        now = self._clock.now()
        key = self._limits.outcome(call, given, now)
        if key is not None:
            self._admission.reopen(key)
            self._serve_opened(now)

    def _serve_opened(self, now: Timestamp, *, changed: "_Line | None" = None) -> None:
        """Start what fits after limits have opened, or after the line `changed` got a slot or an item."""
        while not self._is_finishing:
            groups = self._admission.opened(now)
            if changed is not None and len(changed.tree):
                # Its slots are scarce: all that may stand for them do so before one is given away.
                for group in groups:
                    if self._lines[group.line] is changed:
                        self._admission.offer(group, now)
            for group in groups:
                self._admission.offer(group, now)
                self._start_what_fits(self._lines[group.line], now)
            if changed is not None:
                self._start_what_fits(changed, now)
            if not self._admission.has_opened:
                break
        self._await_opening(now)

    def _await_opening(self, now: Timestamp) -> None:
        """Keep one timer, for the first group that the passing of time lets try again."""
        opens_at = self._admission.next_opening_at
        if opens_at == self._opens_at:
            return
        self._opens_at = opens_at
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if opens_at is not None and not self._is_finishing:
            delay = min((opens_at - now) / MICROSECONDS_PER_SECOND, _LONGEST_TIMER_SECONDS)
            self._opening = asyncio.get_running_loop().call_later(delay, self._opening_came)

    def _opening_came(self) -> None:
        self._opening = self._opens_at = None
        self._serve_opened(self._clock.now())

    def _serve_soon(self) -> None:
        """Serve all lines at the next turn of the loop: a run that gives up its calls must not start others of them."""
        if not self._will_serve:
            self._will_serve = True
            asyncio.get_running_loop().call_soon(self._serve_all)

    def _serve_all(self) -> None:
        self._will_serve = False
        now = self._clock.now()
        for line in self._lines.values():
            self._serve_opened(now, changed=line)

    # --- time-outs of waiting ------------------------------------------------------------------------------------

    def _limit_wait(self, line: "_Line", call: ActivityCall) -> None:
        """Arm the time-outs that an attempt can meet while it still waits."""
        if not line.slots:
            _logger.warning("activity %s waits for ever: this worker has no %s slots", call.activity, call.executor)
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
        now = self._clock.now()
        if call.group is None:
            return line.tree.remove(call.item, now)
        self._admission.remove(call.group, call.item, now)
        self._serve_soon()
        return True


def slots_of(settings: Settings) -> dict[Executor, int]:
    """Return how many attempts of each kind run at once in this process."""
    return {
        Executor.LOOP: settings.loop_slots,
        Executor.THREAD: settings.thread_slots,
        Executor.PROCESS: settings.process_slots,
        Executor.RAY: settings.ray_slots,
        Executor.DASK: settings.dask_slots,
        Executor.TRANSACTION: settings.transaction_slots,
    }


class _Line:
    """The slots of one executor and those who wait for them."""

    __slots__ = ("free", "queued", "slots", "tree")

    def __init__(self, slots: int) -> None:
        self.slots = self.free = slots
        self.tree: SchedulingTree = default_tree()
        self.queued: dict[Hashable, ActivityCall] = {}

    @property
    def room(self) -> int:
        return self.free - len(self.queued)


_LONGEST_TIMER_SECONDS: Final = 24 * 3600.0
"""Event loops refuse timers that are too far away; the next one is armed when this one fires."""


def _key(call: ActivityCall) -> Hashable:
    """Name a call in its tree. The token tells a run that was lost and claimed again from its stuck former self."""
    return (call.run.run_key, call.step_token, call.operation, call.attempt)


def _item(call: ActivityCall) -> Item:
    created = call.run.created
    return Item(
        key=_key(call),
        priority=call.run.priority if call.options.priority is None else call.options.priority,
        tenant="" if created is None else created.tenant,
        workflow_type=call.workflow,
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


def _fail(call: ActivityCall, failure: Failure, now: Timestamp) -> None:
    call.run.attempt_ended(
        call,
        i.AttemptFailed(
            operation=call.operation,
            attempt=call.attempt,
            failure=failure,
            retry=call.options.retry or NO_RETRY,
            started_at=now,
            heartbeat=call.heartbeat,
        ),
    )


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
