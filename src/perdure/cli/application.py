"""The commands with all their arguments: what `perdure --help` shows, and nothing of what they do."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, CycloptsError, Parameter

from perdure.cli.database import DEFAULT_URL, Place
from perdure.cli.exits import ExitCode, exit_code_of
from perdure.cli.printing import complain
from perdure.errors import PerdureError, UsageError
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunQuery

__all__ = ["make_application", "run_command_line"]


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors are printed, not raised."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
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
    from perdure.cli.control_commands import bulk, resume, suspend, terminate
    from perdure.cli.outside_commands import complete, fail, stream
    from perdure.cli.schedule_application import make_schedule_application

    application = App(
        name="perdure",
        help="Durable asynchronous workflows: look at, steer and examine the runs of a database.",
        version=f"perdure {version('perdure')}",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
    )
    for command in (
        demo,
        start,
        list_,
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
        bulk,
        doctor,
        lint,
        replay,
    ):
        application.command(command, name=command.__name__.rstrip("_"))
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


_EPILOGUE: Final = "Exit codes: 0 done, 1 failed, 2 called wrongly, 3 no such run or schedule."

# --- arguments that several commands share ---------------------------------------------------------------------------


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatabaseArguments:
    """Which database, and which namespace of it."""

    db: Annotated[str, Parameter(help="URL of the database.", env_var="PERDURE_URL")] = DEFAULT_URL
    namespace: Annotated[str, Parameter(help="Namespace of the runs.")] = DEFAULT_NAMESPACE

    def place(self) -> Place:
        """Return them as the commands take them."""
        return Place(url=self.db, namespace=self.namespace)


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")]
RequestId = Annotated[
    str | None, Parameter(help="Makes a repetition of this call harmless, also when the run has ended.")
]
RunId = Annotated[str, Parameter(name="ID", help="Id of the run.")]
Generation = Annotated[
    int | None, Parameter(help="A generation of the run, from 1, where it was continued as new; the latest otherwise.")
]
Statuses = Annotated[list[RunStatus] | None, Parameter(help="Only runs in this status; may be repeated.", negative="")]
WorkflowNames = Annotated[list[str] | None, Parameter(help="Only runs of this workflow; may be repeated.", negative="")]
_HERE: Final = DatabaseArguments()

# --- the commands ----------------------------------------------------------------------------------------------------


def demo(
    *,
    directory: Annotated[
        Path | None, Parameter(help="Where to keep the database and the log; a new temporary folder otherwise.")
    ] = None,
    fast: Annotated[bool, Parameter(negative="", help="Ten times as fast, too fast to watch.")] = False,
    json: Json = False,
) -> int:
    """Run twenty orders through a workflow, kill the worker in the middle, show that nothing was lost or done twice."""
    from perdure.cli.demo.demonstration import demonstrate

    return demonstrate(directory=directory, is_fast=fast, as_json=json)


def start(
    workflow: Annotated[str, Parameter(name="WORKFLOW", help="Name of the workflow.")],
    arguments: Annotated[
        tuple[str, ...], Parameter(name="ARGUMENT", help="An argument, in JSON; may be repeated.")
    ] = (),
    /,
    *,
    app: Annotated[
        list[str] | None, Parameter(help="A module that defines the workflow; may be repeated.", negative="")
    ] = None,
    id: Annotated[str | None, Parameter(help="Id of the run; the run that has it, if there is one.")] = None,
    at: Annotated[str | None, Parameter(help="Begin not before this date and time in ISO 8601.")] = None,
    after: Annotated[str | None, Parameter(help="Begin so much later than now, for example 90s or 2h.")] = None,
    label: Annotated[
        list[str] | None, Parameter(help="A label of the run, as NAME=VALUE; may be repeated.", negative="")
    ] = None,
    tenant: Annotated[str, Parameter(help="Tenant of the run.")] = "",
    request_id: Annotated[str, Parameter(help="Makes a repetition of this call give the run of the first.")] = "",
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Start a run, now or later; return when it is durable. A worker that has the workflow runs it."""
    from perdure.cli.starting import NewRun, start_run

    new = NewRun(
        workflow=workflow,
        arguments=arguments,
        apps=tuple(app or ()),
        id=id,
        start_at=at,
        start_after=after,
        labels=tuple(label or ()),
        tenant=tenant,
        request_id=request_id,
    )
    return asyncio.run(start_run(database.place(), new, as_json=json))


