"""``ioerr``: the disk fails, is full or read-only, at any operation; nothing is guessed, and work goes on after.

A random program runs on the SQLite store and, step by step, in memory. From one step on the disk fails at some
operation: once, twice, or until the store has met that often. If the store answers with an error the same step is
refused in memory: so whatever is read from then on shows whether the error was true, and nothing of the step was saved.
When the disk works again so must the store, without help; and in the end another process must find the same. Or the
disk fails only while that one opens the file, which it does as soon as it can.

Then engines work on a real disk of five megabytes that fills up (`disks.small`).
"""

import asyncio
import random
import tempfile
import time
from math import ceil
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import StoreError
from perdure.torture.disks.failing import FailingDisk, QuotaError, failing_disk
from perdure.torture.disks.folders import fast_folder
from perdure.torture.disks.life import DiskHarness
from perdure.torture.disks.small import SmallDiskError, on_a_small_disk
from perdure.torture.options import Options
from perdure.torture.programs.harnesses import RefusingHarness
from perdure.torture.programs.steps import Step, program
from perdure.torture.programs.world import Observation, World
from perdure.torture.report import Report
from perdure.torture.trials import Tried, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Let the disk fail in as many programs as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    report = run_trials("ioerr", options, _one_failure, count=count, per_core=2, each=_MET_SHARE, is_controlled=True)
    if not (report.violations and options.stops_at_first):
        _fill_a_small_disk(report, cycles=ceil(count / _FAILURES_PER_CYCLE))
    return report


def _fill_a_small_disk(report: Report, *, cycles: int) -> None:
    begun = time.monotonic()
    try:
        lived = on_a_small_disk(report.seed, cycles=cycles)
    except SmallDiskError as error:
        report.notes.append(f"a full disk of five megabytes ({error})")
        return
    report.runs += lived.refusals
    report.violations += [
        f"python -m perdure.torture ioerr --count {cycles * _FAILURES_PER_CYCLE} --seed {report.seed}\n"
        f"    on a disk of five megabytes: {wrong}"
        for wrong in lived.wrong
    ]
    report.seconds += time.monotonic() - begun


def _one_failure(seed: int) -> Tried:
    chance = random.Random(seed)
    steps = [step for step in program(seed, length=_STEPS) if step.verb in _WRITING]
    failing = chance.choice(_OPERATIONS)
    first = 1 if failing in _BY_OPENING else chance.randrange(1, _FIRST)
    length, error = chance.choice(_LENGTHS), chance.choice(_ERRORS)
    step = chance.randrange(len(steps) // 2)
    if failing in _BY_OPENING or chance.random() < _OPENING_SHARE:
        step = _LAST_OPENING
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder, failing_disk() as disk:
        disk.error, disk.after = error, chance.random() < _AFTER_SHARE
        trial = _Trial(steps, DiskHarness(Path(folder), disk), disk)
        wrong = asyncio.run(trial.run(failing_step=step, failing=failing, first=first, length=length))
    struck = "struck the last opening" if step == _LAST_OPENING else "struck a step of the program"
    if wrong is None:
        return Tried(int(trial.has_failed), [], {struck: int(trial.has_failed)})
    since = "the last opening" if step == _LAST_OPENING else f"step {step} ({steps[step].verb})"
    what = f"from {since} on {failing} {first} to {first + length - 1} fails by {error.__name__}"
    return Tried(1, [f"python -m perdure.torture ioerr --count 1 --seed {seed}\n    {what}: {wrong}"], {struck: 1})


class _Trial:
    """One program on both stores."""

    def __init__(self, steps: list[Step], harness: DiskHarness, disk: FailingDisk) -> None:
        self._steps = steps
        self._disk = disk
        self.has_failed = False
        self._harness, self._refusing = harness, RefusingHarness()
        self._real, self._memory = World(self._harness), World(self._refusing)

    async def run(self, *, failing_step: int, failing: str, first: int, length: int) -> str | None:
        """Return what is wrong; None if nothing is."""
        await self._real.open()
        await self._memory.open()
        for number, step in enumerate(self._steps):
            if number == failing_step:
                self._disk.plan(failing, first=first, length=length)
            found = await self._answer(self._real, step)
            if isinstance(found, StoreError) and not self._disk.failed:
                return f"step {number} ({step.verb}) met no failure of the disk, and was refused: {found}"
            self._note_failure(0)
            self._refusing.refuses = isinstance(found, StoreError)
            expected = await self._answer(self._memory, step)
            self._refusing.refuses = False
            if not isinstance(found, StoreError) and found != expected:
                return f"step {number} ({step.verb}) was answered otherwise than in memory: {found!r:.300}"
        await self._real.leave(self._harness.kill)
        await self._memory.leave(self._refusing.kill)
        if failing_step == _LAST_OPENING:
            self._disk.plan(failing, first=first, length=length)
        wrong = await self._open_at_last()
        await self._real.come_back()
        await self._memory.come_back()
        is_same = await self._real.everything() == await self._memory.everything()
        await self._harness.close()
        await self._refusing.close()
        return wrong if is_same else "another process finds something else than what was answered"

    async def _open_at_last(self) -> str | None:
        """Open the file as soon as the disk lets one; return what is wrong."""
        first = None
        while first is None:
            before = len(self._disk.failed)
            try:
                first = await self._harness.session("first", lease_seconds=_LEASE_SECONDS)
            except StoreError as error:
                if len(self._disk.failed) == before:
                    return f"an opening met no failure of the disk, and was refused: {error}"
                self._note_failure(_ENOUGH)
        self._note_failure(0)
        self._disk.heal()
        await self._harness.kill(first)
        return None

    def _note_failure(self, enough: int) -> None:
        """Note whether the disk has failed; one that goes on failing works again after that was `enough`."""
        if self._disk.failed and len(self._disk.failed) >= enough:
            self.has_failed = True
            self._disk.heal()
            self._disk.failed.clear()

    async def _answer(self, world: World, step: Step) -> Observation:
        """Return what a step is answered, or its error; a disk that goes on failing is healed after a while."""
        doing = asyncio.create_task(world.do(step))
        while not doing.done():
            await asyncio.wait({doing}, timeout=_LOOK_SECONDS)
            if len(self._disk.failed) >= _ENOUGH:
                self._disk.heal()
        error = doing.exception()
        return error if isinstance(error, StoreError) else doing.result()


_MET_SHARE: Final = 0.75
"""How many plans come to a failure: an operation may not occur so often."""
_WRITING: Final = frozenset({"commit", "claim", "renew", "free", "agenda", "pass_time"})
_STEPS: Final = 14
_BY_OPENING: Final = ("write copy", "sync copy", "replace log", "sync folder")
_OPERATIONS: Final = (
    "write log", "sync log", "write database", "sync database", "truncate database", "write room", *_BY_OPENING,
)  # fmt: skip
_LAST_OPENING: Final = -1
_LEASE_SECONDS: Final = 30.0
_OPENING_SHARE: Final = 0.15
_FIRST: Final = 8
_LENGTHS: Final = (1, 2, 1_000)
_ERRORS: Final = (apsw.IOError, apsw.FullError, QuotaError, apsw.ReadOnlyError, apsw.NoMemError)
_AFTER_SHARE: Final = 0.3
_ENOUGH: Final = 4
"""After so many failures the disk works again."""
_LOOK_SECONDS: Final = 0.002
_FAILURES_PER_CYCLE: Final = 50
_USUALLY: Final = 200
_CI: Final = 5_000
_LONG: Final = 50_000
