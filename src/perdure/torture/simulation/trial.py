"""A trial: one workload under one plan, from an empty database to a verdict."""

import random
from collections.abc import Sequence

import msgspec

from perdure.authoring.activity_context import Attempt
from perdure.chance import drawn_from
from perdure.configuration import Settings
from perdure.execution.worker import Worker
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.tasks import TaskClaim, parts_of_token
from perdure.kernel.time import timestamp_to_datetime
from perdure.ports.store import Changes
from perdure.stores.memory import MemoryDatabase
from perdure.torture.simulation.canon import Canon, canonical
from perdure.torture.simulation.coverage import Struck, struck_in
from perdure.torture.simulation.driving import Progress
from perdure.torture.simulation.effects import Effect, run_key_of
from perdure.torture.simulation.hosts import Host, Program
from perdure.torture.simulation.kinds import Point
from perdure.torture.simulation.laws import broken_laws
from perdure.torture.simulation.plans import Plan, Strike, StrikeKind
from perdure.torture.simulation.program import Call, end_early
from perdure.torture.simulation.readiness import Readiness
from perdure.torture.simulation.shadow import Shadow
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.times import TrueTimes
from perdure.torture.simulation.workloads import WORKLOADS
from perdure.torture.simulation.workloads.workload import QUEUE
from perdure.torture.simulation.world import Process, World

__all__ = ["EngineNotStartedError", "Trial", "Verdict", "run_trial"]


class EngineNotStartedError(Exception):
    """No engine starts, though nothing strikes: then there is nothing that could be looked at."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a trial: the points that it passed, what was struck, its tables in canonical form, and all that
    is wrong."""

    course: tuple[Point, ...]
    struck: Struck
    canon: Canon
    findings: tuple[str, ...]

    @property
    def points(self) -> int:
        """How many points it had."""
        return len(self.course)


def run_trial(plan: Plan, expected: Canon | None = None) -> Verdict:
    """Run a plan. With `expected` the tables must be equal to those, as far as the workload promises.

    Raises EngineNotStartedError where no engine starts although nothing strikes.
    """
    trial = Trial(plan)
    try:
        return trial.run(expected)
    finally:
        trial.dispose()


