"""Bugs of the kernel and of what workflow code stands on."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]


def _mutant(name: str, breaks: str, module: str, old: str, new: str, *workloads: str) -> Mutant:
    return Mutant(name=name, breaks=breaks, module=f"perdure.{module}", old=old, new=new, workloads=workloads)


_ADVANCE: Final = "kernel.advance"
_INPUTS: Final = "kernel.input_rules"
_MESSAGES: Final = "kernel.message_rules"
_CONSEQUENCES: Final = "kernel.consequences"
_EFFECTS: Final = "kernel.effects"
_PROGRAM: Final = "kernel.program"
_COROUTINE: Final = "kernel.coroutine_program"
_JOURNAL: Final = "kernel.journal"
_COMPENSATIONS: Final = "authoring.compensations"
_PATCHES: Final = "authoring.patches"

PLANTED: Final = (
    # --- outcomes and retries ------------------------------------------------------------------------------------
    _mutant(
        "a failed attempt is counted twice",
        "P3: each attempt has its number",
        _EFFECTS,
        "activity.attempt = event.attempt + 1",
        "activity.attempt = event.attempt + 2",
        "retries",
    ),
    _mutant(
        "a retry is made at once",
        "P4: not before its recorded time",
        _INPUTS,
        "next_attempt_at=Timestamp(step.at + decision.delay_microseconds)",
        "next_attempt_at=step.at",
        "retries",
    ),
    _mutant(
        "one attempt more is made than the policy allows",
        "P7: the course is the policy's",
        "kernel.retry",
        "attempt >= policy.attempts:",
        "attempt > policy.attempts:",
        "retries",
    ),
    _mutant(
        "the deadline of a call does not count from the first attempt",
        "P7: a limit spans all attempts",
        "kernel.expansion",
        "deadline_at=None if limit is None else Timestamp(at + limit),",
        "deadline_at=None,",
        "timeouts",
    ),
    _mutant(
        "what a heartbeat said is lost with its attempt",
        "P1: recorded details reach the next attempt",
        _EFFECTS,
        "        activity.heartbeat = event.heartbeat\n",
        "        pass\n",
        "heartbeats",
    ),
    _mutant(
        "a given up activity runs on",
        "P10: nothing runs after its outcome",
        _CONSEQUENCES,
        "        step.result.to_stop.append(event.operation)",
        "        pass",
        "giving_up",
    ),
    _mutant(
        "a run that ends leaves its pending activities without an outcome",
        "P3: one outcome per step",
        "kernel.expansion",
        "for o in state.activities]",
        "for o in ()]",
        "limited",
        "terminated",
    ),
    # --- time ----------------------------------------------------------------------------------------------------
    _mutant(
        "a timer fires early",
        "P4: never early",
        _ADVANCE,
        "if due_at <= at]",
        "if due_at <= at + 1_000_000]",
        "timers",
    ),
    _mutant(
        "timers that are due together fire newest first",
        "P7: one order, whenever they are looked at",
        _ADVANCE,
        "in sorted((d, o) for o, d in state.timers.items())",
        "in sorted(((d, o) for o, d in state.timers.items()), reverse=True)",
        "alarms",
    ),
    _mutant(
        "the wake-up for a retry that comes soon is forgotten",
        "P4: never lost",
        "kernel.state",
        "if moment > now]",
        "if moment > now + 3_000_000]",
        "retries",
        "crowd",
    ),
    _mutant(
        "the execution timeout is ignored",
        "P4: a deadline is never lost",
        _ADVANCE,
        "deadline is not None and deadline.at <= at:",
        "deadline is not None and deadline.at < 0:",
        "limited",
    ),
    _mutant(
        "the grace of a cancellation never ends",
        "P10: a cancellation ends the run",
        _ADVANCE,
        "cancel.grace_until is not None and cancel.grace_until <= at:",
        "cancel.grace_until is not None and cancel.grace_until < 0:",
        "stubborn",
    ),
    # --- messages ------------------------------------------------------------------------------------------------
    _mutant(
        "cancellation is delivered again",
        "P10: delivered once",
        _MESSAGES,
        "if step.state.cancel is not None or ",
        "if ",
        "cancelled_twice",
    ),
    _mutant(
        "a cancellation does not reach the code",
        "P10: delivered once",
        _COROUTINE,
        "            self.journal.main.cancel(event.reason or None)",
        "            pass",
        "cancelled",
    ),
    _mutant(
        "the newest signal is consumed first",
        "P9: in order",
        _JOURNAL,
        "return waiting.popleft() if waiting else None",
        "return waiting.pop() if waiting else None",
        "signals",
        "suspended",
    ),
    _mutant(
        "a message that was recorded stays in the inbox",
        "P9: consumed once",
        _INPUTS,
        "        step.result.consumed.append(given.position)",
        "        pass",
        "players",
        "late_signals",
    ),
    # --- suspension, generations ---------------------------------------------------------------------------------
    _mutant(
        "what a suspended run missed is lost",
        "P9: nothing acknowledged is lost",
        _PROGRAM,
        "            self.held.append(event)\n",
        "            pass\n",
        "suspended",
    ),
    _mutant(
        "a suspended run's code goes on",
        "P7: a suspended run does nothing",
        _PROGRAM,
        "if self.held or status is RunStatus.SUSPENDED:",
        "if False:",
        "self_suspended",
        "suspended",
    ),
    _mutant(
        "continue-as-new loses the signals nobody waited for",
        "P12: one step with the end of the generation",
        _COROUTINE,
        "carried_signals=journal.unconsumed_signals(),",
        "carried_signals=(),",
        "generations",
    ),
    _mutant(
        "continue-as-new loses the inbox",
        "P12: one step with the end of the generation",
        _CONSEQUENCES,
        "    step.result.moves_inbox_to = key\n",
        "",
        "hasty_generations",
        "generations",
    ),
    _mutant(
        "continue-as-new loses the state",
        "P12: one step with the end of the generation",
        _COROUTINE,
        "carried_state=dict(journal.keys),",
        "carried_state={},",
        "generations",
    ),
    _mutant(
        "the next try of a workflow begins at once",
        "P4: not before its recorded time",
        _CONSEQUENCES,
        "step.result.creations.append(_creation(key, created, step.at, wake_at=wake_at))",
        "step.result.creations.append(_creation(key, created, step.at, wake_at=step.at))\n"
        "    created = step.result.creations[-1].created\n"
        '    msgspec.structs.force_setattr(created.event, "start_at", None)',
        "second_try",
    ),
    # --- replay --------------------------------------------------------------------------------------------------
    _mutant(
        "a side effect is computed anew on replay",
        "P8: replay performs nothing",
        _JOURNAL,
        "return self._recorded_side_effects.pop(operation, None)",
        "return None",
        "keeping",
    ),
    _mutant(
        "a patch marker is decided anew on replay",
        "P8: replay takes the recorded path",
        _PATCHES,
        "new_path = not journal.replaying or patch in journal.patches",
        "new_path = not journal.replaying",
        "patched",
    ),
    _mutant(
        "a marker that takes no number is asked for with one on replay",
        "P8: replay takes the recorded path",
        _PATCHES,
        "deprecated=recorded is not False",
        "deprecated=recorded is None",
        "patched",
    ),
    _mutant(
        "random numbers differ on replay",
        "P8: same history, same course",
        _JOURNAL,
        "self._random = random.Random(self.created.seed)",
        "self._random = random.Random()",
        "keeping",
    ),
    # --- compensation, children ----------------------------------------------------------------------------------
    _mutant(
        "compensations run oldest first",
        "P10: in reverse",
        _COMPENSATIONS,
        "list(reversed(steps))",
        "list(steps)",
        "compensated",
        "compensation",
    ),
    _mutant(
        "a compensation is run twice",
        "P10: one outcome each",
        _COMPENSATIONS,
        "            await step.perform()\n",
        "            await step.perform()\n            await step.perform()\n",
        "compensated",
    ),
    _mutant(
        "a child's result does not reach its parent",
        "P12: messages are part of the step",
        _CONSEQUENCES,
        "        message = m.ChildCompletedMessage(\n",
        "        return\n        message = m.ChildCompletedMessage(\n",
        "children",
    ),
    _mutant(
        "a child is cancelled that was to live on",
        "P12: what the parent recorded happens, and no more",
        _CONSEQUENCES,
        "if child.policy is e.ParentClosePolicy.ABANDON:",
        "if False:",
        "leaving",
        "children",
    ),
    # --- updates -------------------------------------------------------------------------------------------------
    _mutant(
        "an update that waits for its handler leaves the inbox",
        "P1: what was taken in is durable",
        "kernel.update_rules",
        "    if verdict is Answer.WAITS:\n",
        "    if verdict is Answer.WAITS:\n        _consume(step, given)\n",
        "updated",
    ),
    _mutant(
        "an update that came with the start is forgotten by a reload",
        "P1: what was taken in is durable",
        "kernel.replay",
        "            let_carried_updates_wait(created, self.state, self.feed)\n",
        "            pass\n",
        "updated",
        "rolling",
    ),
    _mutant(
        "an update that is made again in the next generation is handled again",
        "P2: one request, one effect",
        "client.updating",
        'request_of_update(update_id) if self.is_repeatable else ""',
        '""',
        "adding_up",
    ),
    _mutant(
        "an update that is made again is answered by the generation that is there now",
        "P2: one request, one answer",
        "client.updating",
        "row = await self.gateway.store.find(taker)",
        "row = await self.gateway.store.find(self.ref)",
        "adding_up",
    ),
    # --- suspended before the begin ------------------------------------------------------------------------------
    _mutant(
        "a run is not suspended before it has begun",
        "P10: nothing goes on against an order",
        _MESSAGES,
        "    if step.state.status is not RunStatus.SUSPENDED:\n",
        "    if step.state.status is RunStatus.RUNNING:\n",
        "held_back",
    ),
    _mutant(
        "a run that is resumed before it has begun counts as running",
        "P13: progress resumes",
        _EFFECTS,
        "    if state.started_at is None:\n        state.status = RunStatus.CREATED\n",
        "    pass\n",
        "held_back",
    ),
    # --- declared errors -----------------------------------------------------------------------------------------
    _mutant(
        "a declared error is caught only where it is lived, not on the replay",
        "P7: recovery equals uninterrupted execution",
        "authoring.activity",
        "    error = _error_class(failure, activity.raises)(\n",
        "    live = (journal := current_journal()) is None or not journal.replaying\n"
        "    error = _error_class(failure, activity.raises if live else {})(\n",
        "catching",
    ),
    # --- conditions ----------------------------------------------------------------------------------------------
    _mutant(
        "a condition that comes true is not noticed",
        "P13: progress resumes",
        "kernel.conditions",
        "if not coming_true.done() and self._is_to_wake(condition):",
        "if not coming_true.done() and False:",
        "sharing",
    ),
    _mutant(
        "conditions are not asked while a history is replayed",
        "P7: recovery equals uninterrupted execution",
        "kernel.conditions",
        "if not coming_true.done() and self._is_to_wake(condition):",
        "if not coming_true.done() and not self._journal.replaying and self._is_to_wake(condition):",
        "sharing",
    ),
)
