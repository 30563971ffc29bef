"""Import: runs of files into a store, each whole or not at all, and none twice."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from perdure.archiving.files import lines_of, run_files
from perdure.archiving.origins import key_everywhere, runs_here
from perdure.archiving.refusals import LISTED_REFUSALS, UNREADABLE, Refusal
from perdure.archiving.run_lines import Damage, SavedRun, read_runs
from perdure.archiving.soundness import demand_sound
from perdure.errors import HistoryError, StoreCorruptError
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import Exists
from perdure.ports.keeping import WholeRun
from perdure.ports.store import RunStore, RunSummary

__all__ = ["ImportReport", "import_runs"]


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the runs of files.

    `imported` came in, with their `events`; `present` were there already, from an earlier import or as they always
    were; `left_open` are open ones, which are only taken in where that is asked for; `refused` how many are in the way
    of others, hold locks, are what `perdure verify` calls damaged, or meet damage here; `damaged` how many places of
    the files cannot be read. The first 1,000 of the latter two are told in `refusals` and `damages`.
    """

    imported: int = 0
    events: int = 0
    present: int = 0
    left_open: int = 0
    refused: int = 0
    damaged: int = 0
    refusals: tuple[Refusal, ...] = ()
    damages: tuple[Refusal, ...] = ()


async def import_runs(
    store: RunStore,
    paths: Sequence[Path],
    *,
    takes_open: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> ImportReport:
    """Take in the runs of files and of folders with archives; `on_progress` is told how many bytes were read so far.

    Open runs only if it `takes_open`: they go on here, whatever goes on where they come from. Raises StoreErrors of the
    store, InvalidArgumentError for a file that is not there; what was taken in until then stays.
    """
    importing = _Importing(store, takes_open=takes_open)
    done = 0
    for path in run_files(paths):
        position = 0

        def note(read: int, before: int = done) -> None:
            nonlocal position
            position = read
            if on_progress is not None:
                on_progress(before + read)

        lines = _Lines(lines_of(path, on_bytes=note))
        found = _found_in(lines)
        while page := await asyncio.to_thread(_page, found, lines):
            await importing.take(path, page)
        done += position
    return importing.report


class _Lines:
    """The lines of a file. `size_bytes`: how much text there was in them so far."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.size_bytes += len(line)
            yield line


def _found_in(lines: _Lines) -> Iterator[SavedRun | Damage]:
    """Yield what a file holds; of one that cannot be read at all, that."""
    try:
        yield from read_runs(lines)
    except HistoryError as error:
        yield Damage(1, str(error))


def _page(found: Iterator[SavedRun | Damage], lines: _Lines) -> list[SavedRun | Damage]:
    """Return what comes next, as much as is taken in at once; nothing at the end."""
    page: list[SavedRun | Damage] = []
    until = lines.size_bytes + _PAGE_BYTES
    for one in found:
        page.append(one)
        if len(page) >= _PAGE_RUNS or lines.size_bytes >= until:
            break
    return page


_PAGE_RUNS: Final = 100
_PAGE_BYTES: Final = 4 * 2**20


class _Importing:
    """An import that is under way."""

    def __init__(self, store: RunStore, *, takes_open: bool) -> None:
        self._store: Final = store
        self._takes_open: Final = takes_open
        self.report = ImportReport()

    async def take(self, path: Path, page: Sequence[SavedRun | Damage]) -> None:
        """Take in runs, or note why not."""
        saved = [one for one in page if isinstance(one, SavedRun)]
        for damage in page:
            if isinstance(damage, Damage):
                self._note_damage(path, damage)
        here = await runs_here(self._store, saved)
        await asyncio.gather(
            *(self._take(run, sealed_as=one.run.summary.run_key) for one, run in zip(saved, here, strict=True))
        )

    async def _take(self, run: WholeRun, *, sealed_as: RunKey) -> None:
        if not run.summary.status.is_closed and not self._takes_open:
            self._count(left_open=1)
        elif run.locks:
            self._refuse(run, "it holds locks, or waits for some, which are not taken along; let it end, or cancel it")
        elif run.queues:
            queues = ", ".join(run.queues)
            self._refuse(
                run, f"attempts of it are tasks ({queues}), which are not taken along; let it end, or cancel it"
            )
        else:
            await self._bring_in(run, sealed_as=sealed_as)

    async def _bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> None:
        try:
            demand_sound(run)
            outcome = await self._store.bring_in(run, sealed_as=sealed_as)
        except (HistoryError, StoreCorruptError) as error:  # in the file, or where it would come to: others may come in
            self._refuse(run, str(error))
            return
        if isinstance(outcome, Exists):
            await self._compare(run, outcome.run_key)
        else:
            self._count(imported=1, events=len(run.history))

    async def _compare(self, run: WholeRun, other_key: RunKey) -> None:
        """Count a run that has not come in, for another that is there: itself, or one that is in its way."""
        summary = run.summary
        try:
            other = await self._store.find(other_key)
        except UNREADABLE as error:
            self._refuse(run, f"it, or what is in its way, cannot be read here: {error}")
            return
        if other is None or not await self._is_same(summary, other):
            name = (
                "another run" if other is None else f"another run, {other.ref} of {other.times.created_at:%F %T} UTC,"
            )
            self._refuse(run, f"{name} has its id, its place among the generations, its key or its request")
        elif summary.status.is_closed and (summary.status, summary.closed_at) != (other.status, other.closed_at):
            self._refuse(run, f"it is here, and {other.status}: it went on here otherwise than where it is from")
        else:
            self._count(present=1)

    async def _is_same(self, run: RunSummary, other: RunSummary) -> bool:
        """Whether a run is one of this store, whatever keys it has had elsewhere."""
        if run.ref != other.ref:
            return False
        return await key_everywhere(self._store, run.run_key) == await key_everywhere(self._store, other.run_key)

    def _refuse(self, run: WholeRun, reason: str) -> None:
        told = (Refusal(str(run.summary.ref), reason),) if self.report.refused < LISTED_REFUSALS else ()
        self._count(refused=1, refusals=told)

    def _note_damage(self, path: Path, damage: Damage) -> None:
        place = f"{path}:{damage.line}"
        told = (Refusal(damage.run, f"{place}: {damage.problem}"),) if self.report.damaged < LISTED_REFUSALS else ()
        self._count(damaged=1, damages=told)

    def _count(self, *, refusals: tuple[Refusal, ...] = (), damages: tuple[Refusal, ...] = (), **more: int) -> None:
        report = self.report
        counts = {name: getattr(report, name) + number for name, number in more.items()}
        self.report = msgspec.structs.replace(
            report, refusals=(*report.refusals, *refusals), damages=(*report.damages, *damages), **counts
        )
