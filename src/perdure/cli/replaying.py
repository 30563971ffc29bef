"""`perdure replay`: whether today's code does what recorded histories hold. Reads only."""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.annotations import as_github, as_ruff, as_sarif
from perdure.cli.code import import_module
from perdure.cli.database import Place, looking, payloads_from_environment
from perdure.cli.exits import ExitCode
from perdure.cli.printing import json_text, printable, progress_shown
from perdure.cli.replay_annotations import MEANINGS, annotations_of, code_of
from perdure.cli.run_report import read_pages
from perdure.codecs.coded_store import coded
from perdure.errors import HistoryError, InvalidArgumentError, UsageError
from perdure.ports.store import RunQuery, RunStore, RunSummary
from perdure.testing.replaying import Replayed, Verdict, replay_file, replay_history, replayed_text, saved_histories

__all__ = ["Choice", "replay_files", "replay_store"]

_PAGE_RUNS = 200


def replay_files(files: list[Path], *, apps: list[str], form: str) -> int:
    """Replay saved histories. Raises UsageError."""
    _import(apps)
    return _report(map(replay_file, saved_histories(files)), form=form)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs of a database: the newest `limit` that match (None: all), or a `sample` of these, by chance."""

    query: RunQuery
    limit: int | None = None
    sample: int | None = None
    seed: int = 0

    def numbers(self, total: int) -> list[int]:
        """Return which of `total` matching runs, the newest being 0. Raises InvalidArgumentError."""
        count = total if self.limit is None else min(self.limit, total)
        if self.sample is None:
            return list(range(count))
        if self.sample < 1:
            message = f"--sample is {self.sample}; it must be at least 1"
            raise InvalidArgumentError(message)
        return sorted(random.Random(self.seed).sample(range(count), min(self.sample, count)))  # noqa: S311


async def replay_store(place: Place, chosen: Choice, *, apps: list[str], form: str) -> int:
    """Replay the runs of a database that are chosen. Raises UsageError, NoDatabaseError, StoreErrors."""
    _import(apps)
    async with looking(place) as look:
        store = coded(look, payloads_from_environment())
        numbers = set(chosen.numbers(await store.count_runs(chosen.query)))
        found: list[Replayed] = []
        with progress_shown("replaying runs", len(numbers)) as progress:
            async with aclosing(_runs(store, chosen.query, max(numbers, default=-1) + 1)) as runs:
                number = 0
                async for run in runs:
                    if number in numbers:
                        found.append(await _replay(store, run))
                        progress(len(found))
                    number += 1
    return _report(found, form=form)


async def _replay(store: RunStore, run: RunSummary) -> Replayed:
    name = run.ref.id if run.ref.generation == 1 else f"{run.ref.id} (generation {run.ref.generation})"
    try:
        events = [recorded async for page in read_pages(store, run) for recorded in page]
        return replay_history(events, name=name)
    except HistoryError as error:
        return Replayed(
            name=name, workflow=run.workflow, verdict=Verdict.DAMAGED, events=run.sequence, problem=str(error)
        )


async def _runs(store: RunStore, query: RunQuery, wanted: int) -> AsyncGenerator[RunSummary]:
    done = 0
    while done < wanted:
        page = await store.list_runs(msgspec.structs.replace(query, limit=min(_PAGE_RUNS, wanted - done)))
        for run in page.runs:
            yield run
        done += len(page.runs)
        if not page.next_cursor:
            return
        query = msgspec.structs.replace(query, cursor=page.next_cursor)


def _import(apps: list[str]) -> None:
    if not apps:
        message = "name the module that defines the workflows: perdure replay --app shop.workflows ..."
        raise UsageError(message)
    for app in apps:
        import_module(app, asked_by="--app")


class _Tally:
    """Counts of what came of replays, in all and by workflow."""

    def __init__(self) -> None:
        self.counts: Counter[Verdict] = Counter()
        self.by_workflow: dict[str, Counter[Verdict]] = {}

    def counted(self, replayed: Iterable[Replayed]) -> Iterator[Replayed]:
        """Pass replays on."""
        for each in replayed:
            self.counts[each.verdict] += 1
            self.by_workflow.setdefault(each.workflow or "?", Counter())[each.verdict] += 1
            yield each

    @property
    def lines(self) -> Iterator[str]:
        """What people are told in the end."""
        if len(self.by_workflow) > 1:
            for workflow, found in sorted(self.by_workflow.items()):
                yield f"  {printable(workflow)}: {_summary(found)}"
        yield f"{self.counts.total()} histories replayed: {_summary(self.counts) or 'none was found'}"


def _report(replayed: Iterable[Replayed], *, form: str) -> int:
    tally = _Tally()
    for line in FORMATS[form](tally.counted(replayed), tally):
        print(line)
    return ExitCode.OK if tally.counts.total() == tally.counts[Verdict.SAME] else ExitCode.ERROR


def _as_text(replayed: Iterable[Replayed], tally: _Tally) -> Iterator[str]:
    for each in replayed:
        if each.verdict is not Verdict.SAME:
            yield from map(printable, replayed_text(each))
    yield from tally.lines


def _as_json(replayed: Iterable[Replayed], tally: _Tally) -> Iterator[str]:
    runs = list(replayed)
    workflows = {workflow: _numbers(found) for workflow, found in sorted(tally.by_workflow.items())}
    yield json_text({"runs": runs, "counts": _numbers(tally.counts), "workflows": workflows})


def _as_ruff(replayed: Iterable[Replayed], _tally: _Tally) -> Iterator[str]:
    yield from as_ruff(annotations_of(replayed))


def _as_github(replayed: Iterable[Replayed], tally: _Tally) -> Iterator[str]:
    yield from as_github(annotations_of(replayed))
    yield from tally.lines


def _as_sarif(replayed: Iterable[Replayed], _tally: _Tally) -> Iterator[str]:
    rules = [{"id": code_of(verdict), "shortDescription": {"text": why}} for verdict, why in MEANINGS.items()]
    yield as_sarif(annotations_of(replayed), rules=rules)


FORMATS: Final[dict[str, Callable[[Iterable[Replayed], _Tally], Iterator[str]]]] = {
    "text": _as_text,
    "ruff": _as_ruff,
    "json": _as_json,
    "github": _as_github,
    "sarif": _as_sarif,
}
"""How what came of replays can be printed."""


def _numbers(counts: "Counter[Verdict]") -> dict[str, int]:
    return {verdict.value: counts[verdict] for verdict in Verdict}


def _summary(counts: "Counter[Verdict]") -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
