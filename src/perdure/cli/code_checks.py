"""Whether there is code for the open runs: parked ones, versions that nobody has, patches that may go."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from perdure.cli.finding import Check, Verdict
from perdure.cli.open_runs import OpenRuns
from perdure.cli.printing import progress_shown
from perdure.engine import Engine
from perdure.errors import HistoryError, UsageError
from perdure.ports.store import RunSummary

__all__ = ["code_checks"]

_NAMED_GROUPS: Final = 5


async def code_checks(engine: Engine, runs: OpenRuns, *, has_code: bool) -> AsyncIterator[Check]:
    """Yield what keeps open runs from going on; with `has_code` also what the definitions of this process lack.

    Then the runs that were kept are replayed. That the old way of a patch may go is said only if none was left out.
    """
    yield _parked(runs.parked)
    if not has_code:
        return
    yield _missing(runs.missing)
    patches: dict[str, Counter[str]] = {}
    with progress_shown("replaying open runs", len(runs.oldest)) as tell:
        for number, run in enumerate(runs.oldest, start=1):
            await _count_patches(engine, run, patches)
            tell(number)
    if runs.has_more:
        yield _sampled(runs)
    for patch, ways in sorted(patches.items()):
        yield _patch(patch, ways, is_all=not runs.has_more)


def _sampled(runs: OpenRuns) -> Check:
    with_code = runs.count - runs.missing.total()
    return Check(
        name="patches",
        verdict=Verdict.OK,
        finding=f"looked for in the {len(runs.oldest)} oldest of {with_code} open runs",
        advice="perdure doctor --all replays every one",
    )


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
        async with engine.worker.view(run) as journal:
            for patch, is_new in journal.asked_patches.items():
                is_marked = is_new and journal.patches.get(patch) is False
                patches.setdefault(f"{run.workflow} {patch}", Counter())[
                    "marked" if is_marked else "new" if is_new else "old"
                ] += 1


def _patch(name: str, ways: "Counter[str]", *, is_all: bool) -> Check:
    if ways["old"]:
        advice = "keep ctx.patched with both ways until none goes the old one"
    elif not is_all:
        advice = "none that was looked at goes the old way; before you take it out, ask perdure doctor --all"
    elif ways["marked"]:
        advice = "the old way may go: ctx.deprecate_patch in the place of ctx.patched"
    else:
        advice = "the call of ctx.deprecate_patch may go"
    finding = (
        f"of {ways.total()} open runs that passed it, {ways['old']} go the old way, {ways['marked']} hold its marker"
    )
    return Check(name=f"patch {name}", verdict=Verdict.OK, finding=finding, advice=advice)
