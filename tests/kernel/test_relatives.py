"""Relatives: whom a history may tie a run to."""

import pytest
from msgspec.structs import replace

from perdure.errors import HistoryError, IllegalTransitionError
from perdure.kernel import events as e
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.state import RunState, demand_own
from perdure.kernel.time import Timestamp

CREATED = e.RunCreated(workflow="w", ref=RunRef(namespace="a", id="run"), input=NULL, seed=1)
OTHERS = RunRef(namespace="b", id="run")


def link(ref: RunRef) -> e.ParentLink:
    return e.ParentLink(run_key=3, ref=ref, operation=Operation(5))


def carried(ref: RunRef) -> e.CarriedChild:
    return e.CarriedChild(
        generation=1, operation=Operation(1), workflow="w", ref=ref, policy=e.ParentClosePolicy.TERMINATE
    )


def forked(ref: RunRef, parent: e.ParentLink | None = None) -> e.RunForked:
    cause = ForkCause.RESET
    return e.RunForked(
        origin=CREATED.ref, origin_key=1, caller_key=1, sequence=1, ref=ref, seed=2, cause=cause, parent=parent
    )


def after(*events: e.Event) -> RunState:
    state = RunState()
    for event in events:
        state.record(event, Timestamp(1))
    return state


@pytest.mark.parametrize("relation", ["parent", "carried child", "child", "fork", "parent of a fork"])
def test_a_history_ties_a_run_to_none_of_another_namespace(relation: str) -> None:
    def events(ref: RunRef) -> tuple[e.Event, ...]:
        return {
            "parent": (replace(CREATED, parent=link(ref)),),
            "carried child": (replace(CREATED, carried_children=(carried(ref),)),),
            "child": (
                CREATED,
                e.RunStarted(),
                e.ChildRequested(operation=Operation(1), workflow="w", child=ref, input=NULL),
            ),
            "fork": (CREATED, forked(ref)),
            "parent of a fork": (CREATED, forked(CREATED.ref, parent=link(ref))),
        }[relation]

    after(*events(RunRef(namespace="a", id="other")))
    with pytest.raises(IllegalTransitionError, match="of another namespace"):
        after(*events(OTHERS))


def test_a_history_is_that_of_the_run_by_whose_row_it_was_found() -> None:
    demand_own(after(CREATED), CREATED.ref)
    demand_own(RunState(), CREATED.ref)
    with pytest.raises(HistoryError, match="the history of run b/run is one of the run a/run"):
        demand_own(after(CREATED), OTHERS)
