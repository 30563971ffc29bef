"""An activity for worker processes: what it raises was registered in the parent only."""

from perdure import Retry, activity


@activity(name="canaries.in_a_process", executor="process", retry=Retry.never())
def fail_in_a_process(backwards: str) -> None:
    """Raise a message that is given from its end to its beginning, as which nobody takes it for a secret."""
    raise LookupError(backwards[::-1])
