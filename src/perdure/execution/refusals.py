"""What a caller is told whose message or start was refused."""

from perdure.errors import PerdureError, RunClosedError, RunExistsError, RunNotFoundError, StaleLeaseError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.transition import Closed, Exists, Missing, Outcome

__all__ = ["refusal"]


def refusal(target: RunKey | RunRef, outcome: Outcome) -> PerdureError:
    """Return the error for a message or a start that was refused."""
    match outcome:
        case Missing():
            return RunNotFoundError(f"there is no run {target}; compare its id with those that list_runs() gives")
        case Closed(status=status):
            return RunClosedError(
                f"run {target} has ended ({status}) and takes no more messages; read its result, or start another run"
            )
        case Exists():
            return RunExistsError(f"a run {target} exists already")
        case _:
            return StaleLeaseError(f"run {target} was changed by another worker; nothing was applied")
