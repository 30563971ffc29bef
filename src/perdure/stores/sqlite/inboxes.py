"""The inboxes: messages put in, moved on to the next generation, and the runs made due that they are for."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.transition import Applied, Closed, Missing, Outcome, RunStatus, Stale, Transition
from perdure.stores.sql import ending, statements
from perdure.stores.sql import inboxes as inbox_statements
from perdure.stores.sql import tasks as task_statements
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sqlite.encoding import Column, EncodedDelivery
from perdure.stores.sqlite.pieces import execute_in_pieces
from perdure.stores.sqlite.rows import status_of

if TYPE_CHECKING:
    from perdure.stores.sqlite.segment import News

__all__ = ["deliver", "end_by", "message_row", "move_inbox"]

_ENCODER: Final = msgspec.json.Encoder()


def deliver(
    connection: apsw.Connection, deliveries: list[EncodedDelivery], *, news: "News", is_exact: bool
) -> list[Outcome]:
    """Put messages into inboxes and make the runs due that nobody owns; return each delivery's outcome."""
    targets = _targets(connection, {delivery.target for delivery in deliveries})
    outcomes: list[Outcome] = []
    messages: list[Column] = []
    wakes: dict[RunKey, int] = {}
    ends: dict[RunKey, int] = {}
    for delivery in deliveries:
        found = targets.get(delivery.target)
        outcome, is_new = _outcome(connection, delivery, found)
        outcomes.append(outcome)
        if found is not None and is_new:
            run_key, status, owner, is_parked = found
            end_at = delivery.end_before_begin if status.may_be_unbegun else delivery.end_at
            message = message_row(run_key, delivery.message_id, delivery.data, delivery.at)
            if not is_exact or _insert_message(connection, message):
                messages += message
                news.run_keys.add(run_key)
                if owner is None and (delivery.wakes_parked or not is_parked):
                    news.is_ready = True
                    wakes[run_key] = min(wakes.get(run_key, delivery.at), delivery.at)
                if end_at is not None:
                    news.is_ready = news.is_ready or owner is None
                    ends[run_key] = min(ends.get(run_key, end_at), end_at)
        if delivery.sender is not None and (answer := delivery.answers.get(type(outcome))) is not None:
            answered = message_row(delivery.sender, f"{delivery.message_id}:answer", answer, delivery.at)
            if not is_exact or _insert_message(connection, answered):
                messages += answered
    if not is_exact:
        execute_in_pieces(connection, inbox_statements.INSERT_MESSAGES, messages)
    execute_in_pieces(connection, statements.WAKE_RUNS, [value for wake in wakes.items() for value in wake])
    end_by(connection, ends)
    return outcomes


def message_row(run_key: RunKey, message_id: str, data: str, at: int) -> tuple[Column, ...]:
    """Return the columns of a message."""
    return (run_key, message_id, data, at, digest_of_message(run_key, message_id, at, data))


def end_by(connection: apsw.Connection, ends: dict[RunKey, int]) -> None:
    """Note until when runs must be ended though nobody has their code, if they are open."""
    execute_in_pieces(connection, ending.END_RUNS, [value for end in ends.items() for value in end], is_counted=False)


def _outcome(connection: apsw.Connection, delivery: EncodedDelivery, found: "_Target | None") -> tuple[Outcome, bool]:
    """Say what becomes of a delivery, and whether there is a message to be put into the inbox.

    Notes at once the request of one that has a name: so the next delivery finds it, be it of the same segment.
    """
    if delivery.task and not _is_claimed(connection, delivery):
        return Stale(delivery.task_of), False
    if found is None:
        return Missing(delivery.target), False
    run_key, status, owner, _ = found
    if delivery.request_id:
        first = connection.execute(statements.TAKER_OF_REQUEST, (run_key, delivery.request_id)).get
        if first is not None and first[0] != delivery.unanswered:
            return Applied(*first), False
    if status.is_closed:
        return Closed(run_key, status), False
    if delivery.request_id:
        connection.execute(statements.PUT_REQUEST, (delivery.request_id, run_key))
    return Applied(run_key, owner), True


def _is_claimed(connection: apsw.Connection, delivery: EncodedDelivery) -> bool:
    """Whether the task of which a message tells is still its sender's; it is gone then if the message ends it."""
    if not delivery.ends_task:
        return connection.execute(task_statements.IS_CLAIMED, delivery.task).get is not None
    connection.execute(task_statements.END_TASK, delivery.task)
    return connection.changes() == 1


def _insert_message(connection: apsw.Connection, message: tuple[Column, ...]) -> bool:
    """Insert a message; return False if the inbox holds it already."""
    connection.execute(inbox_statements.INSERT_MESSAGES.of(1), message)
    return connection.changes() == 1


_Target = tuple[RunKey, RunStatus, WorkerId | None, bool]
"""A run, its status, its owner, and whether it is parked."""


def _targets(connection: apsw.Connection, wanted: set[RunKey | RunRef]) -> dict[RunKey | RunRef, _Target]:
    keys = [target for target in wanted if not isinstance(target, RunRef)]
    refs = [target for target in wanted if isinstance(target, RunRef)]
    found: dict[RunKey | RunRef, _Target] = {}
    if keys:
        for row in connection.execute(statements.TARGETS_BY_KEY, (_json(keys),)):
            found[row[0]] = _target(*row)
    if refs:
        names = _json([(ref.namespace, ref.id) for ref in refs])
        for place, *row in connection.execute(statements.TARGETS_BY_NAME, (names,)):
            found[refs[place]] = _target(*row)
    return found


def _target(run_key: RunKey, status: str, is_open: int, owner: WorkerId | None, is_parked: int) -> _Target:
    return run_key, status_of(status, is_open=bool(is_open)), owner, bool(is_parked)


def _moved(message: Sequence[Any], digest: bytes | None, *, old: RunKey, new: RunKey | None) -> bytes | None:
    """Return the digest of a message in its new inbox; one that is damaged must not become sound by its move."""
    message_id, at, data = message
    try:
        fields = (message_id.decode(), at, data.decode())
    except UnicodeDecodeError:
        return digest
    return digest_of_message(new, *fields) if digest == digest_of_message(old, *fields) else digest


def move_inbox(connection: apsw.Connection, transition: Transition) -> None:
    """Give what is left in a run's inbox to the next generation, which is due for it."""
    moved = list(connection.execute(inbox_statements.MESSAGES_TO_MOVE, (transition.run_key,)))
    for position, *message, digest in moved:
        following = _moved(message, digest, old=transition.run_key, new=transition.moves_inbox_to)
        connection.execute(inbox_statements.MOVE_MESSAGE, (transition.moves_inbox_to, following, position))
    if moved:
        connection.execute(statements.WAKE_RUNS.of(1), (transition.moves_inbox_to, transition.row.updated_at))
        connection.execute(ending.END_AFTER_MOVE, (transition.moves_inbox_to, transition.row.updated_at))


def _json(values: Iterable[object]) -> str:
    return _ENCODER.encode(values).decode()
