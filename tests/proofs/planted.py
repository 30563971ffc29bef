"""The breakages: for each subject of the pages what makes it not work. A text must occur exactly once."""

# ruff: noqa: E501 - these are lines of the engine

from typing import Final

from tests.proofs.defect import Defect
from tests.proofs.planted_archives import ARCHIVES
from tests.proofs.planted_authoring import AUTHORING
from tests.proofs.planted_bulk import BULK
from tests.proofs.planted_copies import COPIES
from tests.proofs.planted_evolution import EVOLUTION
from tests.proofs.planted_integrity import INTEGRITY
from tests.proofs.planted_lifecycles import LIFECYCLES
from tests.proofs.planted_listing import LISTING
from tests.proofs.planted_locks import LOCKS
from tests.proofs.planted_messages import MESSAGES
from tests.proofs.planted_payloads import PAYLOADS
from tests.proofs.planted_server import SERVER
from tests.proofs.planted_starts import STARTS
from tests.proofs.planted_testing import TESTING
from tests.proofs.planted_world import WORLD

__all__ = ["PLANTED"]

PLANTED: Final[dict[str, tuple[Defect, ...]]] = {
    **ARCHIVES,
    **AUTHORING,
    **MESSAGES,
    **EVOLUTION,
    **INTEGRITY,
    **TESTING,
    **WORLD,
    **LIFECYCLES,
    **LISTING,
    **LOCKS,
    **COPIES,
    **SERVER,
    # --- the laws of docs/design/promises.md
    "law 1": (
        Defect(
            "kernel.state", "        self.updated_at = at\n", "        self.updated_at = Timestamp(at + id(self))\n"
        ),
    ),
    "law 2": (
        Defect(
            "kernel.state",
            "following.record(recorded.event, recorded.at)",
            "following.record(recorded.event, Timestamp(recorded.at + 1))",
        ),
    ),
    "law 3": (Defect("kernel.state", '"deferrals", "keys",', '"deferrals",'),),
    "law 4": (
        Defect(
            "kernel.state",
            "    for recorded in history:\n        if recorded",
            "    for recorded in list(history)[:40]:\n        if recorded",
        ),
        Defect(
            "execution.active_run",
            "        self._result = result\n        worker",
            "        self._result = result\n        worker.published(self, result.events)\n        worker",
        ),
        Defect(
            "stores.sqlite.segment",
            "        if self._history:\n",
            '        connection.execute("COMMIT")\n        connection.execute("BEGIN IMMEDIATE")\n        if self._history:\n',
        ),
    ),
    "law 5": (
        Defect(
            "kernel.state",
            "    following = state.copy()\n    for",
            "    following = state.copy()\n    following.activities_finished = 0\n    for",
        ),
    ),
    "law 6": (
        Defect(
            "kernel.effects",
            "state.activities_finished / (state.activities_scheduled + 1)",
            "state.activities_finished / state.activities_scheduled",
        ),
        Defect(
            "kernel.effects",
            "len(state.finished_stages) / (len(set(declared)) + 1)",
            "len(state.finished_stages) / len(set(declared))",
        ),
    ),
    # --- options of an activity
    "activity.name": (
        Defect(
            "authoring.activity",
            'require_definition("activity", function, name)',
            'require_definition("activity", function, None)',
        ),
    ),
    "activity.retry": (Defect("authoring.activity", "retry=retry or DEFAULT_RETRY,", "retry=DEFAULT_RETRY,"),),
    "activity.timeout": (
        Defect(
            "authoring.activity_options",
            'start_to_close_microseconds=_limit(activity_name, "timeout", timeout)',
            "start_to_close_microseconds=None",
        ),
    ),
    "activity.schedule_to_start": (
        Defect(
            "authoring.activity_options",
            'schedule_to_start_microseconds=_limit(activity_name, "schedule_to_start", schedule_to_start)',
            "schedule_to_start_microseconds=None",
        ),
    ),
    "activity.schedule_to_close": (
        Defect(
            "authoring.activity_options",
            'schedule_to_close_microseconds=_limit(activity_name, "schedule_to_close", schedule_to_close)',
            "schedule_to_close_microseconds=None",
        ),
    ),
    "activity.heartbeat_timeout": (
        Defect(
            "authoring.activity_options",
            'heartbeat_microseconds=_limit(activity_name, "heartbeat_timeout", heartbeat_timeout)',
            "heartbeat_microseconds=None",
        ),
    ),
    "activity.queue": (
        Defect(
            "authoring.activity_options",
            "        queue=placement.queue,\n",
            "        queue=None,\n",
        ),
    ),
    "activity.labels": (
        Defect("authoring.activity_options", "        labels=placement.labels,\n", "        labels=None,\n"),
        Defect("execution.tasks", "not options.sticky and self._has(options.labels)", "not options.sticky"),
    ),
    "activity.sticky": (
        Defect("authoring.activity_options", "        sticky=placement.sticky,\n", "        sticky=None,\n"),
        Defect("execution.call", "if options.sticky else None", "if not options.sticky else None"),
    ),
    "activity.priority": (
        Defect(
            "authoring.activity_options",
            "        priority=priority,\n        executor=_executor",
            "        priority=None,\n        executor=_executor",
        ),
    ),
    "activity.executor": (
        Defect(
            "authoring.activity",
            "executor=executor or _default_executor(function),",
            "executor=_default_executor(function),",
        ),
    ),
    "activity.expected_duration": (
        Defect(
            "authoring.activity_options",
            'expected_duration_microseconds=_limit(activity_name, "expected_duration", expected_duration)',
            "expected_duration_microseconds=None",
        ),
    ),
    "activity.idempotency_key": (
        Defect(
            "authoring.activity_options",
            "        idempotency_key=idempotency_key,\n",
            "        idempotency_key=None,\n",
        ),
    ),
    "activity.at_most_once": (
        Defect("authoring.activity_options", "        at_most_once=at_most_once,\n", "        at_most_once=None,\n"),
    ),
    "activity.resources": (
        Defect("authoring.activity_options", "resources=_resources(activity_name, resources)", "resources=None"),
    ),
    "activity.max_concurrent": (
        Defect("authoring.activity", "self.max_concurrent = max_concurrent", "self.max_concurrent = None"),
    ),
    "activity.rate_limit": (Defect("authoring.activity_options", "rate_limit=rate_limit,", "rate_limit=None,"),),
    "activity.circuit_breaker": (
        Defect("authoring.activity_options", "circuit_breaker=circuit_breaker,", "circuit_breaker=None,"),
    ),
    "activity.compensate": (
        Defect("authoring.activity", "self.compensation = compensate", "self.compensation = None"),
    ),
    "activity.fallback": (Defect("authoring.activity", "self.fallback = fallback", "self.fallback = None"),),
    "options": (
        Defect(
            "authoring.activity",
            "return BoundActivity(self, override)",
            "return BoundActivity(self, ActivityOptions())",
        ),
    ),
    # --- inside an activity
    "current_attempt": (
        Defect(
            "authoring.activity_context",
            "    return running.describe()",
            "    return running.describe().__class__(run_id='', namespace='', workflow='', activity='', operation=0, attempt=0, idempotency_key='', fencing_token=0, scheduled_at=datetime.min)",
        ),
    ),
    "heartbeat": (
        Defect(
            "authoring.activity_context",
            '    running.beat(encode_value(details, Any, subject="heartbeat details"))',
            "    encode_value(details, Any)",
        ),
    ),
    # --- retry policies
    "Retry.attempts": (Defect("kernel.retry", "attempt >= policy.attempts:", "attempt > policy.attempts:"),),
    "Retry.backoff": (
        Defect(
            "kernel.backoff",
            "        case Fixed() | Linear() | Exponential():\n            return _steady_delay(backoff, attempt)",
            "        case Fixed() | Linear() | Exponential():\n            return 7",
        ),
        Defect(
            "kernel.retry",
            "backoff: Backoff = Exponential(initial_microseconds=1_000_000",
            "backoff: Backoff = Exponential(initial_microseconds=2_000_000",
        ),
    ),
    "Retry.non_retryable": (Defect("kernel.retry", "if policy.non_retryable and excludes", "if False and excludes"),),
    "Retry.budget": (Defect("kernel.retry", "if policy.budget is not None and elapsed", "if False and elapsed"),),
    # --- options of a workflow
    "workflow.name": (
        Defect(
            "authoring.workflow",
            'require_definition("workflow", function, name)',
            'require_definition("workflow", function, None)',
        ),
    ),
    "workflow.priority": (
        Defect(
            "client.starting",
            "chosen = workflow.priority if request.priority is None",
            "chosen = Priority.NORMAL if request.priority is None",
        ),
    ),
    "workflow.execution_timeout": (
        Defect(
            "client.starting",
            "        workflow.execution_timeout_microseconds\n        if request.execution_timeout is None",
            "        None\n        if request.execution_timeout is None",
        ),
    ),
    "workflow.retry": (Defect("authoring.workflow", "        self.retry = retry\n", "        self.retry = None\n"),),
    "workflow.stages": (Defect("client.starting", "stages=workflow.stages,", "stages=(),"),),
    "workflow.max_concurrent_activities": (
        Defect(
            "authoring.workflow",
            "self.max_concurrent_activities = max_concurrent_activities",
            "self.max_concurrent_activities = None",
        ),
    ),
    "workflow.on_failure": (
        Defect("authoring.workflow", "if self.on_failure is OnFailure.COMPENSATE and journal", "if journal"),
    ),
    # --- the context
    "ctx.info": (Defect("authoring.context", "        tenant=created.tenant,\n", '        tenant="",\n'),),
    "ctx.logger": (
        Defect(
            "authoring.run_logger",
            "return not self._journal.replaying and super().isEnabledFor(level)",
            "return super().isEnabledFor(level)",
        ),
    ),
    "ctx.now": (
        Defect(
            "authoring.context",
            "return timestamp_to_datetime(self._journal.loop.now)",
            'return datetime.now(__import__("datetime").UTC)',
        ),
    ),
    "ctx.random": (
        Defect(
            "kernel.journal",
            "self._random = random.Random(self.created.seed)",
            "self._random = random.Random()",
        ),
    ),
    "ctx.uuid4": (
        Defect(
            "authoring.context",
            "return uuid.UUID(int=self._journal.random.getrandbits(128), version=4)",
            "return uuid.uuid4()",
        ),
    ),
    "ctx.sleep": (
        Defect(
            "authoring.context",
            "        await asyncio.sleep(duration.total_seconds() if isinstance(duration, timedelta) else duration)",
            "        return",
        ),
    ),
    "ctx.sleep_until": (
        Defect("authoring.context", "await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))", "return"),
    ),
    "ctx.stage": (
        Defect(
            "authoring.stages",
            "operation=operation, name=name, deadline_at=ends_at,",
            'operation=operation, name="", deadline_at=ends_at,',
        ),
    ),
    "ctx.wait_for": (
        Defect(
            "authoring.context",
            'return cast("T", decode_value(body, signal.type, subject=f"signal {signal.name!r}"))',
            'return cast("T", None)',
        ),
    ),
    "ctx.signal": (
        Defect(
            "authoring.sent_signal",
            "operation=operation, target=target, name=signal.name, body=encoded",
            "operation=operation, target=target, name=signal.name, body=encode_value(None)",
        ),
        Defect("kernel.consequences", "closed=closed", "closed=delivered"),
        Defect(
            "kernel.message_rules",
            "        step.record(e.SignalAnswered(operation=message.operation, outcome=message.outcome))\n",
            "        pass\n",
        ),
    ),
    "ctx.get": (Defect("authoring.context", "value = self._journal.keys.get(key)", "value = None"),),
    "ctx.set": (Defect("authoring.context", "        journal.keys[key] = encoded\n", ""),),
    "ctx.delete": (Defect("authoring.context", "if journal.keys.pop(key, None) is not None:", "if False:"),),
    "ctx.set_labels": (
        Defect(
            "authoring.context",
            "labels=given, location=journal.location()))",
            "labels={}, location=journal.location()))",
        ),
    ),
    "ctx.set_priority": (
        Defect("kernel.expansion", "old=state.priority, new=command.new,", "old=state.priority, new=state.priority,"),
    ),
    "ctx.trace_event": (Defect("kernel.expansion", "attributes=command.attributes", "attributes={}"),),
    "ctx.map": (
        Defect("authoring.context", "bound = asyncio.Semaphore(limit) if limit is not None else None", "bound = None"),
    ),
    "ctx.run_child": (Defect("authoring.context", "return await child.result()", 'return cast("R", None)'),),
    "ctx.start_child": (
        Defect(
            "authoring.child_run",
            "return ChildRun(journal, workflow, child, journal.wait_for_child(operation))",
            'return ChildRun(journal, workflow, RunRef(id="other"), journal.wait_for_child(operation))',
        ),
    ),
    "ctx.start_child.id": (
        Defect(
            "authoring.child_run",
            "id=id or _child_id(journal.created.ref, operation))",
            "id=_child_id(journal.created.ref, operation))",
        ),
    ),
    "ctx.start_child.policy": (
        Defect(
            "authoring.child_run",
            "policy=chosen_policy,",
            "policy=e.ParentClosePolicy.TERMINATE,",
        ),
    ),
    "ctx.start_child.priority": (Defect("authoring.child_run", "priority=chosen_priority,", "priority=None,"),),
    "ctx.start_child.labels": (Defect("authoring.child_run", "labels=chosen_labels,", "labels={},"),),
    "ctx.side_effect": (
        Defect(
            "authoring.context",
            "            value = NULL if journal.replaying else encode_value",
            "            value = encode_value",
        ),
        Defect(
            "authoring.context",
            "value = journal.recorded_side_effect(operation)\n        if value is None:\n            value = NULL if journal.replaying else encode_value",
            "value = None\n        if value is None:\n            value = encode_value",
        ),
    ),
    "ctx.suspend": (Defect("authoring.context", "        await journal.wait_for_resumption()\n", ""),),
    "ctx.continue_as_new": (
        Defect("kernel.coroutine_program", "carried_state=dict(journal.keys),", "carried_state={},"),
    ),
    "ctx.cancel_requested": (Defect("authoring.context", "return self._journal.cancel is not None", "return False"),),
    "ctx.patched": (
        Defect("authoring.patches", "new_path = not journal.replaying or patch in journal.patches", "new_path = True"),
    ),
    "ctx.query": (Defect("authoring.context", "            self._journal.query_handlers[name] = handler\n", ""),),
    "ctx.add_compensation": (
        Defect(
            "authoring.compensations",
            "    journal.compensations.append(\n        Compensation(",
            "    (\n        Compensation(",
        ),
    ),
    "ctx.compensate": (Defect("authoring.compensations", "if steps else 0", "if False else 0"),),
    # --- plain asyncio in workflows
    "asyncio.sleep": (
        Defect(
            "kernel.loop",
            "        elif self._timers is None:\n            raise RunEvicted\n",
            "        elif True:\n            self._ready.append(handle)\n",
        ),
    ),
    "asyncio.gather": (
        Defect(
            "authoring.activity",
            "        operation = journal.next_operation()\n        journal.give(",
            "        while journal.waiters:\n            await asyncio.sleep(1)\n        operation = journal.next_operation()\n        journal.give(",
        ),
    ),
    "asyncio.TaskGroup": (
        Defect(
            "kernel.loop",
            "name=name, context=context)\n\n    def __hash__(self) -> int:\n        return self._number\n",
            "name=name, context=context)\n\n    def __hash__(self) -> int:\n        return -self._number * 7919 % 10007\n",
        ),
        Defect("kernel.loop", "        tasks = self._tasks\n", "        tasks = self._tasks\n        task.cancel()\n"),
    ),
    "asyncio.timeout": (
        Defect(
            "kernel.journal",
            "            self._commands.append(c.CancelTimer(operation=operation, location=self.location()))",
            "            pass",
        ),
        Defect("kernel.journal", "            self.loop.run_soon(callback)", "            pass"),
    ),
    "asyncio.wait": (
        Defect("kernel.coroutine_program", "        future.set_result(event.result)", "        self_ = 0"),
        Defect("kernel.journal", "            self.loop.run_soon(callback)", "            pass"),
    ),
    "asyncio.Queue": (
        Defect(
            "kernel.loop",
            "        handle = asyncio.Handle(callback, args, self, context)\n        self._ready.append(handle)\n",
            "        handle = asyncio.Handle(callback, args, self, context)\n",
        ),
    ),
    "asyncio.Event": (Defect("kernel.loop", "handle = ready.popleft()", "handle = ready.pop()"),),
    # --- the client
    "engine.start": (
        Defect(
            "client.beginning",
            "            return Run(gateway, ref, run_key=existing.run_key, signature=workflow.signature)",
            "            raise RunExistsError",
        ),
        Defect(
            "client.starting",
            "        wake_at=wake_at,\n        request_id",
            "        wake_at=None,\n        request_id",
        ),
    ),
    "engine.get_run": (
        Defect("client.client", "signature = None if workflow is None else workflow.signature", "signature = None"),
    ),
    "engine.schedules": (Defect("timekeeping.decisions", "or due_at > self._now:", "or True:"),),
    "SyncEngine": (Defect("client.sync", "    def count_runs(self,", "    def counted_runs(self,"),),
    # --- a run
    "run.id": (Defect("client.handle", "return self._ref.id", 'return ""'),),
    "run.namespace": (Defect("client.handle", "return self._ref.namespace", 'return ""'),),
    "run.result": (Defect("client.handle", "return self._signature.decode_result(result)", "return None"),),
    "run.result.timeout": (
        Defect(
            "client.handle",
            "async with asyncio.timeout(seconds):",
            "async with asyncio.timeout(None):",
        ),
    ),
    "run.describe": (
        Defect(
            "client.handle",
            "            raise missing(self._ref)\n        return summary",
            "            raise missing(self._ref)\n        return __import__('msgspec').structs.replace(summary, stage='', progress=0.0)",
        ),
    ),
    "run.history": (
        Defect(
            "client.handle",
            "            for recorded in page:\n                yield recorded\n            if",
            "            for recorded in page[1:]:\n                yield recorded\n            if",
        ),
    ),
    "run.watch": (
        Defect(
            "client.following",
            "                    after = recorded.sequence\n",
            "                    after = recorded.sequence + 1\n",
        ),
        Defect("client.following", "    return await next_generation(store, summary)", "    return None"),
    ),
    "run.query": (Defect("client.handle", "return journal.answer(name, args, kwargs)", "return None"),),
    "run.query.durable": (
        Defect("execution.viewing", "        if not run.is_settled:\n", "        if False:\n"),
        Defect("execution.active_run", "if self._dropped or self.viewing is not None:", "if self._dropped:"),
    ),
    "run.signal": (
        Defect(
            "client.handle", "m.SignalMessage(name=signal.name, body=encoded", "m.SignalMessage(name='', body=encoded"
        ),
    ),
    "run.signal.request_id": (
        Defect(
            "client.handle",
            'request = require_text(request_id, "request_id") if request_id else ""',
            'request = ""',
        ),
    ),
    "run.cancel": (
        Defect(
            "client.handle",
            "m.CancelMessage(reason=_reason(reason), by=_by(by), grace_until=until, grace_microseconds=length)",
            "m.TerminateMessage(reason=_reason(reason), by=_by(by))",
        ),
    ),
    "run.cancel.grace": (
        Defect("client.handle", "until = None if length is None else", "until = None if length else"),
    ),
    "run.terminate": (
        Defect(
            "client.handle",
            "m.TerminateMessage(reason=_reason(reason), by=_by(by))",
            "m.CancelMessage(reason=_reason(reason))",
        ),
    ),
    "run.suspend": (
        Defect("kernel.message_rules", "step.record(e.RunSuspended(reason=message.reason, by=message.by))", "pass"),
    ),
    "run.resume": (Defect("kernel.message_rules", "step.record(e.RunResumed(by=message.by))", "pass"),),
    "run.set_priority": (
        Defect(
            "kernel.message_rules",
            "new=message.new, reason=message.reason, by=message.by",
            "new=step.state.priority, reason='', by=''",
        ),
    ),
    **STARTS,
    **BULK,
    **PAYLOADS,
}
