"""The jobs of one transaction applied to the tables.

First all at once: writes that go together share statements. If any of them is to be refused, that is rolled back and
the same jobs are applied again with each write alone in a savepoint, which finds out what is refused and why. Refusals
are rare: they mean a lost race or a repeated request.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, assert_never

import apsw
import msgspec

from perdure.errors import InternalError
from perdure.kernel.events import ChildOutcome, RunCreated
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunRef
from perdure.kernel.messages import ChildFailedMessage, encode_message
from perdure.kernel.transition import Applied, Creation, Exists, Missing, Outcome, Stale, Unread
from perdure.stores.sql import statements
from perdure.stores.sqlite.encoding import (
    EncodedCreation,
    EncodedDelivery,
    EncodedPark,
    EncodedRelease,
    EncodedSeizure,
    EncodedTransition,
    EncodedWrite,
)
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.pieces import MismatchError
from perdure.stores.sqlite.segment import KnownRuns, News, OvertakingError, Segment, taker_of

__all__ = ["Call", "Commit", "Job", "apply_alone", "apply_jobs"]


class Commit:
    """Writes of one caller: all applied or refused each for itself, or none if an error is raised.

    `size` is how much of a transaction's limit it takes.
    """

    is_last: Final = False

    def __init__(self, writes: Sequence[EncodedWrite], answer: asyncio.Future[list[Outcome]]) -> None:
        """Keep the writes; `answer` gets one outcome per write."""
        self.writes: Final = writes
        self.answer: Final = answer
        self.size: Final = len(writes)
        self.result: list[Outcome] = []
        self.error: Exception | None = None


class Call:
    """Anything else done in a transaction: a function of the connection, which may run twice before it counts."""

    # Any: each call has its own type of result, which `Writer.call` gives back to its caller with that type.
    def __init__(
        self, function: Callable[[apsw.Connection, News], Any], answer: asyncio.Future[Any], *, is_last: bool = False
    ) -> None:
        """Keep the function; `answer` gets what it returns. `is_last`: it ends the session."""
        self.is_last: Final = is_last
        self.function: Final = function
        self.answer: Final = answer
        self.size: Final = 1
        self.result: Any = None
        self.error: Exception | None = None


Job = Commit | Call
"""Something for the writer's thread."""


def apply_jobs(connection: apsw.Connection, jobs: Sequence[Job], *, known: KnownRuns) -> News:
    """Apply the jobs in the transaction that is open on `connection`, and note in each its result.

    The transaction may be another one afterwards: it is begun anew if any write is to be refused.
    """
    news = News()
    for job in jobs:
        job.error = None  # of a transaction that was undone
    try:
        _apply_together(connection, jobs, known=known, news=news)
    except (MismatchError, apsw.ConstraintError) as error:
        if is_damage(error):
            raise
        connection.execute("ROLLBACK")
        known.clear()
        news = News()
        connection.execute("BEGIN IMMEDIATE")
        _apply_one_by_one(connection, jobs, known=known, news=news)
    return news


def _apply_together(connection: apsw.Connection, jobs: Sequence[Job], *, known: KnownRuns, news: News) -> None:
    """Apply the jobs in order, sharing statements. Raises MismatchError or ConstraintError: then nothing may stay."""
    outcomes: list[Outcome] = []
    segment = Segment(known=known, news=news)
    for job in jobs:
        if isinstance(job, Call):
            outcomes += segment.apply(connection)
            segment = Segment(known=known, news=news)
            job.result = _call(connection, job, news)
            continue
        for write in job.writes:
            if not segment.add(write):
                outcomes += segment.apply(connection)
                segment = Segment(known=known, news=news)
                segment.add(write)
    outcomes += segment.apply(connection)
    done = 0
    for job in jobs:
        if isinstance(job, Commit):
            job.result = outcomes[done : done + len(job.writes)]
            done += len(job.writes)


def _apply_one_by_one(connection: apsw.Connection, jobs: Sequence[Job], *, known: KnownRuns, news: News) -> None:
    """Apply the jobs in order, each write alone, and note the refused ones with their reasons.

    A write that contradicts the tables in a way that no race explains fails its job with InternalError.
    No event is a witness then: that of a job that failed is taken back with it.
    """
    for job in jobs:
        if isinstance(job, Call):
            job.result = _call(connection, job, news)
            continue
        connection.execute("SAVEPOINT job")
        try:
            job.result = [apply_alone(connection, write, known=known, news=news) for write in job.writes]
        except (apsw.ConstraintError, InternalError) as error:
            if is_damage(error):
                raise
            connection.execute("ROLLBACK TO job")
            known.clear()
            job.error = InternalError(f"the database's rows contradict a write: {error}. Please report this.")
        connection.execute("RELEASE job")
    news.witness = []