def list_(
    *,
    status: Statuses = None,
    parked: Annotated[
        bool, Parameter(negative="", help="Only runs that are parked: they wait for code that fits.")
    ] = False,
    workflow: WorkflowNames = None,
    label: Annotated[
        list[str] | None, Parameter(help="Only runs with this label, as NAME=VALUE; may be repeated.", negative="")
    ] = None,
    tenant: Annotated[str | None, Parameter(help="Only runs of this tenant.")] = None,
    id_prefix: Annotated[str, Parameter(help="Only runs whose id begins so.")] = "",
    since: Annotated[
        str | None, Parameter(help="Only runs created since then: 2h or 7d (ago), or a date and time in ISO 8601.")
    ] = None,
    limit: Annotated[int, Parameter(help="At most so many runs.")] = 50,
    cursor: Annotated[str, Parameter(help="Go on after an earlier page, which ended with this cursor.")] = "",
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """List runs, newest first."""
    from perdure.cli.listing import RunFilter, list_runs

    chosen = RunFilter(
        statuses=frozenset(status or ()),
        only_parked=parked,
        workflows=frozenset(workflow or ()),
        labels=tuple(label or ()),
        tenant=tenant,
        id_prefix=id_prefix,
        since=since,
        limit=limit,
        cursor=cursor,
    )
    return asyncio.run(list_runs(database.place(), chosen, as_json=json))


def show(
    id: RunId, /, *, generation: Generation = None, database: DatabaseArguments = _HERE, json: Json = False
) -> int:
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
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Print the events of a run; with --json one per line, complete."""
    from perdure.cli.telling import export_history, tell_history

    if export is not None:
        return asyncio.run(export_history(database.place(), id, generation=generation, file=export))
    return asyncio.run(
        tell_history(database.place(), id, generation=generation, after=after, limit=limit, as_json=json)
    )


def signal(
    id: RunId,
    name: Annotated[str, Parameter(help="Name of the signal.")],
    body: Annotated[str, Parameter(help="Its body, in JSON.")] = "null",
    /,
    *,
    request_id: RequestId = None,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Send a signal to a run; return when it is durable."""
    from perdure.cli.steering import send_signal

    return asyncio.run(send_signal(database.place(), id, name, body, request_id=request_id, as_json=json))


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
    database: DatabaseArguments = _HERE,
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
    module: Annotated[
        tuple[str, ...],
        Parameter(help="Module that defines the workflow, whose code answers here; may be repeated.", negative=""),
    ] = (),
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Ask a run and print the answer; it changes nothing, and works on waiting, suspended and closed runs."""
    from perdure.cli.asking import ask_query

    return asyncio.run(ask_query(database.place(), id, name, arguments, modules=module, as_json=json))


def cancel(
    id: RunId,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; recorded in the history.")] = "",
    grace: Annotated[
        str | None,
        Parameter(help="Terminate the run if its clean-up takes longer, for example 30s; no limit otherwise."),
    ] = None,
    request_id: RequestId = None,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Ask a run to end, with clean-up and compensation; return when the request is durable."""
    from perdure.cli.steering import request_cancel

    return asyncio.run(
        request_cancel(database.place(), id, reason=reason, grace=grace, request_id=request_id, as_json=json)
    )


def doctor(
    *,
    app: Annotated[
        list[str] | None,
        Parameter(help="A module that defines workflows, to compare with the open runs; may be repeated.", negative=""),
    ] = None,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Examine this installation and the database: versions, settings, integrity, locks, sessions, space, code."""
    from perdure.cli.examination import examine

    return asyncio.run(examine(database.place(), apps=app or [], as_json=json))


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
    form: Annotated[
        Literal["text", "ruff", "json", "github", "sarif"], Parameter(name="--format", help="How findings are printed.")
    ] = "text",
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
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Replay histories against today's code, and show where the code does something else; nothing is written."""
    from perdure.cli import replaying

    if from_store == bool(files):
        raise UsageError("name saved histories, or take the database's: perdure replay --from-store")
    if files:
        return replaying.replay_files(files, apps=app or [], as_json=json)
    query = RunQuery(
        namespace=database.namespace, statuses=frozenset(status or ()), workflows=frozenset(workflow or ())
    )
    chosen = replaying.Choice(query=query, limit=limit, sample=sample, seed=seed)
    return asyncio.run(replaying.replay_store(database.place(), chosen, apps=app or [], as_json=json))
