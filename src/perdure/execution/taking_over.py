"""Taking over: a run that is open is ended from outside, whoever owns it (`perdure.kernel.replacing`).

`TakenRun.take` seizes the run and ends it in one commit. Where the end is refused, because the owner had added to the
history, the run is this session's from then on: `end` is tried again on what has come, or `let_go` gives it back.
"""

import asyncio
from typing import TYPE_CHECKING

from perdure.errors import StoreError
from perdure.execution.clock import not_ahead
from perdure.kernel.identity import FencingToken, RunKey
from perdure.kernel.transition import Applied, Outcome, Release, Seizure, Transition
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.worker import Worker

__all__ = ["TakenRun", "is_taken_over"]


class TakenRun:
    """A run that this process takes from its owner. `is_held`: it has, and must end it or let it go."""

    def __init__(self, worker: "Worker", run_key: RunKey, fencing_token: FencingToken) -> None:
        """Take the run of this key, whose row holds this token."""
        self._worker = worker
        self._seizure = Seizure(run_key=run_key, fencing_token=fencing_token)
        self.fencing_token = FencingToken(fencing_token + 1)
        self.is_held = False

    async def take(self, end: Transition) -> bool:
        """Seize the run, and end it; return whether it is ended. Whoever gives up waiting leaves nothing held."""
        taking = asyncio.ensure_future(self._take(end))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._give_up)
            raise

    async def end(self, end: Transition) -> bool:
        """End the run that is held; return whether it is ended, False if somebody else has seized it meanwhile."""
        return self._has_ended(end, await self._worker.committer.commit(end))

    def let_go(self) -> None:
        """Give the run back if it is held; it is due at once, for anybody."""
        if self.is_held:
            self.is_held = False
            self._worker.mail.spawn(self._give_back())

    async def _take(self, end: Transition) -> bool:
        commit = self._worker.committer.commit
        # In one batch, in this order; if only the first is applied the run must not be forgotten.
        seized, ended = await asyncio.gather(commit(self._seizure), commit(end), return_exceptions=True)
        self.is_held = isinstance(seized, Applied)
        run = self._worker.active.get(self._seizure.run_key)
        if self.is_held and run is not None:
            run.drop()
        for outcome in (seized, ended):
            if isinstance(outcome, BaseException):
                self.let_go()
                raise outcome
        return self._has_ended(end, ended)

    def _give_up(self, taking: "asyncio.Future[bool]") -> None:
        if not taking.cancelled() and taking.exception() is None:
            self.let_go()

    async def _give_back(self) -> None:
        worker, run_key = self._worker, self._seizure.run_key
        row: RunSummary | None = None
        while row is None:
            try:
                row = await worker.store.find(run_key)
            except StoreError:
                await asyncio.sleep(worker.settings.retry_store_maximum_seconds)
        now = worker.clock.now()
        write = Release(
            run_key=run_key,
            fencing_token=self.fencing_token,
            expected_sequence=row.sequence,
            wake_at=not_ahead(row.updated_at, worker.clock),
            now=now,
        )
        worker.claims.give_back(write)

    def _has_ended(self, end: Transition, outcome: Outcome | BaseException) -> bool:
        if not isinstance(outcome, Applied):
            return False
        self.is_held = False
        worker = self._worker
        worker.mail.told(outcome.told)
        for delivery in end.deliveries:
            worker.mail.news_of(delivery.target)
        worker.endings.look_again(end.run_key)
        worker.claims.wake()
        return True


async def is_taken_over(worker: "Worker", run: "ActiveRun") -> bool:
    """Whether a run of which there were news without a message was seized by another session, which fenced this one."""
    summary = await worker.store.find(run.run_key)
    return summary is not None and summary.fencing_token > run.fencing_token
