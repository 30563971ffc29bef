"""Profile a folder of CSV files. Started again, after a crash or for fun, it goes on where it stood.

The run is named after the folder's whole path, so the second start finds the first one's run: files that are done stay
done, and those that were being read are read on from their last saved heartbeat.
"""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from examples.data_pipeline.activities import Report
from examples.data_pipeline.display import follow_with_bar
from examples.data_pipeline.trips import write_trips
from examples.data_pipeline.workflow import Job, profile_folder
from perdure import Engine, Settings

__all__ = ["main", "run_pipeline"]

SETTINGS = Settings(heartbeat_save_seconds=0.5)
"""How much is read again after a crash, and how smoothly the bar moves."""


async def run_pipeline(job: Job, *, database: str, console: Console) -> Report:
    """Start the folder's run, or find it; show its progress; return its result."""
    async with Engine(database, settings=SETTINGS) as engine:
        run = await engine.start(profile_folder, job, id=f"profile-{job.folder}")
        await follow_with_bar(run, console)
        return await run.result()


def main() -> None:
    """Read the command line and do what it says."""
    given = make_parser().parse_args()
    action: Callable[[argparse.Namespace], None] = given.action
    action(given)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: without a command it profiles the trips, and makes them first."""
    parser = argparse.ArgumentParser(prog="python -m examples.data_pipeline", description="Profile CSV files.")
    parser.add_argument("--db", default="sqlite:///pipeline.db", help="the database of the runs")
    parser.set_defaults(action=_run, folder=None, output=None, concurrency=4)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    run = commands.add_parser("run", help="profile a folder (this is the default, with the folder `trips`)")
    run.add_argument("folder", type=Path, help="all .csv and .csv.gz files below it are read")
    run.add_argument("--output", type=Path, help="where the report goes (FOLDER-profile)")
    run.add_argument("--concurrency", type=int, default=4, help="how many files are read at once (4)")
    generate = commands.add_parser("generate", help="make a folder of files to profile")
    generate.add_argument("folder", type=Path, nargs="?", default=TRIPS)
    generate.add_argument("--months", type=int, default=24, help="how many files (24)")
    generate.add_argument("--trips", type=int, default=20_000, help="how many rows in each (20000)")
    generate.set_defaults(action=_generate)
    return parser


TRIPS = Path("trips")


def _run(given: argparse.Namespace) -> None:
    folder = given.folder or TRIPS
    if given.folder is None and not TRIPS.exists():
        write_trips(TRIPS, months=24, trips_per_month=20_000)
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder")
    output = given.output or folder.with_name(f"{folder.name}-profile")
    job = Job(folder=str(folder.resolve()), output=str(output.resolve()), concurrency=given.concurrency)
    report = asyncio.run(run_pipeline(job, database=given.db, console=Console(stderr=True)))
    print(f"{report.files} files, {report.rows} rows: {report.path}")
    if report.resumed:
        print(f"{report.resumed} files were read on from a checkpoint")
    for skipped in report.skipped:
        print(f"left out: {skipped.name}: {skipped.reason}")


def _generate(given: argparse.Namespace) -> None:
    write_trips(given.folder, months=given.months, trips_per_month=given.trips)


if __name__ == "__main__":
    main()
