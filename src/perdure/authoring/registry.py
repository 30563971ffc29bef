"""The registry: which workflows and activities this process has code for, by name, workflows also by version.

A decorated function registers itself when its module is imported; a worker finds it again by the name (and version)
that its histories hold. Two definitions of one name and version are an error, except that a module that is loaded again
replaces what it defined before, and that anything replaces what was defined inside a function (as tests do).

Versions of a workflow stand side by side. The newest is that which is greatest, groups of digits counting as numbers:
``"2" < "10"``, ``"1.9" < "1.10"``, ``"2026-05" < "2026-11"``.
"""

import re
import threading
from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from weakref import WeakMethod

from perdure.authoring.arguments import require_text
from perdure.errors import UnknownActivityError, UnknownWorkflowError, UsageError
from perdure.kernel.coroutine_program import Entry
from perdure.kernel.events import RunCreated
from perdure.kernel.identity import WorkflowVersion

if TYPE_CHECKING:
    from perdure.authoring.activity import Activity
    from perdure.authoring.workflow import Workflow

__all__ = ["Registry", "default_registry"]


class _Definition(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def function(self) -> Callable[..., Any]: ...


K = TypeVar("K")
D = TypeVar("D", bound=_Definition)
W = TypeVar("W", bound="Workflow[*tuple[Any, ...], Any]")


class Registry:
    """Definitions by name. `activity_limits`: the `max_concurrent_activities` that the newest versions declare;
    `activity_names`: of which activities there is code. `changes`: how often code has come. `fingerprint`: the name of
    the code, after how many changes (see `perdure.authoring.fingerprint`)."""

    def __init__(self) -> None:
        """Begin empty."""
        self._workflows: dict[WorkflowVersion, Workflow[*tuple[Any, ...], Any]] = {}
        self._newest: dict[str, Workflow[*tuple[Any, ...], Any]] = {}
        self._activities: dict[str, Activity[..., Any]] = {}
        self._workflow_versions: frozenset[WorkflowVersion] = frozenset()
        self.activity_limits: dict[str, int] = {}
        self.activity_names: frozenset[str] = frozenset()
        self.changes = 0
        self.fingerprint: tuple[int, str] = (-1, "")
        self._watchers: list[WeakMethod[Callable[[], None]]] = []
        self._watchers_lock = threading.Lock()  # engines of several threads begin to watch, each on its own

    def add_workflow(self, definition: "Workflow[*tuple[Any, ...], Any]") -> None:
        """Add a workflow. Raises UsageError if another function has the name and the version."""
        name, version = key = WorkflowVersion(definition.name, definition.version)
        kind = "workflow" if version == "1" else f"workflow version {version!r}"
        _add(self._workflows, key, definition, kind)
        newest = self._newest.get(name)
        if newest is None or _order_of(version) >= _order_of(newest.version):
            self._newest[name] = definition
            self._limit_activities(definition)
        if key not in self._workflow_versions:
            self._workflow_versions = frozenset(self._workflows)
        self._tell()

    def _limit_activities(self, definition: "Workflow[*tuple[Any, ...], Any]") -> None:
        if definition.max_concurrent_activities is None:
            self.activity_limits.pop(definition.name, None)
        else:
            self.activity_limits[definition.name] = definition.max_concurrent_activities

    def add_activity(self, definition: "Activity[..., Any]") -> "Activity[..., Any]":
        """Add an activity, and return it. Raises UsageError if another function has the name."""
        _add(self._activities, definition.name, definition, "activity")
        if definition.name not in self.activity_names:
            self.activity_names = frozenset(self._activities)
        self._tell()
        return definition

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a bound method whenever there is new code, in the thread that adds it, as long as its object lives.

        A definition that is made again (a module that is loaded again, a cell of a notebook) is new code, too.
        """
        with self._watchers_lock:
            alive = [reference for reference in self._watchers if reference() is not None]
            self._watchers = [*alive, WeakMethod(watcher)]

    def _tell(self) -> None:
        self.changes += 1
        for reference in self._watchers:
            watcher = reference()
            if watcher is not None:
                watcher()

    def workflow(self, name: str, version: str | None = None) -> "Workflow[*tuple[Any, ...], Any]":
        """Return the workflow of this name and version (None: the newest). Raises UnknownWorkflowError."""
        found = self._newest.get(name) if version is None else self.find(name, version)
        if found is None:
            raise UnknownWorkflowError(self._unknown(name, version))
        return found

    def find(self, name: str, version: str) -> "Workflow[*tuple[Any, ...], Any] | None":
        """Return the workflow of this name and version; None if there is no code for its runs."""
        return self._workflows.get(WorkflowVersion(name, version))

    def entry_of(self, standing: RunCreated) -> Entry:
        """Return what makes the coroutine of a run, by who it is now: of a fork ask `perdure.kernel.standing`.

        Raises UnknownWorkflowError.
        """
        return self.workflow(standing.workflow, standing.definition_version).entry(self)

    def at_version(self, definition: W, version: str | None) -> W:
        """Return another version of a workflow (None: the same), under whose name and version runs can be started.

        Where this process has no code for it, that is the same definition with the other version on it.

        Raises InvalidArgumentError for a version that is no text.
        """
        if version is None or require_text(version, "version") == definition.version:
            return definition
        found = self.find(definition.name, version)
        if found is not None:
            return cast("W", found)  # of one name: who names a version vouches for its types
        twin = copy(definition)
        twin.version = version
        return twin

    def newest(self, definition: W) -> W:
        """Return the newest version of a workflow that this process has."""
        return cast("W", self._newest.get(definition.name, definition))  # as in `at_version`

    def versions_of(self, name: str) -> tuple[str, ...]:
        """Return the versions of a workflow that this process has, the newest last."""
        return tuple(sorted((key.version for key in self._workflows if key.name == name), key=_order_of))

    def _unknown(self, name: str, version: str | None) -> str:
        if name not in self._newest:
            return (
                f"no workflow named {name!r} is defined in this process; import the module that defines it. "
                f"{_known(sorted(self._newest))}"
            )
        return (
            f"the workflow {name!r} is defined in this process, but not its version {version!r}; import the module "
            f"that defines @workflow(name={name!r}, version={version!r}), beside what is there. "
            f"{_known(self.versions_of(name))}"
        )

    def activity(self, name: str) -> "Activity[..., Any]":
        """Return the activity of this name. Raises UnknownActivityError."""
        found = self._activities.get(name)
        if found is None:
            message = (
                f"no activity named {name!r} is defined in this process; import the module that defines it. "
                f"{_known(sorted(self._activities))}"
            )
            raise UnknownActivityError(message)
        return found

    @property
    def activities(self) -> "tuple[Activity[..., Any], ...]":
        """All activities."""
        return tuple(self._activities.values())

    @property
    def workflow_versions(self) -> frozenset[WorkflowVersion]:
        """All workflows with their versions."""
        return self._workflow_versions

    def find_newest(self, name: str) -> "Workflow[*tuple[Any, ...], Any] | None":
        """Return the newest version of the workflow of this name, None if there is no code for it."""
        return self._newest.get(name)


default_registry = Registry()
"""Where the decorators put their definitions: what a process can run is a fact about the process."""


def _add(definitions: dict[K, D], key: K, definition: D, kind: str) -> None:
    known = definitions.get(key)
    if known is not None and not _replaces(definition.function, known.function):
        other = "another name with @activity(name=...)"
        if kind != "activity":
            other = "another name or version with @workflow(name=..., version=...)"
        message = (
            f"two {kind} functions are named {definition.name!r}: {_place(known.function)} and "
            f"{_place(definition.function)}; give one of them {other}"
        )
        raise UsageError(message)
    definitions[key] = definition


def _replaces(new: Callable[..., Any], old: Callable[..., Any]) -> bool:
    return _source(new) == _source(old) or "<locals>" in old.__qualname__


def _source(function: Callable[..., Any]) -> tuple[str, str]:
    """Return file and name: a function stays itself when its module is loaded again under another name (`__main__`)."""
    code = getattr(function, "__code__", None)
    return (function.__module__ if code is None else code.co_filename, function.__qualname__)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _known(names: Iterable[str]) -> str:
    known = ", ".join(names)
    return f"Known: {known}." if known else "None is known."


def _order_of(version: str) -> list[str | int]:
    """Return what versions are compared by: texts and numbers in turn."""
    return [int(part) if number % 2 else part for number, part in enumerate(_DIGITS.split(version))]


_DIGITS = re.compile(r"([0-9]+)")
