"""The answer to an update: where it stands in the histories of an id's generations.

The store knows which generation took the update in (`Delivery.request_id`). From there on a run that continues as new
takes what it has not answered along, so the answer stands in the first generation that has any. A retry or a reset
handles again what its copy has accepted: there the answer of the last one counts. What a run has not answered when it
ends stays in its inbox, and will never be, unless the run began with it and is retried.

A generation that was removed has left its requests to the next one, but its answers are gone: what then neither is
answered nor waits was answered there, or by nobody.
"""

import msgspec

from perdure.client.generations import fork_of, next_generation
from perdure.errors import RunNotFoundError
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.messages import UpdateMessage
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunStore, RunSummary

__all__ = ["Answer", "Place", "answer_in", "find_answer", "last_answer"]

Answer = e.UpdateAccepted | e.UpdateRejected | e.UpdateCompleted


class Place(msgspec.Struct, frozen=True):
    """The last answer to an update so far, None: there is none; in which generation, and up to where that was read."""

    answer: Answer | None
    generation: RunSummary
    sequence: int

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended without an answer."""
        status = self.generation.status
        return self.answer is None and status.is_closed and status is not RunStatus.CONTINUED


def answer_in(event: e.Event, update_id: str) -> Answer | None:
    """Return an event if it is an answer to this update."""
    match event:
        case e.UpdateAccepted() | e.UpdateRejected() | e.UpdateCompleted() if event.update_id == update_id:
            return event
        case _:
            return None


async def find_answer(store: RunStore, taker: RunSummary, update_id: str) -> Place:
    """Return where an update that a generation has taken in is answered, or where it waits.

    Raises RunNotFoundError if what became of it was removed with an older generation.
    Complexity: linear in the history of each generation from `taker` on up to that of the answer.
    """
    place = await last_answer(store, taker, update_id)
    is_first = taker.ref.generation == 1 or await _before(store, taker) is not None
    while place.answer is None and not is_first and not await _waits(store, place.generation, update_id):
        seen, place = place, await last_answer(store, await _row_now(store, taker), update_id)
        if place.answer is None and place.generation.run_key == seen.generation.run_key:
            message = (
                f"the answer to the update {update_id!r} of run {taker.ref.namespace}/{taker.ref.id} is not there any "
                f"more: the generation that gave it was removed since, by the retention of an engine or by `perdure "
                f"prune`; if it was archived, `perdure import` brings it back"
            )
            raise RunNotFoundError(message)
    return place


async def last_answer(store: RunStore, generation: RunSummary, update_id: str) -> Place:
    """Return the last answer from a generation on, or where one would come next."""
    answered: Place | None = None
    while True:
        place = await _last_in(store, generation, update_id)
        if place.answer is None and answered is not None:  # a fork from before the update
            return answered
        following = await _following(store, place, update_id)
        if following is None:
            return place
        answered = place if place.answer is not None else None
        generation = following


async def _last_in(store: RunStore, generation: RunSummary, update_id: str) -> Place:
    """Return the last answer that the history of a generation holds."""
    answer, after = None, 0
    while page := await store.read_history(generation.run_key, after=after, limit=_PAGE):
        for recorded in page:
            answer = answer_in(recorded.event, update_id) or answer
        after = page[-1].sequence
    return Place(answer, generation, after)


_PAGE = 1_000


async def _following(store: RunStore, place: Place, update_id: str) -> RunSummary | None:
    """Return the generation that may answer an update after this one, if that has ended."""
    if not place.generation.status.is_closed:
        return None
    following = await next_generation(store, place.generation)
    if following is None:
        return None
    if place.answer is not None:
        may_answer = await fork_of(store, following) is not None
    else:
        may_answer = not place.has_ended or await _begins_with(store, following, update_id)
    return following if may_answer else None


async def _before(store: RunStore, run: RunSummary) -> RunSummary | None:
    ref = RunRef(namespace=run.ref.namespace, id=run.ref.id, generation=run.ref.generation - 1)
    return await store.find(ref, latest=False)


async def _waits(store: RunStore, generation: RunSummary, update_id: str) -> bool:
    """Whether an update is still to be answered by a generation."""
    for entry in await store.read_rest_of_inbox(generation.run_key):
        if isinstance(entry.message, UpdateMessage) and entry.message.update_id == update_id:
            return True
    return await _begins_with(store, generation, update_id)


async def _begins_with(store: RunStore, generation: RunSummary, update_id: str) -> bool:
    """Whether an update came with the start of a run: a retry has it again."""
    page = await store.read_history(generation.run_key, limit=1)
    created = page[0].event if page else None
    carried = created.carried_updates if isinstance(created, e.RunCreated) else ()
    return any(update.update_id == update_id for update in carried)


async def _row_now(store: RunStore, run: RunSummary) -> RunSummary:
    return await store.find(run.run_key) or run
