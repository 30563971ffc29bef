"""`perdure history`: the events of a run in their order."""

from collections.abc import AsyncIterator
from pathlib import Path

from perdure.archiving.event_lines import event_record
from perdure.cli.database import Place, as_client, store_of
from perdure.cli.exits import ExitCode
from perdure.cli.payload_text import event_details
from perdure.cli.printing import make_table, print_for_people, print_json_line, printable, words
from perdure.cli.run_report import find_run, read_pages
from perdure.cli.times import show_moment
from perdure.errors import InvalidArgumentError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunStore, RunSummary
from perdure.testing.history_files import history_text

__all__ = ["export_history", "tell_history"]


async def tell_history(
    place: Place, run_id: str, *, generation: int | None, after: int, limit: int | None, as_json: bool
) -> int:
    """Print the events of a run. Raises RunNotFoundError, NoDatabaseError, StoreErrors, UsageError."""
    if after < 0 or (limit is not None and limit < 1):
        message = f"--after is {after} and --limit {limit}; allowed are numbers from 0 and from 1"
        raise InvalidArgumentError(message)
    async with as_client(place) as engine:
        store = store_of(engine)
        ref = RunRef(namespace=place.namespace, id=run_id, generation=generation or 1)
        summary = await find_run(store, ref, latest=generation is None)
        events = _events(store, summary, after=after, limit=limit)
        if as_json:
            async for recorded in events:
                print_json_line(event_record(recorded), is_answer=True)
        else:
            await _print_for_people(events, now=engine.worker.clock.now())
    return ExitCode.OK


async def export_history(place: Place, run_id: str, *, generation: int | None, file: Path) -> int:
    """Save the whole history of a run. Raises RunNotFoundError, NoDatabaseError, StoreErrors; UsageError (the file)."""
    async with as_client(place) as engine:
        store = store_of(engine)
        ref = RunRef(namespace=place.namespace, id=run_id, generation=generation or 1)
        summary = await find_run(store, ref, latest=generation is None)
        history = [recorded async for page in read_pages(store, summary) for recorded in page]
    _save(file, history_text(history))
    print(f"{len(history)} events of {printable(str(summary.ref))} saved in {printable(str(file))}")
    return ExitCode.OK


def _save(file: Path, text: bytes) -> None:
    try:
        file.write_bytes(text)
    except OSError as error:
        message = f"--export {file}: {error.strerror or error}"
        raise InvalidArgumentError(message) from error


async def _events(
    store: RunStore, summary: RunSummary, *, after: int, limit: int | None
) -> AsyncIterator[RecordedEvent]:
    last = summary.sequence if limit is None else after + limit
    async for page in read_pages(store, summary, after=after):
        for recorded in page:
            if recorded.sequence > last:
                return
            yield recorded


async def _print_for_people(events: AsyncIterator[RecordedEvent], *, now: Timestamp) -> None:
    table = make_table(">#", "time", "event", "details")
    async for recorded in events:
        name = event_record(recorded)["event"]
        table.add_row(
            str(recorded.sequence),
            show_moment(recorded.at, now=now),
            words(str(name), _STYLES.get(str(name), "")),
            words(event_details(recorded.event, now=now)),
        )
    print_for_people(table)


_STYLES = {
    "run_completed": "green",
    "run_failed": "bold red",
    "run_cancelled": "yellow",
    "run_terminated": "red",
    "activity_failed": "red",
    "activity_timed_out": "red",
    "activity_attempt_failed": "yellow",
    "stage_failed": "red",
    "stage_started": "bold",
    "recovery_started": "magenta",
    "recovery_completed": "magenta",
}
