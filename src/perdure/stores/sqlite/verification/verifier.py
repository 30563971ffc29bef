"""The course of a verification: all runs in turn, then the file, then the tables; what is found is mended if wished.

Indexes are mended before rows: an index without the entry of a row lets nobody change that row.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import apsw
import msgspec

from perdure.errors import StoreCorruptError, StoreError
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.verification import DamagedRun, Defect, Verification, VerificationWish
from perdure.stores.sql import verification as statements
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.verification.indexes import rebuild_indexes
from perdure.stores.sqlite.verification.repairs import quarantine_run, repair_counters, repair_run
from perdure.stores.sqlite.verification.runs import try_run
from perdure.stores.sqlite.verification.tables import ROW_CHECKS, Check, defects_by, file_checks, table_of

__all__ = ["Asking", "Verifier"]

Result = TypeVar("Result")


class Asking(Protocol):
    """Runs a function of a connection on a thread of its own: one that reads, or one that writes in a transaction."""

    async def __call__(self, function: Callable[[apsw.Connection], Result], /) -> Result:
        """Return what the function returns. Raises StoreErrors."""
        ...


class Verifier:
    """One verification. `mend` writes; without it nothing is changed."""

    def __init__(
        self,
        ask: Asking,
        wish: VerificationWish,
        *,
        mend: Asking | None = None,
    ) -> None:
        """Prepare."""
        self._ask: Final = ask
        self._wish: Final = wish
        self._mend: Final = mend
        self._runs = self._events = self._messages = self._without_digest = 0
        self._done = self._total = 0
        self._hopeless: Final[set[str]] = set()  # the tables whose indexes cannot be built anew
        self._found: list[DamagedRun] = []
        self._damaged: list[DamagedRun] = []
        self._defects: list[Defect] = []

    async def verify(self, location: str) -> Verification:
        """Return what is found. Raises StoreErrors where the file cannot be read at all."""
        run = self._wish.run
        if run is None:
            await self._verify_all()
        else:
            await self._verify_keys(await self._ask(lambda connection: _keys_of(connection, run)))
            await self._mend_runs()
        return Verification(
            location=location,
            runs=self._runs,
            events=self._events,
            messages=self._messages,
            without_digest=self._without_digest,
            damaged=tuple(self._damaged),
            defects=tuple(self._defects),
        )

    async def _verify_all(self) -> None:
        checks = await self._file_checks()
        self._total = len(checks) + len(ROW_CHECKS)
        await self._verify_runs()
        for check in checks:
            await self._verify_file(check)
        await self._mend_runs()
        for check in ROW_CHECKS:
            await self._verify_tables(check)

    async def _verify_runs(self) -> None:
        try:
            self._total += await self._ask(
                lambda connection: int(connection.execute("SELECT count(*) FROM runs NOT INDEXED").get)
            )
            after = RunKey(-(2**63))
            while keys := await self._ask(lambda connection: _keys_after(connection, after)):  # noqa: B023 - awaited
                await self._verify_keys(keys)
                if keys[-1] <= after:  # in a tree that is damaged a search may lead back
                    self._defects.append(Defect(place="file", what="the rows of the runs are in no order"))
                    break
                after = keys[-1]
        except StoreCorruptError as error:
            self._defects.append(Defect(place="file", what=f"the rows of the runs cannot be listed: {error}"))

    async def _file_checks(self) -> list[Check]:
        try:
            return await self._ask(file_checks)
        except StoreCorruptError as error:
            self._defects.append(Defect(place="file", what=f"the tables cannot be listed: {error}"))
            return []

    def _progress(self, steps: int) -> None:
        """Tell of steps that are done: runs, then checks of the file and of what belongs to no run."""
        self._done += steps
        if self._wish.on_progress is not None:
            self._wish.on_progress(self._done, max(self._total, self._done))

    async def _verify_keys(self, keys: Sequence[RunKey]) -> None:
        now = self._wish.now
        found = await self._ask(lambda connection: [try_run(connection, run_key, now=now) for run_key in keys])
        for one in found:
            if isinstance(one, DamagedRun):
                self._runs += 1
                self._found.append(one)
            elif one is not None:
                self._runs += 1
                self._events += one.state.sequence
                self._messages += one.messages
                self._without_digest += one.check.unchained
                if one.defects:
                    self._found.append(one.damage())
        self._progress(len(keys))

    async def _mend_runs(self) -> None:
        for damage in self._found:
            await self._mend_run(damage)

    async def _mend_run(self, damage: DamagedRun) -> None:
        now = self._wish.now
        found: DamagedRun | None = damage
        if self._wish.repairs:
            found = await self._mended(damage, partial(repair_run, run_key=damage.run_key, now=now))
        if self._wish.quarantines and found is not None:
            found = await self._mended(found, partial(quarantine_run, damage=found, now=now))
        if found is not None:
            self._damaged.append(found)

    async def _mended(
        self, damage: DamagedRun, change: Callable[[apsw.Connection], DamagedRun | None]
    ) -> DamagedRun | None:
        """Return what is left of a run's damage after a change; all of it where the change meets damage itself."""
        if self._mend is None:
            return damage
        try:
            return await self._mend(change)
        except StoreError as error:
            if not is_damage(error):
                raise
            return damage

    async def _verify_file(self, check: Check) -> None:
        found = await self._ask(lambda connection: defects_by(check, connection))
        tables = {table_of(defect) for defect in found if defect.repair}
        rebuilt = {table for table in sorted(tables) if await self._rebuild(table)}
        self._defects += [
            msgspec.structs.replace(defect, is_repaired=table_of(defect) in rebuilt)  # nothing is found there any more
            for defect in found
        ]
        self._progress(1)

    async def _rebuild(self, table: str) -> bool:
        now = self._wish.now
        if self._mend is None or not self._wish.repairs or table in self._hopeless:
            return False
        is_rebuilt = False
        try:
            accepts_older = self._wish.accepts_older_tables
            rebuilding = partial(rebuild_indexes, table=table, now=now, accepts_older=accepts_older)
            is_rebuilt = await self._mend(rebuilding)
        except StoreError as error:
            if not is_damage(error):
                raise
        if not is_rebuilt:
            self._hopeless.add(table)
        return is_rebuilt

    async def _verify_tables(self, check: Check) -> None:
        found = await self._ask(lambda connection: defects_by(check, connection))
        self._defects += [await self._mend_defect(defect) for defect in found]
        self._progress(1)

    async def _mend_defect(self, defect: Defect) -> Defect:
        if self._mend is None or not self._wish.repairs or not defect.repair:
            return defect
        return await self._mend(lambda connection: repair_counters(connection, defect))


def _keys_after(connection: apsw.Connection, after: RunKey) -> list[RunKey]:
    return [RunKey(key) for (key,) in connection.execute(statements.RUNS_AFTER, (after, _RUNS_AT_ONCE))]


def _keys_of(connection: apsw.Connection, run: RunRef) -> list[RunKey]:
    return [RunKey(key) for (key,) in connection.execute(statements.RUNS_OF_ID, (run.namespace, run.id))]


_RUNS_AT_ONCE: Final = 50
