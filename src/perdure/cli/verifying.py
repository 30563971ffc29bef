"""`perdure verify`: what is not as it was written, run by run, and what of it can be read."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from perdure.cli.database import Place, as_client, looking
from perdure.cli.exits import ExitCode
from perdure.cli.printing import print_json, printable, sized_progress_shown
from perdure.errors import RunNotFoundError
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp
from perdure.ports.verification import DamagedRun, Defect, Verification, VerificationWish

__all__ = ["Order", "verify_database"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified (None: all), and what is to be done about what is found."""

    run_id: str | None
    repairs: bool
    accepts_older_tables: bool
    quarantines: bool


async def verify_database(place: Place, order: Order, *, as_json: bool) -> int:
    """Print what is found; return ERROR if anything is damaged that is not repaired.

    Raises NoDatabaseError, RunNotFoundError, UsageError, StoreErrors.
    """
    with sized_progress_shown("verify") as tell:
        found = await _verify(place, order, tell)
    if as_json:
        print_json({"is_sound": found.is_sound, **msgspec.structs.asdict(found)})
    else:
        print("\n".join(_lines(found)))
    return ExitCode.OK if found.is_sound else ExitCode.ERROR


async def _verify(place: Place, order: Order, tell: Callable[[int, int], None]) -> Verification:
    """Only look, unless something is to be done: a database that is damaged may be one that no engine opens."""
    if order.repairs or order.quarantines:
        async with as_client(place) as engine:
            return await engine.verify(
                order.run_id,
                repair=order.repairs,
                accept_older_tables=order.accepts_older_tables,
                quarantine=order.quarantines,
                on_progress=tell,
            )
    run = None if order.run_id is None else RunRef(namespace=place.namespace, id=order.run_id)
    now = Timestamp(time.time_ns() // 1_000)
    async with looking(place) as look:
        found = await look.verify(VerificationWish(now=now, run=run, on_progress=tell))
    if run is not None and found.runs == 0:
        raise RunNotFoundError(f"there is no run {run}")
    return found


def _lines(found: Verification) -> Iterator[str]:
    for run in found.damaged:
        yield from _lines_of_run(run)
    if found.defects:
        yield "the database:"
        yield from map(_line, found.defects)
    counts = f"{found.runs} runs, {found.events} events, {found.messages} messages of {found.location}"
    if not found.damaged and not found.defects:
        yield f"{counts}: nothing is found damaged."
    elif found.is_sound:
        yield f"{counts}: all that was damaged is repaired."
    else:
        yield f"{counts}: {len(found.damaged)} runs are damaged, {len(found.defects)} defects belong to none."
        yield _ADVICE
    if found.without_digest:
        yield f"{found.without_digest} events were written by an older Perdure, without digests: only gaps would show."


def _lines_of_run(run: DamagedRun) -> Iterator[str]:
    standing = f"{'open' if run.is_open else 'ended'}{', parked' if run.is_parked else ''}"
    name = f"run {printable(str(run.ref))}" if run.ref is not None else f"run key {run.run_key}"
    yield f"{name} ({standing}): {run.readable} of {run.counted} events are sound"
    yield from map(_line, run.defects)


def _line(defect: Defect) -> str:
    line = f"  {defect.place}: {printable(defect.what)}"
    if defect.is_repaired:
        return f"{line} [repaired]"
    return f"{line} [with --repair {defect.repair}]" if defect.repair else line


_ADVICE: Final = (
    "Keep a copy of the file with its -wal before all else. --repair does what is marked so; --quarantine parks the "
    "runs. The rest comes back from a backup only; `perdure fork ID --event N` goes on from a sound event."
)
