"""Bugs of the PostgreSQL store, which the tools must find that try a server."""

from typing import Final

from perdure.torture.planted.mutant import Mutant, Patch

__all__ = ["PLANTED"]

_SESSIONS: Final = "perdure.stores.postgres.sessions"
_PLAIN: Final = "perdure.stores.postgres.plain"
_FLUSHING: Final = "perdure.stores.postgres.flushing"

_FENCING: Final = "AND runs.fencing_token = given.fencing_token"

_IN_TIME: Final = "P13: progress resumes"
_FENCED: Final = "P5: single writer"

_FOR_ALL_THAT_IS_SEVERED: Final = tuple(
    Mutant(
        name=f"PostgreSQL: the runs of a session whose lease has passed stay its own ({tool})",
        breaks=_IN_TIME,
        module=_SESSIONS,
        old="WHERE lease_until <= $1 OR worker_id = ANY ($2::bigint[]) ORDER BY",
        new="WHERE lease_until <= $1 - (1::bigint << 40) OR worker_id = ANY ($2::bigint[]) ORDER BY",
        tool=tool,
    )
    for tool in ("fence", "partition")
)

PLANTED: Final = (
    *_FOR_ALL_THAT_IS_SEVERED,
    Mutant(
        name="PostgreSQL: a worker that was severed writes on, whatever others have written",
        breaks=_FENCED,
        module=_PLAIN,
        old="    SELECT 1 FROM lanes WHERE worker_id = $1 AND lane = $2 AND epoch = $3 FOR NO KEY UPDATE\n",
        new="    SELECT 1 FROM lanes WHERE worker_id = $1 AND lane = $2 AND $3::integer > 0 FOR NO KEY UPDATE\n",
        also=(
            Patch(
                module=_PLAIN,
                old="WHERE worker_id = $1 AND lane = $2 AND epoch = $3 AND EXISTS (SELECT FROM lane)",
                new="WHERE worker_id = $1 AND lane = $2 AND EXISTS (SELECT FROM lane)",
            ),
            Patch(
                module=_PLAIN,
                old=f" {_FENCING}\n            AND runs.sequence = given.expected AND (runs.owner = $1) IS TRUE\n",
                new="\n",
            ),
            Patch(
                module=_PLAIN,
                old="FROM {given} WHERE (run_key IN (SELECT run_key FROM applied)) IS TRUE\n",
                new="FROM {given} WHERE (run_key IN (SELECT run_key FROM applied)) IS TRUE ON CONFLICT DO NOTHING\n",
            ),
        ),
        tool="fence",
    ),
    Mutant(
        name="PostgreSQL: an acknowledged cancellation is dropped",
        breaks="P1: what was acknowledged is there",
        module=_FLUSHING,
        old="        if position >= FIRST_NEW_POSITION\n    )\n    await",
        new="        if position >= FIRST_NEW_POSITION and b'not wanted any more' not in entry.data\n    )\n    await",
        tool="kill",
        on_postgres=True,
    ),
    Mutant(
        name="PostgreSQL: a session believes its machine's clock",
        breaks="P13: progress resumes",
        module="perdure.stores.postgres.clock",
        old="        self.learn(shown, asked_at=asked_at, answered_at=self._counted())\n",
        new="",
        tool="fence",
    ),
    Mutant(
        name="PostgreSQL: requests are forgotten",
        breaks="P2: one request, one effect",
        module=_FLUSHING,
        old="        if loaded.message_requests.get(request) != run_key\n",
        new="        if False\n",
        tool="check",
        on_postgres=True,
    ),
    Mutant(
        name="PostgreSQL: messages of one commit are put the other way round",
        breaks="P9: signals are taken in in their order",
        module="perdure.stores.postgres.statements",
        old="ORDER BY place\n",
        new="ORDER BY place DESC\n",
        tool="check",
        on_postgres=True,
    ),
)