class Trial:
    """The parts of one trial, and the glue between them."""

    def __init__(self, plan: Plan) -> None:
        """Prepare; nothing runs yet."""
        self.plan = plan
        self.workload = WORKLOADS[plan.workload]
        self.world = World(plan)
        self.world.trial = self
        self.world.on_strike = self._struck
        self.database = MemoryDatabase()
        self.shadow = Shadow(self.database, self.world.findings.append)
        self.tables = Tables(self.database)
        self.times = TrueTimes(self.world, self.database)
        self.effects: list[Effect] = []
        self.calls: list[Call] = self.workload.program(random.Random(plan.seed))
        self.progress = Progress()
        driver = "worker0" if plan.is_embedded else "client"
        self.programs = {driver: Program(calls=self.calls, progress=self.progress)}
        self.settings = settings = _settings(
            random.Random(plan.seed), is_reference=plan == Plan.reference(plan.workload)
        )
        if plan.is_standby:
            self.settings = settings = _as_standby(settings, random.Random(f"standbys of {plan.seed}"))
        if self.world.is_skewed and settings.active_runs >= _ROOM_FOR_ALL:
            Readiness(self.world, self.database, self.tables)
        self.world.on_commit.append(self._tell_client)
        self._hosts: dict[str, Host] = {}
        self._lives = 0
        self._rests_at = 0
        self._workers: list[Worker] = []
        self.has_started = False

    def run(self, expected: Canon | None) -> Verdict:
        """Let everything happen, then judge."""
        with drawn_from(random.Random(f"names of {self.plan.seed}").randbytes):
            finished = self._live()
        world = self.world
        canon = canonical(self.tables, in_order=self.workload.in_order)
        if finished:
            world.findings += broken_laws(self)
            self.shadow.compare_tables()
            self.shadow.verify(now=self.world.now())
            if expected is not None and self.workload.is_compared and self.keeps_its_course:
                world.findings += canon.differences(expected)
        return Verdict(
            course=tuple(world.course),
            struck=struck_in(world.struck),
            canon=canon,
            findings=tuple(dict.fromkeys(world.findings)),
        )

    @property
    def keeps_its_course(self) -> bool:
        """Whether nobody ended a run before its time, and activities were as quick as the workload wants: else they may
        have exceeded their limits."""
        is_paused = any(strike.kind is StrikeKind.PAUSE for strike in self.plan.strikes)
        is_late = self.workload.is_timed and (is_paused or self.world.is_skewed)
        is_set = self.workload.is_dated and self.world.is_skewed
        return not (is_late or is_set or self.progress.is_hurried)

    def dispose(self) -> None:
        """Let go of every process."""
        for process in self.world.processes:
            process.dispose()
        for worker in self._workers:
            worker.standby.stop()
            for run in worker.active.values():
                run.feed.program.close()
        self.shadow.dispose()

    # --- the course ----------------------------------------------------------------------------------------------

    def _live(self) -> bool:
        """Start all processes and let them work; return whether they came to an end."""
        for number in range(self.plan.workers):
            self._boot(f"worker{number}", is_client=False)
        if self.workload.is_served:
            self._boot(_SERVER, is_client=False)
        if not self.plan.is_embedded:
            self._boot("client", is_client=True)
        finished = self.world.run(self._is_done)
        if finished:
            self._come_to_rest()
        elif not self.has_started and not self.plan.strikes:
            raise EngineNotStartedError("; ".join(self.world.findings))
        else:
            self.world.findings.append(self._stuck())
        return finished

    def settings_of(self, name: str) -> Settings:
        """Return the settings of a process that begins to live."""
        is_server = name == _SERVER
        if not is_server and not (self.workload.is_shared and self._lives % 2 == 0):
            return self.settings
        return msgspec.structs.replace(
            self.settings,
            queues=(QUEUE,),
            only_queues=is_server,
            queue_slots=min(self.settings.active_runs, 8),
            standby=self.settings.standby and not is_server,
        )

    def _boot(self, name: str, *, is_client: bool) -> None:
        self._lives += 1
        process = self.world.add(f"{name}.{self._lives}", is_client=is_client)
        host = self._hosts[name] = Host(self, process, name, self.programs.get(name))
        host.main = process.start(host.live())

    def _tell_client(self) -> None:
        for program in self.programs.values():
            if program.progress.is_waiting:
                self.world.later(self.world.random.choice(_NOTICED_AFTER_SECONDS), program.progress.tell)

    def _is_done(self) -> bool:
        return (
            all(program.progress.is_finished for program in self.programs.values())
            and self.tables.are_closed()
            and not any(process.is_paused for process in self.world.processes if not process.is_dead)
        )

    def _come_to_rest(self) -> None:
        """Let what is late arrive, also what a late strike holds up, then close every engine in an orderly way."""
        world = self.world
        self._rest_in(_REST_SECONDS)
        world.run(lambda: world.now_microseconds >= self._rests_at)
        living = [host for host in self._hosts.values() if host.engine is not None and not host.process.is_dead]
        for host in living:
            if host.engine is not None and host.engine.worker.dispatcher.running:
                world.findings.append(f"{host.process.name}: activities run although every run has ended")
        closings = {host.process: host.process.start(host.close()) for host in living}
        for task in closings.values():
            task.add_done_callback(self._look)
        world.has_changed = True
        if not world.run(lambda: all(task.done() or process.is_dead for process, task in closings.items())):
            world.findings.append("an engine did not close")

    def not_started(self, process: Process, error: Exception) -> None:
        """Note that an engine did not start."""
        self.world.findings.append(f"{process.name}: the engine did not start: {error!r}")

    def remember(self, worker: Worker) -> None:
        """Note a worker whose runs in memory must be let go of in the end, also if its process died."""
        self._workers.append(worker)

    def _rest_in(self, seconds: float) -> None:
        self._rests_at = max(self._rests_at, self.world.now_microseconds + round(seconds * 1_000_000))
        self.world.later(seconds, self._look)

    def _look(self, _done: object = None) -> None:
        self.world.has_changed = True

    def _stuck(self) -> str:
        open_runs = ", ".join(
            f"{run.ref} {run.status} (event {run.sequence}, owner {run.owner}, wake_at {run.wake_at}, "
            f"inbox {len(self.database.inboxes.get(run.run_key, {}))})"
            for run in self.database.runs.values()
            if not run.status.is_closed
        )
        client = (
            "the client has finished" if self.progress.is_finished else f"the client waits: {self.progress.current}"
        )
        return f"the trial did not finish; {client}; open runs: {open_runs or 'none'}"

    def _struck(self, process: Process, strike: Strike) -> None:
        world = self.world
        self.shadow.verify(now=self.world.now())
        name = process.name.partition(".")[0]
        host = self._hosts[name]
        match strike.kind:
            case StrikeKind.CRASH:
                world.has_changed = True
                # Sometimes nobody notices the death: then only the end of its lease frees its runs.
                if world.random.random() < _NOTICED_SHARE:
                    host.die_visibly()
                world.later(strike.seconds, lambda: self._boot(name, is_client=process.is_client))
            case StrikeKind.RESTART:
                host.restart(strike.seconds)
            case StrikeKind.CANCEL | StrikeKind.TERMINATE:
                self._end_a_run(strike)
            case StrikeKind.PAUSE | StrikeKind.OUTAGE | StrikeKind.JUMP:
                pass
        length = 0.0 if strike.kind is StrikeKind.JUMP else strike.seconds
        self._rest_in(length + _REST_SECONDS)
        for delay in _SAFETY_CHECKS_SECONDS:
            world.later(length + delay, self._check_for_news)

    def _end_a_run(self, strike: Strike) -> None:
        """Let another client ask one of the open runs to end."""
        names = sorted({run.ref.id for run in self.database.runs.values() if not run.status.is_closed})
        if not names:
            return
        run_id = random.Random(f"{self.plan.seed}/{strike.at}").choice(names)
        call = end_early(run_id, is_cancelling=strike.kind is StrikeKind.CANCEL, name=f"{strike.kind}@{strike.at}")
        name = f"ender{strike.at}"
        self.programs[name] = Program(calls=[call], progress=Progress(clears_up_after=self.progress))
        self.progress.hurry(self.world.now_microseconds)
        self._boot(name, is_client=True)

    def _check_for_news(self) -> None:
        """Do what a store does now and then in case a notice was lost, as one is when its sender dies."""
        for host in self._hosts.values():
            if host.engine is not None and not host.process.is_dead:
                host.process.loop.call_soon(host.store.on_changes, Changes(everything=True))

    # --- checks while it runs ------------------------------------------------------------------------------------

    def check_in_time(self, attempt: Attempt, process: Process) -> None:
        """Check that an attempt that begins now is in time, unless it was about to when its process stood still."""
        now = timestamp_to_datetime(self.world.now())
        is_resumed = process.resumed_at == self.world.now_microseconds
        if attempt.deadline is not None and attempt.deadline <= now and not is_resumed:
            self._find(attempt, f"begins {now - attempt.deadline} after its deadline")

    def check_planned(self, attempt: Attempt) -> None:
        """Check that what an activity is about to do is durable as a plan, and not yet done."""
        run_key = run_key_of(attempt)
        run = self.database.runs.get(run_key)
        if run is None:  # one that was removed has ended elsewhere, and its process has stood still since
            if run_key not in self.tables.removed:
                self._find(attempt, "has an effect, but its run does not exist")
            return
        failed, is_scheduled, is_settled, is_started, is_deferred, is_task = 0, False, False, False, False, False
        for recorded in self.tables.history(run_key):
            event = recorded.event
            is_deferred &= type(event) is not e.RunForked  # a fork does once more what was left to somebody outside
            if getattr(event, "operation", 0) != attempt.operation:
                continue
            kind = type(event)
            failed += kind is e.ActivityAttemptFailed
            is_scheduled |= kind is e.ActivityScheduled
            is_settled |= kind is e.ActivityCompleted or kind is e.ActivityFailed
            is_started |= isinstance(event, e.ActivityAttemptStarted) and event.attempt == attempt.attempt
            is_deferred |= isinstance(event, e.ActivityDeferred) and event.attempt == attempt.attempt
            is_task |= isinstance(event, e.ActivityDeferred) and event.queue != ""
        if not is_scheduled:
            self._find(attempt, "has an effect before it is durable that it was called")
        if is_task:
            self._check_task(attempt, run_key, is_settled=is_settled)
            return
        if attempt.activity.endswith("once") and not is_started:
            self._find(attempt, "has an effect before the start of this at-most-once attempt is durable")
        of_run, _ = parts_of_token(attempt.fencing_token)
        if run.fencing_token == of_run and run.owner is not None:
            if is_settled:
                self._find(attempt, "has an effect after its outcome was recorded")
            elif is_deferred:
                self._find(attempt, "has an effect after it was left to somebody outside")
            elif attempt.attempt != failed + 1:
                self._find(attempt, f"has an effect after {failed} failed attempts")

    def _check_task(self, attempt: Attempt, run_key: RunKey, *, is_settled: bool) -> None:
        """Check that a task that is about to be done, under a claim that stands, has no outcome yet."""
        row = self.database.tasks.get((run_key, Operation(attempt.operation)))
        _, claim_number = parts_of_token(attempt.fencing_token)
        is_standing = row is not None and (row.attempt, row.claims) == (attempt.attempt, claim_number)
        if row is not None and row.owner is not None and is_standing and is_settled:
            self._find(attempt, "has an effect after its outcome was recorded, and its task still stands")

    def check_owned(self, attempt: Attempt, process: Process) -> None:
        """Check that a worker that has been told of the loss of a run lets its activities have no effect any more."""
        run_key = run_key_of(attempt)
        of_run, claim_number = parts_of_token(attempt.fencing_token)
        as_task = TaskClaim(
            run_key=run_key,
            operation=Operation(attempt.operation),
            attempt=attempt.attempt,
            number=claim_number,
        )
        is_lost = as_task in process.lost_tasks if claim_number else (run_key, of_run) in process.lost
        if is_lost:
            self._find(attempt, "has an effect although its worker knows that the run is lost")

    def _find(self, attempt: Attempt, what: str) -> None:
        self.world.findings.append(
            f"run {attempt.run_id}: activity {attempt.activity} (operation {attempt.operation}, attempt "
            f"{attempt.attempt}) {what}"
        )

    def compare_live_state(self, worker: Worker, ref: RunRef, events: Sequence[RecordedEvent]) -> None:
        """Check that a run's state in memory is what its durable history folds to."""
        generations = self.database.generations.get((ref.namespace, ref.id), {})
        run_key = generations.get(ref.generation)
        run = None if run_key is None else worker.active.get(run_key)
        if not events or run is None or run_key is None or run.state.sequence != events[-1].sequence:
            return  # dropped while it was committed: what is durable is published, and nobody goes on from it
        folded = self.tables.state_at(run_key, run.state.sequence)
        if folded != run.state:
            self.world.findings.append(
                f"run {ref}: its state in memory at event {run.state.sequence} is not its history's"
            )


