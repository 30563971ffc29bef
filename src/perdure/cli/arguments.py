"""The arguments that several commands share."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from perdure.cli.database import DEFAULT_URL, Place
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.kernel.transition import RunStatus

__all__ = [
    "ALL",
    "HERE",
    "AppModules",
    "DatabaseArguments",
    "Form",
    "Generation",
    "Json",
    "Labels",
    "Reason",
    "RequestId",
    "RunFilter",
    "RunId",
    "Statuses",
    "WorkflowNames",
]

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")]
Form = Annotated[
    Literal["text", "ruff", "json", "github", "sarif"], Parameter(name="--format", help="How findings are printed.")
]
Reason = Annotated[str, Parameter(help="Why; recorded in the history.")]
RequestId = Annotated[
    str | None, Parameter(help="Makes a repetition of this call harmless, also when the run has ended.")
]
RunId = Annotated[str, Parameter(name="ID", help="Id of the run.")]
Generation = Annotated[
    int | None, Parameter(help="A generation of the run, from 1, where it was continued as new; the latest otherwise.")
]
AppModules = Annotated[
    list[str] | None, Parameter(help="A module that defines the workflow; may be repeated.", negative="")
]
Labels = Annotated[list[str] | None, Parameter(help="A label of the run, as NAME=VALUE; may be repeated.", negative="")]
Statuses = Annotated[list[RunStatus] | None, Parameter(help="Only runs in this status; may be repeated.", negative="")]
WorkflowNames = Annotated[list[str] | None, Parameter(help="Only runs of this workflow; may be repeated.", negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatabaseArguments:
    """Which database, and which namespace of it."""

    db: Annotated[str, Parameter(help="URL of the database.", env_var="PERDURE_URL")] = DEFAULT_URL
    namespace: Annotated[str, Parameter(help="Namespace of the runs.")] = DEFAULT_NAMESPACE

    def place(self) -> Place:
        """Return them as the commands take them."""
        return Place(url=self.db, namespace=self.namespace)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs; all of what is said must hold."""

    status: Statuses = None
    workflow: WorkflowNames = None
    label: Annotated[
        list[str] | None, Parameter(help="Only runs with this label, as NAME=VALUE; may be repeated.", negative="")
    ] = None
    tenant: Annotated[str | None, Parameter(help="Only runs of this tenant.")] = None
    id_prefix: Annotated[str, Parameter(help="Only runs whose id begins so.")] = ""
    since: Annotated[
        str | None, Parameter(help="Only runs created since then: 2h or 7d (ago), or a date and time in ISO 8601.")
    ] = None


HERE: Final = DatabaseArguments()
ALL: Final = RunFilter()
