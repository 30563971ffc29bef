"""The registry: which workflows and activities this process has code for, by name.

A decorated function registers itself when its module is imported; a worker finds it again by the name its histories
hold. Two definitions of one name are an error, except that a module that is loaded again replaces what it defined
before, and that anything replaces what was defined inside a function (as tests do).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakMethod

from perdure.errors import UnknownActivityError, UnknownWorkflowError, UsageError

if TYPE_CHECKING:
    from perdure.authoring.activity import Activity
    from perdure.authoring.workflow import Workflow

__all__ = ["Registry", "default_registry"]


class _Definition(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def function(self) -> Callable[..., Any]: ...


D = TypeVar("D", bound=_Definition)


class Registry:
    """Definitions by name. `activity_limits`: the workflows' `max_concurrent_activities`, where one is declared."""

    def __init__(self) -> None:
        """Begin empty."""
        self._workflows: dict[str, Workflow[*tuple[Any, ...], Any]] = {}
        self._activities: dict[str, Activity[..., Any]] = {}
        self._workflow_names: frozenset[str] = frozenset()
        self.activity_limits: dict[str, int] = {}
        self._watchers: list[WeakMethod[Callable[[], None]]] = []

    def add_workflow(self, definition: "Workflow[*tuple[Any, ...], Any]") -> None:
        """Add a workflow. Raises UsageError if another function has the name."""
        _add(self._workflows, definition, "workflow")
        if definition.max_concurrent_activities is None:
            self.activity_limits.pop(definition.name, None)
        else:
            self.activity_limits[definition.name] = definition.max_concurrent_activities
        if definition.name not in self._workflow_names:
            self._workflow_names = frozenset(self._workflows)
            self._tell()

    def add_activity(self, definition: "Activity[..., Any]") -> None:
        """Add an activity. Raises UsageError if another function has the name."""
        is_new = definition.name not in self._activities
        _add(self._activities, definition, "activity")
        if is_new:
            self._tell()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a bound method whenever there is new code, in the thread that adds it, as long as its object lives."""
        self._watchers = [reference for reference in self._watchers if reference() is not None]
        self._watchers.append(WeakMethod(watcher))

    def _tell(self) -> None:
        for reference in self._watchers:
            watcher = reference()
            if watcher is not None:
                watcher()

    def workflow(self, name: str) -> "Workflow[*tuple[Any, ...], Any]":
        """Return the workflow of this name. Raises UnknownWorkflowError."""
        found = self._workflows.get(name)
        if found is None:
            message = (
                f"no workflow named {name!r} is defined in this process; import the module that defines it. "
                f"{_known(self._workflows)}"
            )
            raise UnknownWorkflowError(message)
        return found

    def activity(self, name: str) -> "Activity[..., Any]":
        """Return the activity of this name. Raises UnknownActivityError."""
        found = self._activities.get(name)
        if found is None:
            message = (
                f"no activity named {name!r} is defined in this process; import the module that defines it. "
                f"{_known(self._activities)}"
            )
            raise UnknownActivityError(message)
        return found

    @property
    def workflow_names(self) -> frozenset[str]:
        """The names of all workflows."""
        return self._workflow_names

    def version_of(self, workflow: str) -> str | None:
        """Return the version of a workflow, None if there is no code for it."""
        return self.workflow(workflow).version if workflow in self._workflow_names else None


default_registry = Registry()
"""Where the decorators put their definitions: what a process can run is a fact about the process."""


def _add(definitions: dict[str, D], definition: D, kind: str) -> None:
    known = definitions.get(definition.name)
    if known is not None and not _replaces(definition.function, known.function):
        message = (
            f"two {kind} functions are named {definition.name!r}: {_place(known.function)} and "
            f"{_place(definition.function)}; give one of them another name with @{kind}(name=...)"
        )
        raise UsageError(message)
    definitions[definition.name] = definition


def _replaces(new: Callable[..., Any], old: Callable[..., Any]) -> bool:
    return _source(new) == _source(old) or "<locals>" in old.__qualname__


def _source(function: Callable[..., Any]) -> tuple[str, str]:
    """Return file and name: a function stays itself when its module is loaded again under another name (`__main__`)."""
    code = getattr(function, "__code__", None)
    return (function.__module__ if code is None else code.co_filename, function.__qualname__)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _known(definitions: dict[str, Any]) -> str:
    return f"Known: {', '.join(sorted(definitions))}." if definitions else "None is known."
