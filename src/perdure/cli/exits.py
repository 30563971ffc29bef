"""How a command ends: exit codes, and the errors that only the command line raises.

| code | means |
|---|---|
| 0 | done |
| 1 | it failed: the message on standard error says why and what to do |
| 2 | the command was called wrongly |
| 3 | there is no such run, or no such schedule |
| 130 | interrupted by the keyboard |
| 141 | whoever read the output stopped reading |
"""

from enum import IntEnum

from perdure.errors import PerdureError, RunNotFoundError, ScheduleNotFoundError, StoreError, UsageError

__all__ = ["ExitCode", "NoDatabaseError", "exit_code_of"]


class ExitCode(IntEnum):
    """See the module's table."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class NoDatabaseError(StoreError):
    """There is no Perdure database at the place that was named, and a reading command makes none."""


def exit_code_of(error: PerdureError) -> ExitCode:
    """Return the exit code for an error."""
    match error:
        case RunNotFoundError() | ScheduleNotFoundError():
            return ExitCode.NOT_FOUND
        case UsageError():
            return ExitCode.USAGE
        case _:
            return ExitCode.ERROR
