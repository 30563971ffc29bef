"""Testing: what Perdure ships for testing itself and what users build around it.

`TestEnvironment` is the place to begin. The names here are imported when they are first asked for, so that the command
line, which uses one module of this room, does not pay for the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perdure.testing.contents import contents_digest
    from perdure.testing.crashes import CrashReport, crash_everywhere, crash_everywhere_sync
    from perdure.testing.environment import (
        EPOCH,
        ActivityCalled,
        StandstillError,
        SyncTestEnvironment,
        TestEnvironment,
        UnreplacedActivityError,
    )
    from perdure.testing.golden import assert_golden
    from perdure.testing.histories import assert_history, history_lines
    from perdure.testing.linting import assert_deterministic
    from perdure.testing.replaying import assert_replays, read_history_file
    from perdure.testing.time_travel import Moment, moment_of

__all__ = [
    "EPOCH",
    "ActivityCalled",
    "CrashReport",
    "Moment",
    "StandstillError",
    "SyncTestEnvironment",
    "TestEnvironment",
    "UnreplacedActivityError",
    "assert_deterministic",
    "assert_golden",
    "assert_history",
    "assert_replays",
    "contents_digest",
    "crash_everywhere",
    "crash_everywhere_sync",
    "history_lines",
    "moment_of",
    "read_history_file",
]

_MODULES: Final = {
    "EPOCH": "environment",
    "ActivityCalled": "environment",
    "CrashReport": "crashes",
    "Moment": "time_travel",
    "StandstillError": "environment",
    "SyncTestEnvironment": "environment",
    "TestEnvironment": "environment",
    "UnreplacedActivityError": "environment",
    "assert_deterministic": "linting",
    "assert_golden": "golden",
    "assert_history": "histories",
    "assert_replays": "replaying",
    "contents_digest": "contents",
    "crash_everywhere": "crashes",
    "crash_everywhere_sync": "crashes",
    "history_lines": "histories",
    "moment_of": "time_travel",
    "read_history_file": "replaying",
}


def __getattr__(name: str) -> object:
    """Import a name when it is asked for. Raises AttributeError for one that there is not."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
