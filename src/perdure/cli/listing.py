"""`perdure list`: one page of runs."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from perdure.cli.arguments import RunFilter
from perdure.cli.database import Place, as_client, store_of
from perdure.cli.exits import ExitCode
from perdure.cli.failing import read_failures
from perdure.cli.printing import (
    make_table,
    print_for_people,
    print_json,
    printable,
    progress_bar,
    shortened,
    status_text,
    words,
)
from perdure.cli.times import iso, parse_moment, show_duration, show_moment
from perdure.client.run_pages import whole_page
from perdure.errors import InvalidArgumentError
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from perdure.kernel.transition import Parking, RunStatus
from perdure.ports.store import Page, RunQuery, RunSummary

__all__ = [
    "Listing",
    "labels_of",
    "list_runs",
    "parking_for_programs",
    "print_page",
    "query_of",
    "starting_text",
    "summary_for_programs",
]

_LARGEST_PAGE: Final = 10_000
"""So many runs are listed at once; a cursor leads on."""
_MOST_SEARCHED_PAGES: Final = 100
"""So many pages of the store, of 10,000 runs that are looked at, are searched for one that is printed."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of which runs is listed."""

    chosen: RunFilter
    only_parked: bool
    limit: int
    cursor: str


async def list_runs(place: Place, listing: Listing, *, as_json: bool) -> int:
    """Print the runs that match. Raises NoDatabaseError, StoreErrors, UsageError for a filter that means nothing."""
    if not 1 <= listing.limit <= _LARGEST_PAGE:
        message = f"--limit is {listing.limit}; allowed is 1 to {_LARGEST_PAGE}"
        raise InvalidArgumentError(message)
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        query = msgspec.structs.replace(
            query_of(place.namespace, listing.chosen, now=now),
            only_parked=listing.only_parked,
            limit=listing.limit,
            cursor=listing.cursor,
        )
        page = await whole_page(store_of(engine), query, most_pages=_MOST_SEARCHED_PAGES)
        failures = await read_failures(store_of(engine), page.runs)
    if as_json:
        runs = [_for_programs(run, failures.get(run.run_key)) for run in page.runs]
        print_json({"runs": runs, "next_cursor": page.next_cursor or None})
    else:
        print_page(page, failures, now=now)
    return ExitCode.OK


def query_of(namespace: str, chosen: RunFilter, *, now: Timestamp) -> RunQuery:
    """Return the store's query for a filter. Raises InvalidArgumentError."""
    return RunQuery(
        namespace=namespace,
        statuses=frozenset(chosen.status or ()),
        workflows=frozenset(chosen.workflow or ()),
        tenants=frozenset() if chosen.tenant is None else frozenset({chosen.tenant}),
        labels=labels_of(chosen.label or ()),
        id_prefix=chosen.id_prefix,
        created_from=None if chosen.since is None else timestamp_from_datetime(parse_moment(chosen.since, now=now)),
    )


def summary_for_programs(run: RunSummary) -> dict[str, object]:
    """Return a run's row for programs."""
    return {
        "id": run.ref.id,
        "namespace": run.ref.namespace,
        "generation": run.ref.generation,
        "workflow": run.workflow,
        "version": run.definition_version,
        "status": run.status,
        "parked": None if run.parked is None else parking_for_programs(run.parked),
        "stage": run.stage or None,
        "progress": round(run.progress, 4),
        "priority": run.priority.name.lower(),
        "tenant": run.tenant or None,
        "labels": run.labels,
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "updated_at": iso(run.updated_at),
        "closed_at": iso(run.closed_at),
        "wake_at": iso(run.wake_at),
        "owner": run.owner,
        "events": run.sequence,
        "damage": run.damage or None,
    }


def _for_programs(run: RunSummary, failure: Failure | None) -> dict[str, object]:
    told = failure and {"type": failure.type, "sentence": failure.sentence, "place": failure.place}
    return {**summary_for_programs(run), "failure": told}


def parking_for_programs(parked: Parking) -> dict[str, object]:
    """Return why a run is parked, for programs."""
    reason = parked.reason
    difference = (reason.traceback or "").splitlines()
    return {"since": iso(parked.since), "type": reason.type, "message": reason.message, "difference": difference}


def labels_of(texts: Iterable[str]) -> dict[str, str]:
    """Return labels that are given as ``NAME=VALUE``. Raises InvalidArgumentError."""
    return dict(map(_label, texts))


def starting_text(run: RunSummary, *, now: Timestamp) -> str:
    """Say when a run that was started for later begins; empty for any other."""
    if run.status is not RunStatus.CREATED or run.wake_at is None or run.wake_at <= now:
        return ""
    return f"begins in {show_duration(run.wake_at - now)}, at {show_moment(run.wake_at, now=now)}"


def _told(failure: Failure | None) -> str:
    """Return on one line how a run failed; `perdure show` says it whole."""
    return "" if failure is None else shortened(" ".join(failure.explanation.split()), _LONGEST_FAILURE_CHARACTERS)


_LONGEST_FAILURE_CHARACTERS: Final = 160


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        message = f"--label {text!r} is not of the form NAME=VALUE"
        raise InvalidArgumentError(message)
    return name, value


def print_page(page: Page, failures: Mapping[RunKey, Failure], *, now: Timestamp) -> None:
    """Print a page for people, and how to go on if there is more."""
    if not page.runs and page.next_cursor:
        print(f"No runs match so far; repeat with --cursor {printable(page.next_cursor)} to search on")
        return
    if not page.runs:
        print("No runs match.")
        return
    why = ("failed with",) if failures else ()
    table = make_table("id", "workflow", "status", "stage", "progress", "created", ">took", *why)
    for run in page.runs:
        took = (run.closed_at or now) - run.created_at
        table.add_row(
            words(run.ref.id, "bold"),
            words(run.workflow),
            status_text(run.status if run.parked is None else "parked"),
            words(run.stage or starting_text(run, now=now)),
            progress_bar(run.progress),
            show_moment(run.created_at, now=now),
            show_duration(took),
            *(words(_told(failures.get(run.run_key))) for _ in why),
        )
    print_for_people(table)
    for run in page.runs:
        if run.damage:
            print(printable(f"The row of run {run.ref.id} is damaged: {run.damage}"))
    if page.next_cursor:
        print(f"{len(page.runs)} runs; there are more: repeat with --cursor {printable(page.next_cursor)}")
