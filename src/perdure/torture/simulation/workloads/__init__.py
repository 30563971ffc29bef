"""The workloads: small workflows that together use every part of the engine, each with a client program."""

from typing import Final

from perdure.torture.simulation.workloads import (
    asking,
    control,
    evolving,
    keyed,
    lifecycles,
    locks,
    outside,
    queued,
    repairs,
    requesting,
    retention,
    schedules,
    sleeping,
    steps,
    streaming,
    together,
)
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS", "Workload"]

WORKLOADS: Final[dict[str, Workload]] = {
    workload.name: workload
    for workload in (
        *steps.WORKLOADS,
        *control.WORKLOADS,
        *asking.WORKLOADS,
        *outside.WORKLOADS,
        *queued.WORKLOADS,
        *requesting.WORKLOADS,
        *streaming.WORKLOADS,
        *evolving.WORKLOADS,
        *together.WORKLOADS,
        *schedules.WORKLOADS,
        *sleeping.WORKLOADS,
        *lifecycles.WORKLOADS,
        *keyed.WORKLOADS,
        *locks.WORKLOADS,
        *repairs.WORKLOADS,
        *retention.WORKLOADS,
    )
}
"""By name."""
