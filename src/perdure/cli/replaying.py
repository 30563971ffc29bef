"""`perdure replay`: whether today's code does what recorded histories hold. Reads only."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import msgspec

from perdure.cli.code import import_module
from perdure.cli.database import Place, payloads_from_environment, require_database
from perdure.cli.exits import ExitCode
from perdure.cli.printing import print_json, printable, reading_progress
from perdure.cli.run_report import read_pages
from perdure.codecs.coded_store import coded
from perdure.errors import HistoryError, UsageError
from perdure.ports.store import RunQuery, RunStore, RunSummary
from perdure.stores.sqlite.looking import SqliteLook
from perdure.testing.replaying import Replayed, Verdict, replay_file, replay_history, replayed_text, saved_histories

__all__ = ["replay_files", "replay_store"]

_PAGE_RUNS = 200


def replay_files(files: list[Path], *, apps: list[str], as_json: bool) -> int:
    """Replay saved histories. Raises UsageError."""
    _import(apps)
    return _report(map(replay_file, saved_histories(files)), as_json=as_json)


async def replay_store(place: Place, query: RunQuery, *, apps: list[str], limit: int | None, as_json: bool) -> int:
    """Replay the runs of a database that match, newest first. Raises UsageError, NoDatabaseError, StoreErrors."""
    _import(apps)
    path = require_database(place.url)
    async with SqliteLook(path) as look:
        # Of a store, only what reads is needed here, and passes the codecs.
        store = coded(cast("RunStore", look), payloads_from_environment())
        total = await store.count_runs(query)
        wanted = total if limit is None else min(limit, total)
        found: list[Replayed] = []
        with reading_progress("replaying runs", wanted) as progress:
            async with aclosing(_runs(store, query, wanted)) as runs:
                async for run in runs:
                    found.append(await _replay(store, run))
                    progress(len(found))
    return _report(iter(found), as_json=as_json)


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


def _report(replayed: Iterator[Replayed], *, as_json: bool) -> int:
    counts: Counter[Verdict] = Counter()
    shown: list[Replayed] = []
    for each in replayed:
        counts[each.verdict] += 1
        if as_json:
            shown.append(each)
        elif each.verdict is not Verdict.SAME:
            print("\n".join(printable(line) for line in replayed_text(each)))
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    if as_json:
        print_json({"runs": shown, "counts": {verdict.value: counts[verdict] for verdict in Verdict}})
    else:
        print(f"{counts.total()} histories replayed: {summary or 'none was found'}")
    return ExitCode.OK if counts.total() == counts[Verdict.SAME] else ExitCode.ERROR
