"""`perdure retry`, `reset`, `fork`: a run goes on, or another beside it, from a part of a history."""

from typing import Literal

import msgspec

from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.listing import summary_for_programs
from perdure.cli.printing import print_json, printable
from perdure.cli.repair_commands import NOWHERE, PointArguments
from perdure.cli.steering import caller
from perdure.cli.times import parse_moment
from perdure.client.forking import ForkOptions
from perdure.client.handle import Run
from perdure.kernel import events as e
from perdure.kernel.fork_facts import StepFate
from perdure.kernel.time import Timestamp

__all__ = ["Repair", "options_of", "repair"]


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What shall go on, as the arguments say it. `apps`: modules whose code must fit the history."""

    verb: Literal["retry", "reset", "fork"]
    point: PointArguments = NOWHERE
    new_id: str | None = None
    reason: str = ""
    version: str | None = None
    drops_signals: bool = False
    apps: tuple[str, ...] = ()
    request_id: str | None = None


async def repair(place: Place, run_id: str, wish: Repair, *, as_json: bool) -> int:
    """Let a run go on. Raises RunNotFoundError, RunNotRepairableError, NoDatabaseError, StoreErrors, UsageErrors."""
    for app in wish.apps:
        import_module(app, asked_by=f"--app {app}")
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        made = await _make(run, wish, now=engine.worker.clock.now())
        summary = await made.describe()
        events = [recorded.event async for recorded in made.history()]
    fork = next(event for event in reversed(events) if isinstance(event, e.RunForked))
    if as_json:
        print_json({**summary_for_programs(summary), "forked": fork})
    else:
        _tell(summary.ref.id, summary.ref.generation, fork)
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


async def _make(run: Run[object], wish: Repair, *, now: Timestamp) -> Run[object]:
    if wish.verb == "retry":
        return await run.retry(wish.reason, by=caller(), version=wish.version, request_id=wish.request_id)
    options = options_of(wish.point, now=now, version=wish.version, drops_signals=wish.drops_signals)
    if wish.verb == "reset":
        return await run.reset(wish.reason, request_id=wish.request_id, **options)
    return await run.fork(wish.reason, id=wish.new_id, request_id=wish.request_id, **options)


def _tell(run_id: str, generation: int, fork: e.RunForked) -> None:
    named = f"{printable(run_id)} (generation {generation})" if generation > 1 else printable(run_id)
    print(f"{named} goes on after event {fork.sequence} of {printable(str(fork.origin))}.")
    for step in fork.repeats:
        print(f"  {_FATES[step.was]} {printable(step.name)} (operation {step.operation})")


_FATES = {
    StepFate.IN_FLIGHT: "may be done twice:",
    StepFate.UNKNOWN: "was started, and nobody knows what came of it:",
    StepFate.FAILED: "is done again after it failed:",
    StepFate.FINISHED: "was done already:",
}
