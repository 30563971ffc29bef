"""Bulk: one wish for all runs that a filter finds.

The runs are read page by page, newest first, and a page's runs are asked at once; so neither memory nor the store sees
more than a page, and runs that are created meanwhile are left alone. A run is asked by its id: its latest generation is
meant; a retry or a reset means the one that was found, as it was. What one run answers does not stop the others: a run
that ended before its turn is counted, an error is kept with the run's id. Only what is wrong with the wish itself is
raised, before anyone is asked.

Doing it again is harmless: what has ended is not found any more, a run whose cancellation is requested keeps the first
request, a suspended run is not suspended twice; signals, retries and resets carry the request id that the caller gives.

A retry or a reset may be refused, by the history of each run. So a dry run of these looks at every run, and tells.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, Unpack

import msgspec

from perdure.authoring.arguments import require_duration, require_integer, require_text
from perdure.authoring.signals import Signal, require_signal
from perdure.client.gateway import Gateway
from perdure.client.handle import Run
from perdure.client.wishes import ForkOptions, Listed, Wish, require_sound
from perdure.errors import InvalidArgumentError, PerdureError, RunClosedError
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.transition import OPEN_STATUSES, RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary

__all__ = ["Bulk", "BulkFailure", "BulkReport", "require_concurrency"]

T = TypeVar("T")


class BulkFailure(msgspec.Struct, frozen=True):
    """A run that could not be asked, by its id, and why."""

    id: str
    error: PerdureError


class BulkReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a bulk operation is.

    `found`: so many runs matched when it began. `done`: so many were asked, durably; by a dry run of a retry or reset:
    so many can be. `ended`: so many had ended before their turn, or for a retry or reset had gone on as another
    generation. `failures`: those that could not be asked.
    """

    found: int
    done: int = 0
    ended: int = 0
    failures: tuple[BulkFailure, ...] = ()

    @property
    def handled(self) -> int:
        """How many runs had their turn."""
        return self.done + self.ended + len(self.failures)


OnProgress = Callable[[BulkReport], object]


class Bulk:
    """All runs that a filter finds, to be asked something; `Engine.bulk` returns it. Each call looks for them anew."""

    def __init__(
        self, gateway: Gateway, query: RunQuery, *, concurrency: int, dry_run: bool, on_progress: OnProgress | None
    ) -> None:
        """Build from parts."""
        self._gateway = gateway
        self._query = msgspec.structs.replace(query, order=RunOrder.NEWEST_FIRST, limit=concurrency, cursor="")
        self._is_dry = dry_run
        self._on_progress = on_progress

    async def cancel(self, reason: str = "", *, grace: timedelta | None = None, by: str = "") -> BulkReport:
        """Ask every open run to end with clean-up; as `Run.cancel`."""
        _require_words(reason, by)
        if grace is not None:
            require_duration(grace, "grace")
        return await self._ask(OPEN_STATUSES, lambda run: run.cancel(reason, grace=grace, by=by))

    async def terminate(self, reason: str = "", *, by: str = "") -> BulkReport:
        """Stop every open run now, without clean-up; as `Run.terminate`."""
        _require_words(reason, by)
        return await self._ask(OPEN_STATUSES, lambda run: run.terminate(reason, by=by))

    async def suspend(self, reason: str = "", *, by: str = "") -> BulkReport:
        """Hold every open run still; as `Run.suspend`."""
        _require_words(reason, by)
        return await self._ask(OPEN_STATUSES - {RunStatus.SUSPENDED}, lambda run: run.suspend(reason, by=by))

    async def resume(self, *, by: str = "") -> BulkReport:
        """Let every suspended run go on; as `Run.resume`."""
        _require_words("", by)
        return await self._ask(frozenset({RunStatus.SUSPENDED}), lambda run: run.resume(by=by))

    async def signal(self, signal: Signal[T], body: T | None = None, *, request_id: str | None = None) -> BulkReport:
        """Send every open run a signal; as `Run.signal`, with one `request_id` for all of them."""
        require_signal(signal, "bulk.signal")
        require_text(request_id or "", "request_id")
        return await self._ask(OPEN_STATUSES, lambda run: run.signal(signal, body, request_id=request_id))

    async def retry(
        self, reason: str = "", *, by: str = "", version: str | None = None, request_id: str | None = None
    ) -> BulkReport:
        """Go on with every run that failed, as `Run.retry`; with cancelled and terminated ones if the filter says so.

        `request_id`: the call made again with it retries nobody twice.
        """
        wish = Wish(ForkCause.RETRY, reason=reason, by=by, version=version)
        return await self._fork(_RETRIED, frozenset({RunStatus.FAILED}), wish, request_id)

    async def reset(
        self, reason: str = "", *, request_id: str | None = None, **options: Unpack[ForkOptions]
    ) -> BulkReport:
        """Let every run that is open or has failed go on from a point of its own history, as `Run.reset`; others if the
        filter says so. `request_id`: the call made again with it resets nobody twice."""
        wish = Wish.of(ForkCause.RESET, reason, **options)
        return await self._fork(_RESET, OPEN_STATUSES | {RunStatus.FAILED}, wish, request_id)

    async def _fork(
        self, concerned: frozenset[RunStatus], usual: frozenset[RunStatus], wish: Wish, request_id: str | None
    ) -> BulkReport:
        from perdure.client.forking import consider_fork, fork_run  # noqa: PLC0415 - only those who repair runs pay for it

        require_sound(wish, request_id or "")
        gateway, statuses = self._gateway, _concerned(self._query.statuses, concerned, usual=usual)

        async def fork(found: RunSummary) -> None:
            listed = Listed(found.run_key, statuses)
            if self._is_dry:
                await consider_fork(gateway, found.ref, wish, listed=listed)
            else:
                request = _request_of(found, request_id)
                await fork_run(gateway, found.ref, wish, request_id=request, listed=listed)

        return await self._ask_each(statuses, fork, looks=True)

    async def _ask(self, concerned: frozenset[RunStatus], wish: Callable[[Run[Any]], Awaitable[None]]) -> BulkReport:
        """Ask those of the statuses that the wish can concern, by their ids."""
        statuses = _concerned(self._query.statuses, concerned, usual=concerned)
        gateway = self._gateway

        async def ask(found: RunSummary) -> None:
            await wish(Run[Any](gateway, found.ref, run_key=found.run_key, signature=None))

        return await self._ask_each(statuses, ask, looks=False)

    async def _ask_each(
        self, statuses: frozenset[RunStatus], ask: Callable[[RunSummary], Awaitable[None]], *, looks: bool
    ) -> BulkReport:
        """Ask all that match and have one of the statuses. `looks`: `ask` writes nothing in a dry run."""
        query = msgspec.structs.replace(self._query, statuses=statuses)
        store = self._gateway.store
        report = BulkReport(found=await store.count_runs(query))
        while looks or not self._is_dry:
            page = await store.list_runs(query)
            answers = await asyncio.gather(*(_answer(found, ask) for found in page.runs))
            report = _with(report, answers)
            if self._on_progress is not None:
                self._on_progress(report)
            if not page.next_cursor:
                break
            query = msgspec.structs.replace(query, cursor=page.next_cursor)
        return report


