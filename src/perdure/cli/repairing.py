"""`perdure retry`, `reset`, `fork`: a run goes on, or another beside it, from a part of a history."""

import msgspec

from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.listing import summary_for_programs
from perdure.cli.printing import print_json, printable
from perdure.cli.repair_commands import NOWHERE, PointArguments, RepairArguments
from perdure.cli.steering import caller
from perdure.cli.times import parse_moment
from perdure.client.forking import fork_run
from perdure.client.generations import fork_of
from perdure.client.starting import require_id
from perdure.client.wishes import ForkOptions, Wish
from perdure.kernel import events as e
from perdure.kernel.fork_facts import ForkCause, StepFate
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp

__all__ = ["Repair", "options_of", "repair"]


class Repair(msgspec.Struct, frozen=True):
    """How a run shall go on, as the arguments say it."""

    cause: ForkCause
    how: RepairArguments
    point: PointArguments = NOWHERE
    new_id: str | None = None
    drops_signals: bool = False


async def repair(place: Place, run_id: str, wish: Repair, *, as_json: bool) -> int:
    """Let a run go on. Raises RunNotFoundError, RunNotRepairableError, NoDatabaseError, StoreErrors, UsageErrors."""
    for app in wish.how.app or ():  # whose code must fit the history
        import_module(app, asked_by=f"--app {app}")
    async with as_client(place) as engine:
        worker = engine.worker
        ref = RunRef(namespace=place.namespace, id=run_id)
        made = await fork_run(worker, ref, _wish(wish, now=worker.clock.now()), request_id=wish.how.request_id or "")
        fork = await fork_of(worker.store, made)
    assert fork is not None  # how the run was made, just now or by this request before
    if as_json:
        print_json({**summary_for_programs(made), "forked": fork})
    else:
        _tell(made.ref, fork)
    return ExitCode.OK


def options_of(point: PointArguments, *, now: Timestamp, version: str | None, drops_signals: bool) -> ForkOptions:
    """Return the arguments of a point as a client takes them. Raises InvalidArgumentError."""
    return ForkOptions(
        event=point.event,
        stage=point.stage,
        activity=point.activity,
        before=None if point.before is None else parse_moment(point.before, now=now),
        version=version,
        reapply_signals=not drops_signals,
        by=caller(),
    )


def _wish(wish: Repair, *, now: Timestamp) -> Wish:
    options = options_of(wish.point, now=now, version=wish.how.version, drops_signals=wish.drops_signals)
    new_id = require_id(wish.new_id) if wish.cause is ForkCause.FORK else ""
    return Wish.of(wish.cause, wish.how.reason, id=new_id, **options)


def _tell(made: RunRef, fork: e.RunForked) -> None:
    named = printable(made.id) if made.generation == 1 else f"{printable(made.id)} (generation {made.generation})"
    print(f"{named} goes on after event {fork.sequence} of {printable(str(fork.origin))}.")
    for step in fork.repeats:
        print(f"  {_FATES[step.was]} {printable(step.name)} (operation {step.operation})")


_FATES = {
    StepFate.IN_FLIGHT: "may be done twice:",
    StepFate.UNKNOWN: "was started, and nobody knows what came of it:",
    StepFate.FAILED: "is done again after it failed:",
    StepFate.FINISHED: "was done already:",
}
