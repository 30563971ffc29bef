"""The judgement of a damaged database: what is read of it is true, what is not is reported, and the others go on."""

import asyncio
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from perdure import Engine, Run, Settings
from perdure.errors import PerdureError, StoreError, StoreUnavailableError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.sqlite.looking import SqliteLook
from perdure.torture import planting
from perdure.torture.corruption.contents import Contents, Rows, contents_of
from perdure.torture.corruption.originals import QUEUE, Original, Plan, code, more
from perdure.torture.corruption.terminations import unended

__all__ = ["Judged", "judge", "patience_seconds"]


Keys = frozenset[RunKey]


class Judged(msgspec.Struct, kw_only=True):
    """What is wrong, and how far the looking came: the file was refused, no row is another one, all runs went on."""

    wrong: list[str] = []
    is_refused: bool = False
    is_as_before: bool = False
    has_gone_on: bool = False


async def judge(original: Original, path: Path, touched: Keys | None, *, goes_on: bool, mends: bool = False) -> Judged:
    """Judge what becomes of a damaged file. `touched` are the runs that were damaged; None: whatever the damaged bytes
    hold. With `goes_on` the runs are brought to their end, once what can be is repaired if it `mends`.
    """
    wrong: list[str] = []
    now = _contents(path)
    try:
        async with SqliteLook(path) as look:
            report = await look.verify(VerificationWish(now=_NOW))
            for run_key, history in original.histories.items():
                wrong += await _untrue(look, run_key, history)
    except StoreError as error:
        can_be_read = now is not None and now.is_of_the_kind_of(original.contents)
        return Judged(wrong=[*wrong, *_unfounded(error, can_be_read=can_be_read)], is_refused=True)
    is_as_before = now is not None and now == original.contents
    is_of_rows = touched is not None
    wrong += _unreported(original, now, report)
    if touched is None:
        touched = _touched(original, now, report)
    elif blamed := {run.run_key for run in report.damaged} - touched:
        wrong.append(f"runs are reported that are as they were: {sorted(blamed)}")
    if goes_on:
        touched -= await _sure(original, path, report, now, mends=mends)
        wrong += await _go_on(original, path, touched, report, now, is_of_rows=is_of_rows)
    return Judged(wrong=wrong, is_as_before=is_as_before, has_gone_on=goes_on)


def _unfounded(error: StoreError, *, can_be_read: bool) -> list[str]:
    """Tell of a refusal of a whole file whose tables SQLite reads: damage is the matter of the runs that it strikes."""
    if can_be_read:
        return [f"all is refused, though the tables can be read: {error!r}"]
    return (
        [f"damage is answered as if the file were away: {error!r}"] if isinstance(error, StoreUnavailableError) else []
    )


async def _untrue(look: SqliteLook, run_key: RunKey, history: list[RecordedEvent]) -> list[str]:
    """Read a history in pages. It must be what it was, or an error; of a run that is gone it is empty."""
    found: list[RecordedEvent] = []
    try:
        while page := await look.read_history(run_key, after=len(found), limit=_PAGE):
            found += page
    except StoreError:
        return [] if found == history[: len(found)] else [f"the history of run {run_key} begins otherwise"]
    return [] if found in ([], history) else [f"the history of run {run_key} was read, and is another one"]


def _unreported(original: Original, now: Contents | None, report: Verification) -> list[str]:
    if not report.is_sound:
        return []
    if now is None:
        return ["the file cannot be read, and nothing is reported"]
    return [f"{table} is not what it was, and nothing is reported" for table in now.unlike(original.contents)]


def _touched(original: Original, now: Contents | None, report: Verification) -> frozenset[RunKey]:
    """Return the runs that may be hurt: whose rows are not what they were, and all if the file itself is damaged."""
    if now is None or any(defect.place == "file" for defect in report.defects):
        return frozenset(original.plans)
    hurt = {key for key in original.plans if now.of_run(key) != original.contents.of_run(key)}
    return frozenset(hurt.union(run.run_key for run in report.damaged))


