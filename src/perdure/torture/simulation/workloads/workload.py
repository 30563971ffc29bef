"""What a workload is."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVarTuple

from perdure.authoring.workflow import Workflow
from perdure.torture.simulation.program import Call, start

__all__ = ["QUEUE", "Workload", "runs"]

QUEUE = "far"
"""The task queue of the workloads that have a process which serves it."""

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A client program on some workflows.

    `program` returns the calls, for a chance that is the plan's. `in_order`: histories must be equal in their order,
    not only in what they hold. `is_compared`: whether a struck trial must end as an undisturbed one; where the moment
    of a call decides the course it need not, and only the laws are checked. `is_timed`: a process that stands still
    makes its activities exceed their limits, so of trials with pauses only the laws are checked. `is_dated`: so of
    those with a clock that is set, since which of its times comes first decides its course. `is_large`: too large for
    every crash. `is_served`: one more process serves the task queue `QUEUE`, and runs nothing else; `is_shared`: so do
    some of those that run workflows. `results`: what runs must return, as JSON, by id.
    """

    name: str
    program: Callable[[random.Random], list[Call]]
    in_order: bool = True
    is_compared: bool = True
    is_timed: bool = False
    is_dated: bool = False
    is_large: bool = False
    is_served: bool = False
    is_shared: bool = False
    results: dict[str, str] = field(default_factory=dict)


def runs(workflow: Workflow[*Ts, Any], *args: *Ts) -> Callable[[random.Random], list[Call]]:
    """Return the program that starts one run and waits for its end."""

    def program(_chance: random.Random) -> list[Call]:
        return [start(workflow, *args, id="one")]

    return program
