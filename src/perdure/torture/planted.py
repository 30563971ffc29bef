"""The planted bugs: one change of the engine's text each, which the simulation must find.

A text that no longer occurs exactly once is reported as a control that did not fail: whoever changes that place of the
engine changes the entry here with it. `workloads` are those in which the bug shows soonest; without any all are tried.
"""

from typing import Final

import msgspec

__all__ = ["PLANTED", "Mutant"]


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A bug: in `module` the text `old` becomes `new`."""

    name: str
    module: str
    old: str
    new: str
    workloads: tuple[str, ...] = ()


def _mutant(name: str, module: str, old: str, new: str, *workloads: str) -> Mutant:
    return Mutant(name=name, module=f"perdure.{module}", old=old, new=new, workloads=workloads)


_ADVANCE: Final = "kernel.advance"
_INPUTS: Final = "kernel.input_rules"
_MESSAGES: Final = "kernel.message_rules"
_CONSEQUENCES: Final = "kernel.consequences"
_EFFECTS: Final = "kernel.effects"
_PROGRAM: Final = "kernel.program"
_JOURNAL: Final = "kernel.coroutine_program"
_RUN: Final = "execution.active_run"
_MAIL: Final = "execution.mail"
_CLAIMS: Final = "execution.claims"
_WRITES: Final = "stores.memory.writes"
_STORE: Final = "stores.memory.store"

PLANTED: Final = (
    # --- nothing before it is durable ----------------------------------------------------------------------------
    _mutant(
        "an effect happens before its transition is durable",
        _RUN,
        "        self._committing = True\n        self._result = result\n",
        "        self._committing = True\n        self._result = result\n"
        "        for operation in result.to_start:\n            self._start(state.activities[operation])\n",
        "sequential",
    ),
    _mutant(
        "an at-most-once attempt starts before its start is durable",
        _RUN,
        "if call.options.at_most_once and not activity.attempt_started:",
        "if False:",
        "at_most_once",
    ),
    _mutant(
        "an at-most-once attempt whose worker died is made again",
        _RUN,
        "            if activity.attempt_started:\n",
        "            if False:\n",
        "at_most_once",
    ),
    _mutant(
        "a message is acknowledged before it is durable",
        _RUN,
        "        self._replies.append((message, reply))\n        self.receive(message)\n",
        "        reply(None)\n        self.receive(message)\n",
        "signals",
    ),
    # --- retries, late outcomes ----------------------------------------------------------------------------------
    _mutant(
        "a failed attempt is counted twice",
        _EFFECTS,
        "activity.attempt = event.attempt + 1",
        "activity.attempt = event.attempt + 2",
        "retries",
    ),
    _mutant(
        "a retry is made at once",
        _INPUTS,
        "next_attempt_at=Timestamp(step.at + decision.delay_microseconds)",
        "next_attempt_at=step.at",
        "retries",
    ),
    _mutant(
        "a retry that was waited for is forgotten when the run is loaded",
        _RUN,
        "elif activity.next_attempt_at is None or activity.next_attempt_at <= now:",
        "elif activity.next_attempt_at is None and not activity.last_failure:",
        "retries",
    ),
    _mutant(
        "a retry that is due is started while its outcome waits",
        _RUN,
        "if state.retries and not self._inputs:",
        "if state.retries:",
        "crowd",
        "retries",
    ),
    _mutant(
        "a pending activity is not started when the run is loaded",
        _RUN,
        "            elif activity.next_attempt_at is None or activity.next_attempt_at <= now:\n"
        "                self._start(activity)",
        "            elif activity.next_attempt_at is not None and activity.next_attempt_at <= now:\n"
        "                self._start(activity)",
        "sequential",
    ),
    _mutant(
        "a given up activity runs on",
        _CONSEQUENCES,
        "        step.result.to_stop.append(event.operation)",
        "        pass",
        "giving_up",
    ),
    # --- timers --------------------------------------------------------------------------------------------------
    _mutant(
        "a timer fires early",
        _ADVANCE,
        "if due_at <= at]",
        "if due_at <= at + 1_000_000]",
        "timers",
    ),
    _mutant(
        "a timer is computed anew from the time of its run's loading",
        _CLAIMS,
        "        worker.adopt(run)\n",
        "        worker.adopt(run)\n"
        "        late = worker.clock.now() - state.updated_at\n"
        "        state.timers = {o: Timestamp(d + late) for o, d in state.timers.items()}\n",
        "timers",
    ),
    _mutant(
        "a released run forgets its timer",
        _RUN,
        "wake_at=self.state.next_wake_at(_AT_ANY_TIME)",
        "wake_at=None",
        "timers",
        "late_signals",
    ),
    _mutant(
        "a released run forgets a retry that is just due",
        "kernel.state",
        "if moment > now]",
        "if moment > now + 3_000_000]",
        "retries",
        "crowd",
    ),
    # --- messages ------------------------------------------------------------------------------------------------
    _mutant(
        "inbox rows are not deleted",
        _WRITES,
        "        entry = inbox.pop(position, None)\n",
        "        entry = None\n",
        "signals",
        "players",
    ),
    _mutant(
        "a message id that waits is delivered again",
        _WRITES,
        "if (run.run_key, entry.message_id) not in database.message_ids:",
        "if True:",
        "doubled",
    ),
    _mutant(
        "a release that meets a message loses the wake-up",
        _WRITES,
        "    if database.inboxes.get(run.run_key):\n",
        "    if False:\n",
        "late_signals",
        "self_suspended",
        "crowd",
    ),
    _mutant(
        "a message to a run that nobody owns does not wake it",
        _WRITES,
        "        if run.owner is None:\n            wake(database, run, write.at, news)\n",
        "        if False:\n            wake(database, run, write.at, news)\n",
        "late_signals",
        "children",
    ),
    _mutant(
        "messages of a dropped run are lost",
        _MAIL,
        "        for arrived, reply in unanswered:\n",
        "        for arrived, reply in unanswered:\n            reply(None)\n            continue\n",
        "signals",
        "late_signals",
        "hasty_generations",
    ),
    _mutant(
        "a signal overtakes one in the inbox",
        _MAIL,
        "run.state.closed_at is None and not run.inbox_is_unread:",
        "run.state.closed_at is None:",
        "hasty_generations",
    ),
    _mutant(
        "the inbox is handed to a run twice",
        _MAIL,
        "if entry.position > run.inbox_position:",
        "if True:",
        "players",
        "signals",
    ),
    _mutant(
        "cancellation is delivered again",
        _MESSAGES,
        "if step.state.cancel is not None or ",
        "if ",
        "cancelled_twice",
    ),
    _mutant(
        "a cancellation does not reach the code",
        _JOURNAL,
        "            self._main.cancel(event.reason or None)",
        "            pass",
        "cancelled",
    ),
    # --- suspension, generations ---------------------------------------------------------------------------------
    _mutant(
        "what a suspended run missed is lost",
        _PROGRAM,
        "            self.held.append(event)\n",
        "            pass\n",
        "suspended",
    ),
    _mutant(
        "a suspended run's code goes on",
        _PROGRAM,
        "if self.held or status is RunStatus.SUSPENDED:",
        "if False:",
        "self_suspended",
        "suspended",
    ),
    _mutant(
        "continue-as-new loses the signals nobody waited for",
        _JOURNAL,
        "carried_signals=journal.unconsumed_signals(),",
        "carried_signals=(),",
        "generations",
    ),
    _mutant(
        "continue-as-new loses the inbox",
        _CONSEQUENCES,
        "    step.result.moves_inbox_to = key\n",
        "",
        "hasty_generations",
        "generations",
    ),
    _mutant(
        "continue-as-new loses the state",
        _JOURNAL,
        "carried_state=dict(journal.keys),",
        "carried_state={},",
        "generations",
    ),
    _mutant(
        "the next try of a workflow begins at once",
        _CONSEQUENCES,
        "step.result.creations.append(_creation(key, created, step.at, wake_at=event.next_at))",
        "step.result.creations.append(_creation(key, created, step.at, wake_at=step.at))\n"
        "    created = step.result.creations[-1].created\n"
        '    msgspec.structs.force_setattr(created.event, "start_at", None)',
        "second_try",
    ),
    # --- replay --------------------------------------------------------------------------------------------------
    _mutant(
        "a side effect is computed anew on replay",
        _JOURNAL,
        "return self._recorded_side_effects.pop(operation, None)",
        "return None",
        "keeping",
    ),
    _mutant(
        "a patch marker is decided anew on replay",
        "authoring.context",
        "new_path = not journal.replaying or patch in journal.patches",
        "new_path = not journal.replaying",
        "patched",
    ),
    _mutant(
        "random numbers differ on replay",
        _JOURNAL,
        "self._random = random.Random(self.created.seed)",
        "self._random = random.Random()",
        "keeping",
    ),
    # --- compensation, children ----------------------------------------------------------------------------------
    _mutant(
        "compensations run oldest first",
        "authoring.context",
        "list(reversed(steps))",
        "list(steps)",
        "compensated",
        "compensation",
    ),
    _mutant(
        "a compensation is run twice",
        "authoring.context",
        "                await step.perform()\n",
        "                await step.perform()\n                await step.perform()\n",
        "compensated",
    ),
    _mutant(
        "a child's result does not reach its parent",
        _CONSEQUENCES,
        "        message = m.ChildCompletedMessage(\n",
        "        return\n        message = m.ChildCompletedMessage(\n",
        "children",
    ),
    _mutant(
        "a run that ends leaves its pending activities without an outcome",
        "kernel.expansion",
        "for o in state.activities]",
        "for o in ()]",
        "limited",
        "terminated",
    ),
    # --- ownership -----------------------------------------------------------------------------------------------
    _mutant(
        "fencing is ignored",
        _WRITES,
        "        and run.fencing_token == write.fencing_token\n        and run.sequence == write.expected_sequence\n"
        "        and run.owner == write.owner\n    ):\n        return None",
        "        and run.sequence == write.expected_sequence\n    ):\n        return None",
    ),
    _mutant(
        "the sequence is not checked",
        _WRITES,
        "        and run.fencing_token == write.fencing_token\n        and run.sequence == write.expected_sequence\n"
        "        and run.owner == write.owner\n    ):\n        return None",
        "    ):\n        return None",
    ),
    _mutant(
        "the fencing token does not grow with a claim",
        _STORE,
        "run.fencing_token = FencingToken(run.fencing_token + 1)",
        "run.fencing_token = FencingToken(run.fencing_token + 0)",
    ),
    _mutant(
        "a lease that has not passed is taken",
        _STORE,
        "return session.lease_until is not None and session.lease_until <= now",
        "return session.lease_until is not None",
    ),
    _mutant(
        "the runs of a dead worker are never freed",
        _STORE,
        "if session.is_dead or _has_passed(session, now)}",
        "if False}",
        "sequential",
    ),
    _mutant(
        "a worker that lost its lease goes on",
        "execution.lease",
        '                worker.drop_all("the lease had passed before it was renewed")\n',
        "",
    ),
    _mutant(
        "a refused transition is taken for durable",
        _RUN,
        "if not isinstance(outcome, Applied) or outcome.run_key != self.run_key:",
        "if False:",
    ),
    _mutant(
        "a repeated request starts a second run",
        _RUN,
        "if not isinstance(outcome, Applied) or outcome.run_key != self.run_key:",
        "if not isinstance(outcome, Applied):",
        "repeated",
    ),
    # --- wake-ups ------------------------------------------------------------------------------------------------
    _mutant(
        "a run that leaves memory is not looked for again",
        _RUN,
        "            self._worker.claims.wake()  # plans",
        "            # plans",
        "timers",
        "signals",
    ),
    _mutant(
        "a child is not looked for",
        _MAIL,
        "            worker.claims.wake_at(creation.wake_at)",
        "            pass",
        "children",
    ),
    _mutant(
        "one failed commit is remembered for ever",
        "execution.committer",
        "if self._trouble is not None and self._working is not None and not keep:",
        "if self._trouble is not None and not keep:",
    ),
)
