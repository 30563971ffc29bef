"""Relatives: a run's parent, its children and what it is a fork of are of its own namespace.

Workflow code cannot ask for others. A history that names one was not written by Perdure: by a role, for instance, that
may write the rows of one namespace only (row-level security), and would have an engine that may write all of them tell
a run of another namespace that "its child" has ended. So such an event is illegal, as one that comes out of order.
"""

from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.lifecycle import illegal

__all__ = ["demand_relative", "demand_relatives"]


def demand_relatives(created: e.RunCreated) -> None:
    """Raise IllegalTransitionError if what a run is from its first event on ties it to another namespace."""
    if created.parent is not None:
        demand_relative(created.ref, created.parent.ref, e.RunCreated)
    for child in created.carried_children:
        demand_relative(created.ref, child.ref, e.RunCreated)


def demand_relative(run: RunRef, other: RunRef, event: type[e.Event]) -> None:
    """Raise IllegalTransitionError if `other`, to which an event of this run ties it, is of another namespace."""
    if other.namespace != run.namespace:
        raise illegal("of another namespace", event, subject=f"{other}, to which {run} is tied,")
