"""A copy that follows the database while all are killed, whoever copies too; and what must be in it in the end."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from perdure.copies import replicate
from perdure.errors import StoreError
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.clock import SystemClock
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.copies.standing import Standing
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.copies.whole import demand_integrity, unshared
from perdure.torture.kills.ledger import Note, append, read
from perdure.torture.kills.rows import DATABASE

__all__ = ["CopiesVerdict", "copy_for_ever", "judge_copies", "plant_early_claim"]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever copies claims: all that was acknowledged by `checked_at` is in the point."""

    point: str
    checked_at: Timestamp


class CopiesVerdict(msgspec.Struct, kw_only=True):
    """What was found, and how many points in time were restored for it."""

    violations: list[str] = []
    points: int = 0


async def copy_for_ever(folder: Path, number: int) -> None:
    """Keep a copy of the campaign's database, and write down what is claimed of it, until killed."""
    rounds = folder / f"rounds-{number}"

    def note(standing: Standing) -> None:
        append(rounds, Round(point=standing.point, checked_at=standing.checked_at))

    url = f"sqlite:///{folder / DATABASE}"
    await replicate(url, folder / _COPY, every=_EVERY, keep=_KEEP, standby=True, on_round=note)


def judge_copies(folder: Path, *, seed: int) -> CopiesVerdict:
    """Judge the copy of a campaign, whose processes are all gone, after a last round by this one; there is none of a
    server's database."""
    if not (folder / DATABASE).exists():
        return CopiesVerdict()
    with Visit(folder / DATABASE) as visit:
        every, keep = (round(time.total_seconds() * 1_000_000) for time in (_EVERY, _KEEP))
        last = Replication(visit, folder / _COPY, clock=SystemClock(), every_microseconds=every, keep_microseconds=keep)
        last.begin()
        last.follow()
        last.end()
        with closing(visit.reading()) as connection:
            return _judge(folder, connection, random.Random(seed))


def plant_early_claim(folder: Path) -> None:
    """Let it be claimed that the oldest point holds all that was ever acknowledged."""
    oldest = read_contents(folder / _COPY).points[0]
    append(folder / "rounds-0", Round(point=_name(oldest), checked_at=SystemClock().now()))


def _judge(folder: Path, database: apsw.Connection, chance: random.Random) -> CopiesVerdict:
    contents = read_contents(folder / _COPY)
    violations = [f"copy: {what}" for what in contents.breaks.values()]
    history = set(database.execute(_HISTORY))
    notes = [record for path in sorted(folder.glob("notes-*")) for record in read(path, Note) if record.state == "done"]
    claims: dict[str, Timestamp] = {}
    for path in sorted(folder.glob("rounds-*")):
        for claim in read(path, Round):
            claims[claim.point] = max(claim.checked_at, claims.get(claim.point, Timestamp(0)))
    *earlier, last = contents.points
    chosen = [*earlier[:1], *chance.sample(earlier[1:], min(len(earlier[1:]), _MOST_POINTS)), last]
    for point in chosen:
        acknowledged = [note for note in notes if note.at <= claims.get(_name(point), 0)]
        try:
            violations += _point_laws(folder, point, history, acknowledged)
        except (StoreError, apsw.Error) as error:
            violations.append(f"copy: {_name(point)} cannot be restored: {error}")
    with unshared(_restored(folder, last)) as copy:
        if digest_of_contents(copy) != digest_of_contents(database):
            violations.append("copy: the newest point is not the database as it is")
    return CopiesVerdict(violations=violations, points=len(chosen))


def _point_laws(folder: Path, point: Point, history: set[Any], acknowledged: list[Note]) -> Iterator[str]:
    restored = _restored(folder, point)
    with unshared(restored) as connection:
        lost_pages = demand_integrity(connection, restored)
        never = set(connection.execute(_HISTORY)) - history
        broken = [*connection.execute(_BROKEN_HISTORIES)]
        statuses = dict(connection.execute("SELECT id, status FROM runs WHERE latest = 1"))
        taken = set(connection.execute(_TAKEN))
    if lost_pages:
        yield f"copy: {_name(point)} has {lost_pages} pages that are never used"
    if never:
        yield f"copy: {_name(point)} has {len(never)} events that the database has not, such as {min(never)}"
    for run_id, generation, sequence, events in broken:
        yield f"copy: in {_name(point)} run {run_id} generation {generation} has {events} events, not {sequence}"
    for note in acknowledged:
        what = f"run {note.run_id}, whose {note.call} was acknowledged before"
        if note.run_id not in statuses:
            yield f"copy: {_name(point)} has no {what}"
        elif note.subject and (note.run_id, note.subject) not in taken:
            yield f"copy: {_name(point)} lacks {note.subject!r} of {what}"
        elif note.call == "result" and not RunStatus(statuses[note.run_id]).is_closed:
            yield f"copy: in {_name(point)} {what}, goes on"


def _restored(folder: Path, point: Point) -> Path:
    scratch = folder / "restored.db"
    rebuild(folder / _COPY, point, scratch, on_progress=lambda _done, _total: None)
    return scratch


def _name(point: Point) -> str:
    return f"{point.generation}/{point.number}"


_COPY: Final = "copy"
_EVERY: Final = timedelta(milliseconds=20)
_KEEP: Final = timedelta(hours=1)
_MOST_POINTS: Final = 40
_HISTORY: Final = "SELECT * FROM history"
_BROKEN_HISTORIES: Final = """
SELECT id, generation, runs.sequence, count(history.sequence) FROM runs LEFT JOIN history USING (run_key)
GROUP BY run_key HAVING count(history.sequence) <> runs.sequence OR max(history.sequence) <> runs.sequence
"""
_TAKEN: Final = """
WITH taken(run_key, data) AS (SELECT run_key, data FROM history UNION ALL SELECT run_key, data FROM inbox)
SELECT id, coalesce(data ->> '$.message_id', data ->> '$.update_id', data ->> '$.reason')
FROM taken JOIN runs USING (run_key)
"""
"""By what signals, updates and cancellations are known, wherever they are, with the ids of their runs."""
