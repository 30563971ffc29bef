"""The rule of a start: what a run that begins has before its code does."""

from typing import TYPE_CHECKING

from perdure.kernel import events as e
from perdure.kernel.update_rules import let_carried_updates_wait

if TYPE_CHECKING:
    from perdure.kernel.advance import Step

__all__ = ["start"]


def start(step: "Step", *, worker: str) -> None:
    """Start the run unless its time has not come. Signals of the generation before come first, so that none is lost
    however soon this one ends."""
    created = step.created()
    if created.start_at is not None and created.start_at > step.at:
        return
    for carried in created.carried_signals:
        step.record(e.SignalReceived(name=carried.name, body=carried.body))
    if created.carried_updates:
        let_carried_updates_wait(created, step.state, step.feed)
    step.record(e.RunStarted(worker=worker))
