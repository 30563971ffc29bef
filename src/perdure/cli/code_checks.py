"""Whether there is code for the open runs: parked ones, versions that nobody has, patches that may go."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from perdure.authoring.registry import default_registry
from perdure.cli.finding import Check, Verdict
from perdure.cli.printing import progress_shown
from perdure.engine import Engine
from perdure.errors import HistoryError, UsageError
from perdure.kernel.transition import OPEN_STATUSES
from perdure.ports.store import RunQuery, RunSummary

__all__ = ["code_checks"]

_OPEN: Final = RunQuery(statuses=OPEN_STATUSES, limit=500)
_NAMED_GROUPS: Final = 5


async def code_checks(engine: Engine, *, has_code: bool) -> AsyncIterator[Check]:
    """Yield what keeps open runs from going on; with `has_code` also what the definitions of this process lack.

    Then every open run is replayed, none left out: that the old way of a patch may go holds for all or not at all.
    """
    parked: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    patches: dict[str, Counter[str]] = {}
    count = await engine.count_runs(_OPEN)
    with progress_shown("replaying open runs" if has_code else "reading open runs", count) as tell:
        number = 0
        async for run in engine.all_runs(_OPEN):
            name = f"{run.workflow} version {run.definition_version}"
            parked[name] += run.parked is not None
            missing[name] += default_registry.find(run.workflow, run.definition_version) is None
            if has_code:
                await _count_patches(engine, run, patches)
            tell(number := number + 1)
    yield _parked(+parked)
    if has_code:
        yield _missing(+missing)
        for patch, ways in sorted(patches.items()):
            yield _patch(patch, ways)


def _parked(counts: "Counter[str]") -> Check:
    if not counts:
        return Check(name="parked", verdict=Verdict.OK, finding="no run is parked")
    return Check(
        name="parked",
        verdict=Verdict.WARN,
        finding=f"{_counted(counts)}: their code does not fit their histories",
        advice="see what differs with: perdure show ID (perdure list --parked names them); deploy code that fits, and "
        "they go on by themselves",
    )


def _missing(counts: "Counter[str]") -> Check:
    if not counts:
        return Check(name="code", verdict=Verdict.OK, finding="there is code for every open run")
    return Check(
        name="code",
        verdict=Verdict.WARN,
        finding=f"no code here for {_counted(counts)}",
        advice="keep that version beside the newer one, @workflow(name=..., version=...), until its runs have ended; "
        "or name all modules with --app",
    )


def _counted(counts: "Counter[str]") -> str:
    named = [f"{count} of {name}" for name, count in counts.most_common(_NAMED_GROUPS)]
    others = len(counts) - len(named)
    return f"{counts.total()} open runs ({', '.join(named)}{f' and {others} more' if others > 0 else ''})"


async def _count_patches(engine: Engine, run: RunSummary, patches: "dict[str, Counter[str]]") -> None:
    """Count by which way a run has passed each patch of today's code; what does not replay says nothing of that."""
    with suppress(UsageError, HistoryError):
        async with engine.worker.view(run.run_key) as journal:
            for patch, is_new in journal.asked_patches.items():
                is_marked = is_new and journal.patches.get(patch) is False
                patches.setdefault(f"{run.workflow} {patch}", Counter())[
                    "marked" if is_marked else "new" if is_new else "old"
                ] += 1


def _patch(name: str, ways: "Counter[str]") -> Check:
    if ways["old"]:
        advice = "keep ctx.patched with both ways until none goes the old one"
    elif ways["marked"]:
        advice = "the old way may go: ctx.deprecate_patch in the place of ctx.patched"
    else:
        advice = "the call of ctx.deprecate_patch may go"
    finding = (
        f"of {ways.total()} open runs that passed it, {ways['old']} go the old way, {ways['marked']} hold its marker"
    )
    return Check(name=f"patch {name}", verdict=Verdict.OK, finding=finding, advice=advice)
