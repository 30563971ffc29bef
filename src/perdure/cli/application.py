"""The command line: its commands, and those that start, show, ask and examine with all their arguments.

What the commands do is in modules that are imported when they are called.
"""

import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Parameter

from perdure.cli.archive_commands import compact, export, import_, prune
from perdure.cli.arguments import (
    ALL,
    HERE,
    DatabaseArguments,
    Form,
    Generation,
    Json,
    RunFilter,
    RunId,
    Statuses,
    WorkflowNames,
)
from perdure.cli.control_commands import bulk, cancel, resume, signal, suspend, terminate
from perdure.cli.copy_commands import backup, replicate, restore
from perdure.cli.exits import ExitCode, exit_code_of
from perdure.cli.lock_commands import locks
from perdure.cli.outside_commands import complete, fail, stream
from perdure.cli.printing import complain
from perdure.cli.queue_commands import tasks
from perdure.cli.repair_commands import fork, reset, retry
from perdure.cli.row_security_command import row_security
from perdure.cli.schedule_application import make_schedule_application
from perdure.cli.start_commands import start, waiting
from perdure.cli.verify_command import verify
from perdure.cli.work_commands import dev, worker, workers
from perdure.errors import PerdureError, UsageError
from perdure.ports.store import RunQuery

__all__ = ["make_application", "run_command_line"]


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors are printed, not raised."""
    for output in (sys.stdout, sys.stderr):
        if hasattr(output, "reconfigure"):
            output.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(arguments))
        sys.stdout.flush()  # here, where a reader that went away is expected, not at exit
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at exit; it must not find the broken pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def make_application() -> App:
    """Return the parser of the command line."""
    application = App(
        name="perdure",
        help="Durable asynchronous workflows: work on, look at, steer and examine the runs of a database.",
        version=f"perdure {version('perdure')}",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
    )
    for command in (
        demo,
        dev,
        worker,
        start,
        list_,
        waiting,
        show,
        history,
        signal,
        update,
        query,
        stream,
        complete,
        fail,
        cancel,
        terminate,
        suspend,
        resume,
        retry,
        reset,
        fork,
        bulk,
        locks,
        tasks,
        workers,
        backup,
        replicate,
        restore,
        export,
        import_,
        prune,
        compact,
        doctor,
        verify,
        row_security,
        lint,
        replay,
    ):
        application.command(command, name=command.__name__.rstrip("_").replace("_", "-"))
    application.command(make_schedule_application())
    return application


def _run(arguments: list[str]) -> int:
    application = make_application()
    called = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        command, bound, _ = application.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        complain(f"{error}\nTry: perdure {called} --help" if called in application else f"{error}\nTry: perdure --help")
        return ExitCode.USAGE
    try:
        return command(*bound.args, **bound.kwargs) or ExitCode.OK
    except PerdureError as error:
        complain(str(error), command=called)
        return exit_code_of(error)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        complain(f"no file can be called {error.filename!r:.200}: {error.strerror}", command=called)
        return ExitCode.USAGE


_EPILOGUE: Final = "Exit codes: 0 done, 1 failed, 2 called wrongly, 3 no such run or schedule."

# --- the commands ----------------------------------------------------------------------------------------------------


def demo(
    *,
    directory: Annotated[
        Path | None, Parameter(help="Where to keep the database and the log; a new temporary folder otherwise.")
    ] = None,
    fast: Annotated[bool, Parameter(negative="", help="Ten times as fast, too fast to watch.")] = False,
    workers: Annotated[
        int, Parameter(help="How many work; one is killed, and with more than one the others go on.")
    ] = 1,
    postgres: Annotated[
        bool,
        Parameter(
            negative="",
            help="On a PostgreSQL server of its own, which also cuts a living worker off when one is killed.",
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Run twenty orders through a workflow, kill a worker in the middle, show that nothing was lost or done twice."""
    from perdure.cli.demo.demonstration import demonstrate

    return demonstrate(directory=directory, is_fast=fast, as_json=json, workers=workers, on_postgres=postgres)


