"""``ioerr``: the disk fails, is full or read-only, at any operation; nothing is guessed, and work goes on after.

A random program runs on the SQLite store and, step by step, in memory. From a step of its first half on the disk fails
at some operation: once, twice, or until the store has met that often; and again from a later one on, often the last. If
the store answers with an error the same step is refused in memory: so whatever is read from then on shows whether the
error was true, and nothing of the step was saved. When the disk works again so must the store, without help; and in the
end another process must find the same. The disk fails once more while that one opens the file, which it does as soon as
it can.

Then engines work on a real disk of five megabytes that fills up (`disks.small`).
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from perdure.errors import StoreError
from perdure.torture.disks.failing import FailingDisk, QuotaError, failing_disk
from perdure.torture.disks.folders import fast_folder
from perdure.torture.disks.life import DATABASE_NAME, DiskHarness
from perdure.torture.disks.small import SmallDiskError, on_a_small_disk
from perdure.torture.options import Options
from perdure.torture.programs.prompt import put_empty_database
from perdure.torture.programs.refusing import RefusingHarness
from perdure.torture.programs.steps import Step, program
from perdure.torture.programs.world import Observation, World
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Let the disk fail in as many programs as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    trial = partial(_one_program, options.workloads_of(_OPERATIONS))
    report = run_trials("ioerr", options, trial, count=count, per_core=2, each=_MET_EACH, is_controlled=True)
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


class _Strike(NamedTuple):
    """A failure of the disk, of operations of one kind, counted from when it is planned."""

    failing: str
    first: int
    length: int

    def __str__(self) -> str:
        return f"{self.failing} {self.first} to {self.first + self.length - 1} fails"


def _one_program(operations: Sequence[str], seed: int) -> Tried:
    """Let the disk fail thrice in a program: from two of its steps on, and while another process opens the file."""
    chance = random.Random(seed)
    steps = [step for step in program(seed, length=_STEPS) if step.verb in _WRITING]
    half = len(steps) // 2
    later = len(steps) - 1 if chance.random() < _LAST_STEP_SHARE else chance.randrange(half, len(steps))
    by_opening = _BY_OPENING if chance.random() < _BY_OPENING_SHARE else _OPERATIONS
    strikes = {step: _strike(chance, operations) for step in (chance.randrange(half), later)}
    strikes[_LAST_OPENING] = _strike(chance, by_opening)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder, failing_disk() as disk:
        disk.error, disk.after = chance.choice(_ERRORS), chance.random() < _AFTER_SHARE
        put_empty_database(Path(folder) / DATABASE_NAME)
        trial = _Trial(steps, DiskHarness(Path(folder), disk), disk)
        wrong = asyncio.run(trial.run(strikes))
        what = f"{', '.join(_told(strikes, steps))}, by {disk.error.__name__}"
    repeats = again("ioerr", seed, only=() if operations == _OPERATIONS else operations)
    found = [] if wrong is None else [f"{repeats}\n    {what}: {wrong}"]
    return Tried(trial.struck.total(), found, {**_NO_STRIKE, **trial.struck})


def _told(strikes: Mapping[int, _Strike], steps: Sequence[Step]) -> Iterator[str]:
    for step, strike in strikes.items():
        since = "the last opening" if step == _LAST_OPENING else f"step {step} ({steps[step].verb})"
        yield f"from {since} on {strike}"


def _strike(chance: random.Random, operations: Sequence[str]) -> _Strike:
    failing = chance.choice(operations)
    first = 1 if failing in _BY_OPENING else min(chance.randrange(1, _FIRST), chance.randrange(1, _FIRST))
    return _Strike(failing, first, chance.choice(_LENGTHS))


class _Trial:
    """One program on both stores."""

    def __init__(self, steps: list[Step], harness: DiskHarness, disk: FailingDisk) -> None:
        self._steps = steps
        self._disk = disk
        self.struck = Counter[str]()
        """How often the disk has failed, and when."""
        self._harness, self._refusing = harness, RefusingHarness()
        self._real, self._memory = World(self._harness), World(self._refusing)

    async def run(self, strikes: Mapping[int, _Strike]) -> str | None:
        """Return what is wrong; None if nothing is. `strikes`: from which steps on the disk fails, and how."""
        await self._real.open()
        await self._memory.open()
        for number, step in enumerate(self._steps):
            if number in strikes:
                self._disk.plan(**strikes[number]._asdict())
            found = await self._answer(self._real, step)
            if isinstance(found, StoreError) and not self._disk.failed:
                return f"step {number} ({step.verb}) met no failure of the disk, and was refused: {found}"
            self._note_failure(_IN_A_STEP)
            self._refusing.refuses = isinstance(found, StoreError)
            expected = await self._answer(self._memory, step)
            self._refusing.refuses = False
            if not isinstance(found, StoreError) and found != expected:
                return f"step {number} ({step.verb}) was answered otherwise than in memory: {found!r:.300}"
        await self._real.leave(self._harness.kill)
        await self._memory.leave(self._refusing.kill)
        self._disk.plan(**strikes[_LAST_OPENING]._asdict())
        wrong = await self._open_at_last()
        await self._real.observe_anew()
        await self._memory.observe_anew()
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
                if len(self._disk.failed) >= _ENOUGH:
                    self._disk.heal()
        self._note_failure(_IN_AN_OPENING)
        self._disk.heal()
        await self._harness.kill(first)
        return None

    def _note_failure(self, when: str) -> None:
        """Note whether the disk has failed; if it has it works again."""
        if self._disk.failed:
            self.struck[when] += 1
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


_MET_EACH: Final = 1.85
"""How many of its three failures a program meets: an operation may not occur so often."""
_IN_A_STEP: Final = "struck a step of the program"
_IN_AN_OPENING: Final = "struck the last opening"
_NO_STRIKE: Final = {_IN_A_STEP: 0, _IN_AN_OPENING: 0}
_WRITING: Final = frozenset({"commit", "claim", "renew", "free", "agenda", "pass_time"})
_STEPS: Final = 14
_BY_OPENING: Final = ("write copy", "sync copy", "replace log", "sync folder")
_OPERATIONS: Final = (
    "write log", "sync log", "write database", "sync database", "truncate database", "write room",
)  # fmt: skip
_LAST_OPENING: Final = -1
_LEASE_SECONDS: Final = 30.0
_LAST_STEP_SHARE: Final = 0.3
"""So often the last step fails: nothing overwrites before the death what it has left in the log."""
_BY_OPENING_SHARE: Final = 0.8
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
