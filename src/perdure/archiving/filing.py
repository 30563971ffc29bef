"""Filing: runs are read whole and written to an archive, part by part, so that they may be removed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from perdure.archiving.line_making import about_bytes, lines_of_runs
from perdure.archiving.origins import with_origins
from perdure.archiving.refusals import UNREADABLE
from perdure.archiving.run_lines import end_line, heading_line
from perdure.errors import StoreError
from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock
from perdure.ports.keeping import WholeRun
from perdure.ports.store import RunStore, RunSummary

__all__ = ["Filed", "Filing", "Sink"]

_PART_BYTES: Final = 32 * 2**20
_READ_AT_ONCE: Final = 20
_READ_BYTES: Final = 8 * 2**20
"""No more runs, nor many more bytes, are in memory at once: a run may have very many."""


class Sink(Protocol):
    """Where runs go before they are removed: `perdure.archiving.files.Archive`."""

    async def append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
        """Append a part; it is durable when this returns the number of its bytes."""
        ...


@dataclass
class Filed:
    """What became of some runs: `runs` are safe in the archive, which has grown by `size_bytes`.

    `damaged` are not in it, and why, by namespace and id; nor is what follows them.
    """

    runs: list[RunSummary] = field(default_factory=list)
    size_bytes: int = 0
    damaged: dict[tuple[str, str], tuple[RunSummary, StoreError]] = field(default_factory=dict)


class Filing:
    """Writes runs of a store to an archive."""

    def __init__(
        self, store: RunStore, clock: Clock, archive: Sink, *, keep_turn: Callable[[], Awaitable[None]]
    ) -> None:
        """Prepare; `keep_turn` is called every now and then, however long anything takes."""
        self._store: Final = store
        self._clock: Final = clock
        self._archive: Final = archive
        self._keep_turn: Final = keep_turn

    async def file(self, batch: Sequence[RunSummary]) -> Filed:
        """Write runs to the archive, generations in their order. Raises what `keep_turn` does, and StoreErrors."""
        filed = Filed()
        part = _Part()
        left = batch
        while left:
            await self._keep_turn()
            found = await self._lines_of(left[:_READ_AT_ONCE])
            some, left = left[: len(found)], left[len(found) :]
            for summary, lines in zip(some, found, strict=True):
                name = (summary.ref.namespace, summary.ref.id)
                if isinstance(lines, StoreError):
                    filed.damaged.setdefault(name, (summary, lines))
                elif lines and name not in filed.damaged:
                    part.add(summary, lines)
            if part.size_bytes > _PART_BYTES:
                await self._append(part, filed)
                part = _Part()
        await self._append(part, filed)
        return filed

    async def _lines_of(self, summaries: Sequence[RunSummary]) -> list[list[bytes] | StoreError]:
        """Return the first runs as lines; none of one that is gone, for a damaged one what is damaged."""
        found = await self._read_some(summaries)
        saved = await with_origins(self._store, [run for run in found if isinstance(run, WholeRun)])
        made = iter(await lines_of_runs(saved, demands_sound=True))
        return [next(made) if isinstance(run, WholeRun) else run or [] for run in found]

    async def _read_some(self, summaries: Sequence[RunSummary]) -> list[WholeRun | StoreError | None]:
        """Return the first runs, at least one, as long as they have not too many bytes together."""
        found: list[WholeRun | StoreError | None] = []
        size_bytes = 0
        for summary in summaries:
            found.append(run := await self._read(summary))
            size_bytes += about_bytes(run) if isinstance(run, WholeRun) else 0
            if size_bytes > _READ_BYTES:
                break
        return found

    async def _read(self, summary: RunSummary) -> WholeRun | StoreError | None:
        try:
            return await self._store.read_whole(summary.run_key)
        except UNREADABLE as error:
            return error

    async def _append(self, part: "_Part", filed: Filed) -> None:
        if not part.runs:
            return
        now = self._clock.now()
        lines = [heading_line(now=now), *part.lines, end_line(len(part.runs))]
        filed.size_bytes += await self._archive.append(lines, now=now)
        filed.runs += part.runs


class _Part:
    """Some runs and their lines, to be appended to an archive together."""

    def __init__(self) -> None:
        self.runs: list[RunSummary] = []
        self.lines: list[bytes] = []
        self.size_bytes = 0

    def add(self, summary: RunSummary, lines: Sequence[bytes]) -> None:
        """Add a run."""
        self.runs.append(summary)
        self.lines += lines
        self.size_bytes += sum(map(len, lines))
