"""Bugs of versions that stand side by side, and of runs whose code is not there."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a run is loaded with the newest version",
        breaks="P8: a run goes on with the code that it began with",
        module="perdure.execution.loading",
        old="registry.workflow(*workflow)",
        new="registry.workflow(workflow.name)",
        workloads=("versions",),
    ),
    Mutant(
        name="the next generation keeps the version of the one before",
        breaks="P8: the version that was recorded runs",
        module="perdure.kernel.consequences",
        old="event.definition_version or before.definition_version",
        new="before.definition_version",
        workloads=("versions",),
    ),
    Mutant(
        name="parked runs are not tried by new code",
        breaks="P8: a run whose code did not fit goes on when there is code that fits",
        module="perdure.execution.claims",
        old="code=worker.code if tries_parked else None",
        new="code=None",
        workloads=("mended",),
    ),
    Mutant(
        name="SQLite: a run that goes on is still parked",
        breaks="P8: what is said of a run is so",
        module="perdure.stores.sqlite.sessions",
        old="    if unparked:\n",
        new="    if False:\n",
        workloads=("mended",),
    ),
    Mutant(
        name="a termination waits for code",
        breaks="P1: an acknowledged termination takes effect",
        module="perdure.kernel.messages",
        old="        case TerminateMessage():\n            return at\n",
        new="        case TerminateMessage():\n            return None\n",
        workloads=("codeless",),
    ),
    Mutant(
        name="a deadline waits for code",
        breaks="P4: what is armed comes due",
        module="perdure.kernel.codeless",
        old="    if state.deadline is not None:\n",
        new="    if False:\n",
        workloads=("codeless",),
    ),
    Mutant(
        name="a run that ends without its code fires its timers first",
        breaks="P8: a history that nobody changed is replayed",
        module="perdure.kernel.input_rules",
        old="    step.close(given.closing)\n",
        new="    step.fire_what_is_due()\n    if step.state.closed_at is None:\n        step.close(given.closing)\n",
        workloads=("codeless",),
    ),
    Mutant(
        name="SQLite: whoever gives a run back forgets when it is to be ended",
        breaks="P4: what is armed comes due",
        module="perdure.stores.sql.statements",
        old="        ELSE n.column7\n",
        new="        ELSE NULL\n",
        workloads=("codeless",),
    ),
)