def require_concurrency(value: object) -> int:
    """Return how many runs may be asked at once. Raises InvalidArgumentError."""
    return require_integer(value, "concurrency", most=_LARGEST_CONCURRENCY)


_LARGEST_CONCURRENCY = 1_000


_RETRIED = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TERMINATED})
_RESET = frozenset(RunStatus) - {RunStatus.CONTINUED}


def _concerned(
    asked: frozenset[RunStatus], concerned: frozenset[RunStatus], *, usual: frozenset[RunStatus]
) -> frozenset[RunStatus]:
    """Return those of the statuses asked for (none: the usual ones) that the wish can concern."""
    both = asked & concerned if asked else usual
    if not both:
        message = (
            f"the filter asks for runs that are {_names(asked)}, but this concerns only runs that are "
            f"{_names(concerned)}; leave the status out, or choose one of these"
        )
        raise InvalidArgumentError(message)
    return both


def _names(statuses: frozenset[RunStatus]) -> str:
    return " or ".join(sorted(statuses))


def _require_words(reason: str, by: str) -> None:
    require_text(reason, "the reason")
    require_text(by, "by (whose wish it is)")


def _request_of(found: RunSummary, request_id: str | None) -> str:
    """Return the request of one run: no other of a run and a request has the same."""
    return f"{len(request_id)}:{request_id}:{found.ref.id}" if request_id else ""


async def _answer(
    found: RunSummary, ask: Callable[[RunSummary], Awaitable[None]]
) -> BulkFailure | RunClosedError | None:
    """Ask a run; return None where it took the wish in, and what came instead otherwise."""
    try:
        await ask(found)
    except RunClosedError as error:
        return error
    except PerdureError as error:
        return BulkFailure(found.ref.id, error)
    return None


def _with(report: BulkReport, answers: list[BulkFailure | RunClosedError | None]) -> BulkReport:
    failures = tuple(answer for answer in answers if isinstance(answer, BulkFailure))
    return BulkReport(
        found=report.found,
        done=report.done + answers.count(None),
        ended=report.ended + sum(isinstance(answer, RunClosedError) for answer in answers),
        failures=report.failures + failures,
    )
