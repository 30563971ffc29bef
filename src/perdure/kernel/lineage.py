"""Lineage: what ties a run to its parent, and a generation to the one before it. The events carry these records."""

from enum import StrEnum

import msgspec

from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import Payload

__all__ = ["CarriedChild", "CarriedSignal", "CarriedUpdate", "ParentClosePolicy", "ParentLink"]


class ParentClosePolicy(StrEnum):
    """What becomes of an open child run when its parent closes."""

    CANCEL = "cancel"
    TERMINATE = "terminate"
    ABANDON = "abandon"


class ParentLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose child a run is: the parent's row, name, and the operation that asked for the child."""

    run_key: int
    ref: RunRef
    operation: Operation
    policy: ParentClosePolicy = ParentClosePolicy.CANCEL


class CarriedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that a generation received and did not consume; the next generation receives it first.

    Or one that came together with the start of the run.
    """

    name: str
    body: Payload


class CarriedChild(msgspec.Struct, frozen=True, kw_only=True):
    """A child run that a generation left open when it continued: the next one hears of its end, or ends it.

    `operation` asked for it in `generation`, whose run key is `run_key` (0: the one that continues).
    """

    run_key: int = 0
    generation: int
    operation: Operation
    workflow: str
    ref: RunRef
    policy: ParentClosePolicy


class CarriedUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An update that came together with the start of the run; it waits for its handler like any other."""

    update_id: str
    name: str
    body: Payload
