"""What lies in a file of exported runs: one run, whose digest fits whatever its lines are."""

import gzip
import hashlib
import itertools
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from perdure.archiving.event_lines import event_record
from perdure.archiving.files import lines_of
from perdure.archiving.rekeying import keys_of
from perdure.archiving.run_lines import UNREADABLE, SavedRun, end_line, heading_line, read_runs, run_lines
from perdure.archiving.soundness import demand_sound
from perdure.archiving.turns import RETENTION_KEY, TurnState, read_state
from perdure.errors import HistoryError
from perdure.kernel.events import EVENT_NAMES, Event, RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef
from perdure.kernel.messages import SignalMessage
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.agenda import AgendaEntry
from perdure.ports.keeping import FOREIGN_KEYS, WholeRun
from perdure.ports.store import InboxEntry, RunSummary
from perdure.torture.fuzzing.sampling import samples
from perdure.torture.fuzzing.target import Target, demand_equal, text_of

__all__ = ["EXPORTED"]

_NOW: Final = Timestamp(1_767_236_400_000_000)


def _run(events: list[Event]) -> WholeRun:
    history = tuple(RecordedEvent(number, _NOW, event) for number, event in enumerate(events, start=1))
    summary = RunSummary(
        run_key=RunKey(5),
        ref=RunRef(id="run"),
        workflow="order",
        definition_version="1",
        status=RunStatus.COMPLETED,
        stage="",
        progress=1.0,
        priority=Priority.NORMAL,
        tenant="t",
        labels={"a": "b"},
        parent_key=RunKey(4),
        created_at=_NOW,
        started_at=_NOW,
        updated_at=_NOW,
        closed_at=_NOW,
        sequence=len(history),
        owner=None,
        fencing_token=FencingToken(1),
        wake_at=None,
    )
    entry = InboxEntry(position=0, message=SignalMessage(name="go"), message_id="m", at=_NOW)
    return WholeRun(summary=summary, request_id="r", history=history, inbox=(entry,), requests=("s",))


def _runs() -> list[bytes]:
    """Return runs of a few events each, without the line that ends them; each kind of event is in one."""
    [created, *_] = samples(RunCreated)
    others = [event for kind in EVENT_NAMES if kind is not RunCreated for event in samples(kind)]
    parts = [others[start : start + 5] for start in range(0, len(others), 5)]
    runs = [_run([created, *part]) for part in parts]  # type: ignore[list-item]
    return [b"".join(itertools.islice(run_lines(SavedRun(run, _origins(run))), len(run.history) + 2)) for run in runs]


def _origins(run: WholeRun) -> dict[RunKey, int]:
    return {key: 7 for key in keys_of(run) if key < FOREIGN_KEYS}


def _file(lines: bytes) -> list[bytes]:
    digest = hashlib.blake2b(lines, digest_size=16).hexdigest()
    ended = msgspec.json.encode({"end_of_run": digest}) + b"\n"
    return [heading_line(now=_NOW), *lines.splitlines(keepends=True), ended, end_line(1)]


def _read_run(data: bytes) -> None:
    for found in read_runs(_file(data)):
        if isinstance(found, SavedRun):
            *lines, _ = run_lines(found)
            [again] = read_runs(_file(b"".join(lines)))
            demand_equal(again, found)
            for recorded in found.run.history:
                event_record(recorded)
            with suppress(HistoryError):
                demand_sound(found.run)


def _archives() -> list[bytes]:
    parts = [gzip.compress(run, mtime=0) for run in _runs()[:3]]
    return [parts[0], b"".join(parts), gzip.compress(b"", mtime=0) + parts[1], gzip.compress(b"x" * 2**20, mtime=0)]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="perdure-fuzz-")


def _read_archive(data: bytes) -> None:
    """Read a compressed file: what is told to be whole is what gzip reads."""
    file = Path(_folder().name) / "archive.jsonl.gz"
    file.write_bytes(data)
    lines = list(lines_of(file))
    if UNREADABLE not in lines:
        demand_equal(b"".join(lines), gzip.decompress(data))


def _turns() -> list[bytes]:
    return [msgspec.json.encode(sample) for sample in samples(TurnState)]


def _read_turn(data: bytes) -> None:
    entry = AgendaEntry(key=RETENTION_KEY, version=RunKey(1), due_at=None, waits=False, data=text_of(data))
    state = read_state(entry)
    again = msgspec.structs.replace(entry, data=msgspec.json.encode(state).decode())
    demand_equal(read_state(again), state)


EXPORTED: Final = (
    Target(name="run-file", corpus=_runs, read=_read_run, expected=(HistoryError,)),
    Target(name="archive", corpus=_archives, read=_read_archive, expected=(HistoryError,)),
    Target(name="retention-turn", corpus=_turns, read=_read_turn),
)
