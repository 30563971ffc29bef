"""Parked runs: those that this process owns and whose code cannot go on from their history.

Nothing is written for them, so that the right code can go on. Messages stay in their inbox. Only a termination takes
effect, since it needs no code: the state is folded from the history, and the run ends.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from perdure.errors import PerdureError
from perdure.execution.active_run import ActiveRun
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel.commands import Command
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import TerminateMessage
from perdure.kernel.payload import Payload
from perdure.kernel.program import Answer, Feed, Verdict
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import InboxEntry

__all__ = ["INBOX_PAGE", "end_parked"]

_logger = logging.getLogger("perdure.worker")

INBOX_PAGE: Final = 1_000
"""How many inbox entries are read at once; the rest follows when these are recorded."""


async def end_parked(worker: "Worker", run_key: RunKey) -> None:
    """End a parked run if a termination waits in its inbox; leave it alone otherwise."""
    try:
        inbox = await worker.store.read_inbox(run_key, limit=INBOX_PAGE)
        ordered = next((entry for entry in inbox if isinstance(entry.message, TerminateMessage)), None)
        if ordered is not None:
            await _end(worker, run_key, ordered)
    except PerdureError as error:
        _logger.error("a parked run cannot be terminated: %s", error)  # noqa: TRY400 - no traceback needed


async def _end(worker: "Worker", run_key: RunKey, ordered: "InboxEntry") -> None:
    summary = await worker.store.find(run_key)
    state = await _fold(worker, run_key)
    # It may have been ended, or lost to another worker, while we read.
    if summary is None or summary.owner != worker.worker_id or run_key not in worker.endings.parked:
        return
    if not _obeys(state, ordered.message):
        return
    run = ActiveRun(
        worker,
        run_key=run_key,
        ref=summary.ref,
        fencing_token=summary.fencing_token,
        state=state,
        feed=Feed(_NoCode()),
    )
    worker.adopt(run)
    run.receive(i.MessageArrived(message=ordered.message, message_id=ordered.message_id, position=ordered.position))


async def _fold(worker: "Worker", run_key: RunKey) -> RunState:
    state, page_size = RunState(), worker.settings.history_page
    while True:
        page = await worker.store.read_history(run_key, after=state.sequence, limit=page_size)
        for recorded in page:
            state.record(recorded.event, recorded.at)
        if len(page) < page_size:
            return state


def _obeys(state: RunState, message: object) -> bool:
    """Whether the run will end: a parent names its child by id, which may have become another run's."""
    if not isinstance(message, TerminateMessage) or state.created is None or state.closed_at is not None:
        return False
    parent = state.created.parent
    return message.parent_key == 0 or (parent is not None and parent.run_key == message.parent_key)


class _NoCode:
    """A program that asks for nothing; the run it drives ends with its first input."""

    def advance(self, _event: e.Event, _at: Timestamp) -> Sequence[Command]:
        return ()

    def consider(self, _name: str, _body: Payload) -> Verdict:
        return Answer.WAITS

    def foresee(self, event: e.Event) -> None:
        """Ignore it."""

    def go_live(self) -> None:
        """Nothing was silent."""

    def close(self) -> None:
        """Nothing is held."""
