"""Bugs of the worker: what is done, when, and by whom."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]


def _mutant(name: str, breaks: str, module: str, old: str, new: str, *workloads: str) -> Mutant:
    return Mutant(name=name, breaks=breaks, module=f"perdure.execution.{module}", old=old, new=new, workloads=workloads)


_RUN: Final = "active_run"
_MAIL: Final = "mail"
_CLAIMS: Final = "claims"
_QUEUE: Final = "commit_queue"

PLANTED: Final = (
    # --- nothing before it is durable ----------------------------------------------------------------------------
    _mutant(
        "an effect happens before its transition is durable",
        "P1: nothing has an effect before it is durable",
        _RUN,
        "        self._committing = True\n        self._result = result\n",
        "        self._committing = True\n        self._result = result\n"
        "        for operation in result.to_start:\n            self._start(state.activities[operation])\n",
        "sequential",
    ),
    _mutant(
        "an at-most-once attempt starts before its start is durable",
        "P3: at most once",
        "call",
        "if options.at_most_once and not activity.attempt_started:",
        "if False:",
        "at_most_once",
    ),
    _mutant(
        "an at-most-once attempt whose worker died is made again",
        "P3: at most once",
        _RUN,
        "            if activity.attempt_started:\n",
        "            if False:\n",
        "at_most_once",
    ),
    _mutant(
        "a message is acknowledged before it is durable",
        "P1: durable acknowledgements",
        _RUN,
        "        self._replies.append((message, reply))\n        self.receive(message)\n",
        "        reply(None)\n        self.receive(message)\n",
        "signals",
    ),
    _mutant(
        "a refused transition is taken for durable",
        "P5: single writer",
        _RUN,
        "if not isinstance(outcome, Applied) or outcome.run_key != self.run_key:",
        "if False:",
        "adding_up",
    ),
    _mutant(
        "a repeated request starts a second run",
        "P2: one request, one effect",
        _RUN,
        "if not isinstance(outcome, Applied) or outcome.run_key != self.run_key:",
        "if not isinstance(outcome, Applied):",
        "repeated",
    ),
    _mutant(
        "writes that were kept during an outage are dropped",
        "P14: work resumes unaided",
        _QUEUE,
        "        refused = self._hold_back(line, batch, error, now)\n",
        "        refused: list[tuple[Entry, PerdureError]] = []\n",
        "sequential",
        "timers",
    ),
    _mutant(
        "one failed commit is remembered for ever",
        "P14: work resumes unaided",
        _QUEUE,
        "        self._seconds = min(self._seconds * 2.0, self._maximum_seconds)\n",
        "        self._seconds = 1_000_000.0\n",
        "sequential",
        "signals",
    ),
    _mutant(
        "a write that failed is tried behind later ones of its run",
        "P13: progress resumes",
        _QUEUE,
        "            held.entries[:0] = batch\n",
        "            held.entries += batch\n",
        "signals",
        "late_signals",
    ),
    _mutant(
        "a batch that fails while another is under way is forgotten",
        "P14: work resumes unaided",
        _QUEUE,
        "        self._waiting[:0] = batch\n        self._next_goes_alone = True\n",
        "        self._next_goes_alone = True\n",
        "crowd",
        "locks",
    ),
    # --- recovery ------------------------------------------------------------------------------------------------
    _mutant(
        "a retry that was waited for is forgotten when the run is loaded",
        "P4: never lost",
        _RUN,
        "elif activity.next_attempt_at is None or activity.next_attempt_at <= now:",
        "elif activity.next_attempt_at is None and not activity.last_failure:",
        "retries",
    ),
    _mutant(
        "a retry that is due is started while its outcome waits",
        "P3: one owner makes an attempt once",
        _RUN,
        "if state.retries and not self.inputs:",
        "if state.retries:",
        "crowd",
        "retries",
    ),
    _mutant(
        "a pending activity is not started when the run is loaded",
        "P7: recovery equals uninterrupted execution",
        _RUN,
        "            elif activity.next_attempt_at is None or activity.next_attempt_at <= now:\n"
        "                self._start(activity)",
        "            elif activity.next_attempt_at is not None and activity.next_attempt_at <= now:\n"
        "                self._start(activity)",
        "sequential",
    ),
    _mutant(
        "only the first page of a history is loaded",
        "P7: recovery equals uninterrupted execution",
        "loading",
        "while len(page) == page_size:",
        "while False:",
        "sequential",
        "timers",
    ),
    _mutant(
        "a run that was lost while it was loaded is adopted all the same",
        "P5: single writer",
        _CLAIMS,
        "if losses != self._losses or not worker.lease.is_held:",
        "if False:",
        "terminated",
    ),
    # --- timers --------------------------------------------------------------------------------------------------
    _mutant(
        "a timer is computed anew from the time of its run's loading",
        "P4: a due time is never computed again",
        _CLAIMS,
        "        worker.adopt(run)\n",
        "        worker.adopt(run)\n"
        "        late = worker.clock.now() - state.updated_at\n"
        "        state.timers = {o: Timestamp(d + late) for o, d in state.timers.items()}\n",
        "timers",
    ),
    _mutant(
        "a released run forgets its timer",
        "P4: never lost",
        _RUN,
        "self._giving_back(wake_at=wake_at), end_at=",
        "self._giving_back(wake_at=None), end_at=",
        "timers",
        "late_signals",
    ),
    _mutant(
        "a released run forgets a retry that is just due",
        "P4: never lost",
        _RUN,
        "wake_at = self.state.next_wake_at(_AT_ANY_TIME)",
        "wake_at = self.state.next_wake_at(self._worker.clock.now())",
        "crowd",
    ),
    _mutant(
        "a run that leaves memory is not looked for again",
        "P13: progress resumes",
        _CLAIMS,
        "                self.wake()  # plans",
        "                pass  # plans",
        "timers",
        "signals",
    ),
    _mutant(
        "who waits for a run that goes on elsewhere does not look for it",
        "P13: who waits for a result gets it",
        "endings",
        "            future.set_result(None)\n",
        "            future.done()\n",
        "generations",
        "hasty_generations",
    ),
    _mutant(
        "a child is not looked for",
        "P12: what is created is run",
        _MAIL,
        "            worker.claims.wake_at(creation.wake_at)",
        "            pass",
        "children",
    ),
    # --- messages ------------------------------------------------------------------------------------------------
    _mutant(
        "messages of a dropped run are lost",
        "P1: durable acknowledgements",
        _MAIL,
        "        for arrived, reply in unanswered:\n",
        "        for arrived, reply in unanswered:\n            reply(None)\n            continue\n",
        "signals",
        "late_signals",
        "hasty_generations",
    ),
    _mutant(
        "a signal overtakes one in the inbox",
        "P9: in order",
        _MAIL,
        "        if run.state.closed_at is not None or run.inbox_is_unread:\n",
        "        if run.state.closed_at is not None:\n",
        "hasty_generations",
    ),
    _mutant(
        "the inbox is handed to a run twice",
        "P9: consumed once",
        _MAIL,
        "                run.inbox_position = entry.position\n",
        "",
        "players",
        "signals",
    ),
    _mutant(
        "news that come while a run is loaded are forgotten",
        "P9: consumed, not only kept",
        _MAIL,
        "                loading.has_news = True\n",
        "                pass\n",
        "knocked",
    ),
    # --- leases --------------------------------------------------------------------------------------------------
    _mutant(
        "a worker that lost its lease goes on",
        "P5: single writer",
        "lease",
        '                        worker.drop_all("the lease had passed before it was renewed")\n',
        "",
        "giving_up",
        "terminated",
        "limited",
    ),
    _mutant(
        "the lease is not renewed",
        "P13: who lives keeps its runs",
        "lease",
        "if await worker.store.renew_lease(now=now):",
        "if True:",
        "timers",
    ),
    _mutant(
        "the runs of dead workers are looked for only at the start",
        "P13: progress resumes within the lease",
        "lease",
        "has_freed = await self._worker.store.free_expired(now=self._worker.clock.now()) > 0",
        "has_freed = False",
        "keeping",
    ),
)