_SERVER = "server"
"""The process that serves the task queue."""


def _settings(chance: random.Random, *, is_reference: bool) -> Settings:
    """Return settings that drive the engine into its corners, drawn from the plan's seed."""
    if is_reference:
        return Settings(idle_seconds=1.0, blocking_seconds=0.0)
    return Settings(
        blocking_seconds=0.0,
        active_runs=chance.choice((1, 2, 100)),
        idle_seconds=chance.choice((0.05, 1.0, 10.0)),
        history_page=chance.choice((1, 3, 1_000)),
        loads_at_once=chance.choice((1, 8)),
        loop_slots=chance.choice((1, 2, 100)),
        commit_batch=chance.choice((2, 3, 1_000)),
        heartbeat_save_seconds=chance.choice((0.1, 10.0)),
        shutdown_grace_seconds=chance.choice((0.0, 1.0)),
    )


def _as_standby(settings: Settings, chance: random.Random) -> Settings:
    """Have copies kept, and the share of the time without a say: CPU time is another whenever a plan is run again."""
    return msgspec.structs.replace(settings, standby=True, standby_runs=chance.choice((1, 3, 100)), standby_share=1.0)


_ROOM_FOR_ALL = 100
"""In less memory runs wait for each other."""
_REST_SECONDS = 2.0
_NOTICED_AFTER_SECONDS = (0.0, 0.0, 0.001, 0.02)
_NOTICED_SHARE = 0.7
_SAFETY_CHECKS_SECONDS = (1.0, 3.0)