def _call(connection: apsw.Connection, job: Call, news: News) -> Any:  # noqa: ANN401 - see `Call`
    """Return what a function returns. Raises CorruptError where an error that it has survived has undone all that its
    transaction wrote before: some errors of reading do."""
    try:
        result = job.function(connection, news)
    except apsw.SQLError as error:
        if connection.in_transaction:
            raise
        raise apsw.CorruptError(_UNDONE) from error
    if not connection.in_transaction:
        raise apsw.CorruptError(_UNDONE)
    return result


_UNDONE: Final = "an error of reading has undone a transaction"


def apply_alone(connection: apsw.Connection, write: EncodedWrite, *, known: KnownRuns, news: News) -> Outcome:
    """Apply one write in a savepoint. Raises InternalError for one that contradicts the tables."""
    if isinstance(write, EncodedTransition) and write.creations:
        write = _without_taken_children(connection, write)
    segment = Segment(known=known, news=news, is_exact=True)
    segment.add(write)
    connection.execute("SAVEPOINT one")
    try:
        [outcome] = segment.apply(connection)
    except MismatchError as error:
        connection.execute("ROLLBACK TO one")
        outcome = _reason(connection, write, error)
        if not isinstance(write, EncodedDelivery):
            known.pop(write.run_key, None)
    connection.execute("RELEASE one")
    return outcome


def _reason(connection: apsw.Connection, write: EncodedWrite, error: MismatchError) -> Outcome:
    match write:
        case EncodedTransition() if isinstance(error, OvertakingError):
            return Unread(write.run_key)
        case EncodedTransition():
            return Stale(write.run_key) if write.creation is None else _demand_refusal(connection, write.creation)
        case EncodedCreation():
            return _demand_refusal(connection, write)
        case EncodedRelease() | EncodedPark() | EncodedSeizure():
            return Stale(write.run_key)
        case EncodedDelivery():
            raise InternalError(f"a delivery to {write.target} contradicted the runs' rows")
        case _:
            assert_never(write)


def _demand_refusal(connection: apsw.Connection, creation: EncodedCreation) -> Outcome:
    refusal = _refusal(connection, creation)
    if refusal is None:
        raise InternalError(f"run {creation.ref} could not be created under the key {creation.run_key}")
    return refusal


def _refusal(connection: apsw.Connection, creation: EncodedCreation) -> Outcome | None:
    """Say why a run cannot be created; None if it can."""
    ref = creation.ref
    repeated = connection.execute(statements.RUN_OF_REQUEST, (ref.namespace, creation.request_id)).get
    if repeated is None and ref.generation > 1:
        repeated = taker_of(connection, creation)
    if repeated is not None:
        return Applied(*repeated)
    latest = connection.execute(statements.LATEST_OF_ID, (ref.namespace, ref.id)).get
    if latest is None:
        return None if ref.generation == 1 else Missing(ref)
    run_key, generation, closed_at = latest
    if generation >= ref.generation or closed_at is None:
        return Exists(run_key)
    return None if generation == ref.generation - 1 else Missing(ref)


def _without_taken_children(connection: apsw.Connection, write: EncodedTransition) -> EncodedTransition:
    """Turn children whose ids are taken into messages to the parent that say so."""
    creations: list[EncodedCreation] = []
    reports: list[EncodedDelivery] = []
    inserted: set[RunRef] = set()
    requested: set[tuple[str, str]] = set()
    for creation in write.creations:
        if creation.run_key == write.write.moves_inbox_to:  # without its successor a run must not end
            creations.append(creation)
            continue
        request = (creation.ref.namespace, creation.request_id)
        refusal = None if creation.child is None else _refusal(connection, creation)
        if isinstance(refusal, Applied) or (creation.request_id and request in requested):
            continue
        if creation.child is not None and (refusal is not None or creation.ref in inserted):
            reports.append(_taken(creation.child, parent=write))
            continue
        inserted.add(creation.ref)
        requested.add(request)
        creations.append(creation)
    return msgspec.structs.replace(write, creations=tuple(creations), deliveries=(*reports, *write.deliveries))


def _taken(child: Creation, *, parent: EncodedTransition) -> EncodedDelivery:
    created = child.created.event
    if not isinstance(created, RunCreated) or created.parent is None:
        raise InternalError(f"the child run {child.ref} does not name the operation that asked for it")
    operation = created.parent.operation
    message = ChildFailedMessage(
        operation=operation,
        generation=created.parent.ref.generation,
        outcome=ChildOutcome.FAILED,
        failure=Failure(
            type="RunExistsError",
            types=("RunExistsError", "StateError"),
            message=f"the child run {child.ref} cannot be created: its id is taken",
        ),
    )
    return EncodedDelivery(
        target=parent.run_key,
        message_id=f"{parent.run_key}:{parent.write.row.sequence}:{operation}:conflict",
        data=encode_message(message).decode(),
        at=parent.write.row.updated_at,
    )
