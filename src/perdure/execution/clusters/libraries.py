"""The libraries of clusters: whether those are installed that the activities of a process want.

It is asked when an engine opens, before it claims a run: a run whose activity cannot be made for want of a package has
failed for good, and its operator has only forgotten an extra.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from perdure.authoring.activity import Activity
from perdure.errors import UsageError
from perdure.kernel.options import Executor

__all__ = ["require_libraries"]


def require_libraries(activities: Collection[Activity[..., Any]], slots: Mapping[Executor, int]) -> None:
    """Raise UsageError if an activity is declared for a cluster that has slots and whose library is not installed."""
    for executor, library in _LIBRARIES.items():
        names = sorted(each.name for each in activities if each.defaults.executor is executor)
        if names and slots[executor] and not _is_installed(library):
            message = (
                f"executor='{executor}' of activity {', '.join(names[:_MOST_NAMES])} needs the package {library}: pip "
                f"install 'perdure[{executor}]', or say Settings({executor}_slots=0) where none of its calls shall run"
            )
            raise UsageError(message)


def _is_installed(library: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 - only who uses clusters pays for it

    return find_spec(library) is not None


_LIBRARIES: Final = {Executor.RAY: "ray", Executor.DASK: "distributed"}
_MOST_NAMES: Final = 5