async def _sure(original: Original, path: Path, report: Verification, now: Contents | None, *, mends: bool) -> Keys:
    """Return the runs that come to their end though tasks of theirs are damaged, and nothing else: all of which that is
    certain if it is mended, and those whose tasks are claimed all the same if not."""
    if now is None or any(defect.place == "file" for defect in report.defects):
        return frozenset()
    hurt = [run for run in report.damaged if {defect.place for defect in run.defects} == {"tasks"}]
    if not mends:
        return frozenset(run.run_key for run in hurt if _are_claimed(now, original.contents, run.run_key))
    try:
        async with Engine(f"sqlite:///{path}", registry=code(), works=False) as client:
            await client.verify(repair=True)
    except StoreError:  # it is not opened: whoever goes on says so
        return frozenset()
    return frozenset(run.run_key for run in hurt if all(defect.repair for defect in run.defects))


def _are_claimed(now: Contents, original: Contents, run_key: RunKey) -> bool:
    """Whether a claim finds the tasks that a run has had: as many, of the same operations, queues, activities,
    labels and shares."""
    before, after = (contents.of_run(run_key)["tasks"] for contents in (original, now))
    return _places(before) == _places(after) and all(priority in set(Priority) for *_, priority in _places(after))


def _places(tasks: Rows) -> list[Any]:
    places = [
        (operation, queue, name, labels, share, level)
        for _, operation, _, level, *_, queue, name, _, labels, share in tasks
    ]
    return sorted(places, key=repr)


async def _go_on(
    original: Original,
    path: Path,
    touched: frozenset[RunKey],
    report: Verification,
    now: Contents | None,
    *,
    is_of_rows: bool,
) -> list[str]:
    """Let all runs end. Those that are hurt may be stopped or late; whatever any comes to is what it had come to. Those
    that then stand still are terminated."""
    hurt_keys = {plan.key for key, plan in original.plans.items() if key in touched}
    safe = {key for key, plan in original.plans.items() if key not in touched and plan.key not in hurt_keys - {""}}
    try:
        async with Engine(f"sqlite:///{path}", registry=code(), settings=_SERVES) as engine:
            ending = {key: asyncio.create_task(_end(engine, plan)) for key, plan in original.plans.items()}
            if safe:
                await _wait_while_some_end({ending[key] for key in safe})
            else:
                await asyncio.wait(ending.values(), timeout=_MOMENT_SECONDS)
            for task in ending.values():
                task.cancel()
            outcomes = await asyncio.gather(*ending.values(), return_exceptions=True)
            wrong = await unended(engine, report, now, known=original.plans)
    except StoreError as error:
        silent = [f"the database is not opened, and nothing is reported: {error}"] if report.is_sound else []
        return [*silent, *_unfounded(error, can_be_read=is_of_rows)]  # an opening writes to other tables, too
    ends = zip(ending, outcomes, strict=True)
    wrong += (_wrong_end(original.plans[key], outcome, is_safe=key in safe) for key, outcome in ends)
    return [line for line in wrong if line]


def patience_seconds() -> float:
    """So long no run may end: an end takes some milliseconds, and waits for no other. A planted bug shows sooner."""
    return 5.0 if planting.is_planted() else 20.0


async def _wait_while_some_end(waiting: set[asyncio.Task[object]]) -> None:
    while waiting:
        ended, waiting = await asyncio.wait(waiting, timeout=patience_seconds(), return_when=asyncio.FIRST_COMPLETED)
        if not ended:
            return


async def _end(engine: Engine, plan: Plan) -> object:
    """Send a run what it still waits for, and return its result."""
    run: Run[Any] = await engine.get_run(plan.id)
    for place in range(len(plan.sent), plan.wanted):
        await run.signal(more, _LATER, request_id=f"{plan.id}-later-{place}")
    return await run.result()


def _wrong_end(plan: Plan, outcome: object, *, is_safe: bool) -> str:
    expected = sum(plan.numbers) + sum(plan.far) + sum(plan.sent) + _LATER * (plan.wanted - len(plan.sent))
    if outcome == expected:
        return ""
    if isinstance(outcome, PerdureError | asyncio.CancelledError):
        return f"run {plan.id}, which is not hurt, does not end: {outcome!r:.200}" if is_safe else ""
    return f"run {plan.id} comes to {outcome!r:.200} instead of {expected}"


def _contents(path: Path) -> Contents | None:
    try:
        return contents_of(path)
    except (apsw.Error, UnicodeDecodeError):
        return None


_SERVES: Final = Settings(queues=(QUEUE,))
_NOW: Final = Timestamp(4_000_000_000_000_000)
_PAGE: Final = 7
_LATER: Final = 1_000_000
_MOMENT_SECONDS: Final = 0.2