def list_(
    *,
    chosen: RunFilter = ALL,
    parked: Annotated[
        bool, Parameter(negative="", help="Only runs that are parked: they wait for code that fits.")
    ] = False,
    limit: Annotated[int, Parameter(help="At most so many runs.")] = 50,
    cursor: Annotated[str, Parameter(help="Go on after an earlier page, which ended with this cursor.")] = "",
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """List runs, newest first."""
    from perdure.cli.listing import Listing, list_runs

    listing = Listing(chosen=chosen, only_parked=parked, limit=limit, cursor=cursor)
    return asyncio.run(list_runs(database.place(), listing, as_json=json))


def show(id: RunId, /, *, generation: Generation = None, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Show a run: where it stands, what it waits for, what went wrong last."""
    from perdure.cli.showing import show_run

    return asyncio.run(show_run(database.place(), id, generation=generation, as_json=json))


def history(
    id: RunId,
    /,
    *,
    generation: Generation = None,
    after: Annotated[int, Parameter(help="Only events after this sequence number.")] = 0,
    limit: Annotated[int | None, Parameter(help="At most so many events.")] = None,
    export: Annotated[Path | None, Parameter(help="Save the whole history in this file, for `perdure replay`.")] = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Print the events of a run; with --json one per line, complete."""
    from perdure.cli.telling import export_history, tell_history

    if export is not None:
        return asyncio.run(export_history(database.place(), id, generation=generation, file=export))
    return asyncio.run(
        tell_history(database.place(), id, generation=generation, after=after, limit=limit, as_json=json)
    )


def update(
    id: RunId,
    name: Annotated[str, Parameter(help="Name of the update.")],
    input: Annotated[str, Parameter(help="Its input, in JSON.")] = "null",
    /,
    *,
    accepted: Annotated[
        bool, Parameter(negative="", help="Return when the run has accepted it; otherwise when it is completed.")
    ] = False,
    timeout: Annotated[str, Parameter(help="How long to wait; the update goes on.")] = "30s",
    request_id: Annotated[
        str | None,
        Parameter(help="Makes a repetition of this call give the answer of the first, and no second effect."),
    ] = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Update a run and print the result; a worker that has the workflow must run."""
    from perdure.cli.asking import Asking, send_update

    asking = Asking(request_id=request_id, waits=not accepted, timeout=timeout, as_json=json)
    return asyncio.run(send_update(database.place(), id, name, input, asking))


def query(
    id: RunId,
    name: Annotated[str, Parameter(help="Name of the query.")],
    arguments: Annotated[
        tuple[str, ...], Parameter(name="ARGUMENT", help="An argument, in JSON; may be repeated.")
    ] = (),
    /,
    *,
    app: Annotated[
        list[str] | None,
        Parameter(help="A module that defines the workflow, whose code answers here; may be repeated.", negative=""),
    ] = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Ask a run and print the answer; it changes nothing, and works on waiting, suspended and closed runs."""
    from perdure.cli.asking import ask_query

    return asyncio.run(ask_query(database.place(), id, name, arguments, apps=app or [], as_json=json))


def doctor(
    *,
    app: Annotated[
        list[str] | None,
        Parameter(help="A module that defines workflows, to compare with the open runs; may be repeated.", negative=""),
    ] = None,
    every: Annotated[
        bool, Parameter(name="--all", negative="", help="With --app: replay every open run, not only the 1,000 oldest.")
    ] = False,
    quick: Annotated[
        bool,
        Parameter(
            negative="",
            help="Leave out what reads the whole database: integrity, and open runs but for the 10,000 oldest.",
        ),
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Examine this installation and the database: versions, settings, integrity, locks, sessions, space, code."""
    from perdure.cli.examination import examine

    return asyncio.run(examine(database.place(), apps=app or [], replays_all=every, is_quick=quick, as_json=json))


def lint(
    paths: Annotated[list[Path] | None, Parameter(name="PATHS", help="Files and folders; `.` otherwise.")] = None,
    /,
    *,
    select: Annotated[
        list[str] | None, Parameter(help="Only rules whose codes begin so; may be repeated.", negative="")
    ] = None,
    ignore: Annotated[
        list[str] | None, Parameter(help="Not the rules whose codes begin so; may be repeated.", negative="")
    ] = None,
    form: Form = "text",
    explain: Annotated[str | None, Parameter(help="Explain a rule by its code, or list `all`; check nothing.")] = None,
) -> int:
    """Find what workflow code does that does not replay: clocks, chance, files, threads, forgotten awaits and more."""
    from perdure.cli import linting

    if explain is not None:
        return linting.explain(explain)
    return linting.lint(paths or [Path()], select=select or [], ignore=ignore or [], form=form)


def replay(
    files: Annotated[list[Path] | None, Parameter(name="FILES", help="Saved histories, or folders of *.jsonl.")] = None,
    /,
    *,
    app: Annotated[
        list[str] | None, Parameter(help="A module that defines workflows; may be repeated.", negative="")
    ] = None,
    from_store: Annotated[bool, Parameter(negative="", help="Replay the runs of the database instead.")] = False,
    status: Statuses = None,
    workflow: WorkflowNames = None,
    limit: Annotated[int | None, Parameter(help="At most so many runs, the newest.")] = None,
    sample: Annotated[int | None, Parameter(help="So many runs, chosen by chance.")] = None,
    seed: Annotated[int, Parameter(help="What the chance of --sample depends on.")] = 0,
    database: DatabaseArguments = HERE,
    form: Form = "text",
    json: Json = False,
) -> int:
    """Replay histories against today's code, and show where the code does something else; nothing is written."""
    from perdure.cli import replaying

    if from_store == bool(files):
        raise UsageError("name saved histories, or take the database's: perdure replay --from-store")
    form = "json" if json else form
    if files:
        return replaying.replay_files(files, apps=app or [], form=form)
    query = RunQuery(
        namespace=database.namespace, statuses=frozenset(status or ()), workflows=frozenset(workflow or ())
    )
    chosen = replaying.Choice(query=query, limit=limit, sample=sample, seed=seed)
    return asyncio.run(replaying.replay_store(database.place(), chosen, apps=app or [], form=form))
