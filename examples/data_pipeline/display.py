"""A progress bar with rate and remaining time, drawn from a run's events. Where there is no terminal it stays quiet."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from examples.data_pipeline.activities import Checkpoint, Report
from examples.data_pipeline.workflow import FilesDone, files_done
from perdure import RecordedEvent, Run
from perdure.events import ActivityHeartbeatRecorded, value_of

__all__ = ["follow_with_bar"]


async def follow_with_bar(run: Run[Report], console: Console) -> None:
    """Show how far a run is until it has ended. It may be begun anew at any time: the run knows how far it is."""
    begun: dict[str, int] = {}
    with _bar(console) as bar:
        first = await run.query(files_done)
        task = bar.add_task("", total=first.bytes_in_all or None, completed=first.bytes_done, files="")
        async for recorded in run.watch():
            note_heartbeat(recorded, begun)
            done = await run.query(files_done)
            bar.update(
                task,
                total=done.bytes_in_all or None,
                completed=bytes_read(done, begun),
                files=f"{len(done.names)} of {done.files_in_all} files",
            )


def bytes_read(done: FilesDone, begun: dict[str, int]) -> int:
    """Return how much was read: of the files that are done all, of those begun what their last heartbeat said."""
    return done.bytes_done + sum(count for name, count in begun.items() if name not in done.names)


def note_heartbeat(recorded: RecordedEvent, begun: dict[str, int]) -> None:
    """Take note of how much of a file was read when a heartbeat of it was saved."""
    if isinstance(recorded.event, ActivityHeartbeatRecorded):
        checkpoint = value_of(recorded.event.details, Checkpoint)
        begun[checkpoint.name] = checkpoint.bytes_read


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.fields[files]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
