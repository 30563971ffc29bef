"""Plans: what strikes a workload, at which points, under which seed. A plan is one line of text, and back."""

import random
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError

__all__ = [
    "ENDINGS",
    "Plan",
    "Strike",
    "StrikeKind",
    "clock_jumps",
    "crashed_again",
    "parse_plan",
    "random_plans",
    "single_crashes",
    "single_endings",
    "single_pauses",
    "struck_in_every_way",
    "struck_recoveries",
]


class StrikeKind(StrEnum):
    """What befalls the process that passes a point.

    `crash`: it dies at once. `pause`: it stands still, past its lease if long enough. `outage`: the store answers
    nobody for a while. `restart`: its engine is closed in an orderly way and opened again. `jump`: the machine's clock,
    which all processes share, is set forward, or back where `seconds` are negative. `cancel`, `terminate`: nothing
    befalls it, but somebody else asks one of the runs that are open to end.
    """

    CRASH = "crash"
    PAUSE = "pause"
    OUTAGE = "outage"
    RESTART = "restart"
    JUMP = "jump"
    CANCEL = "cancel"
    TERMINATE = "terminate"


ENDINGS: Final = frozenset({StrikeKind.CANCEL, StrikeKind.TERMINATE})
"""What ends runs before their time: a trial does not end as an undisturbed one then."""


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """One strike: at the point number `at`, counted from 0; `seconds` until the process (or the store) is back."""

    kind: StrikeKind
    at: int
    seconds: float = 0.5

    def __str__(self) -> str:
        """Render as ``crash@12:0.5``."""
        return f"{self.kind}@{self.at}:{self.seconds:g}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A trial: `workload` with `workers` engines, and its client in a process of its own unless `is_embedded`.

    `commits_at_once`: so many the store of each process has under way, which are applied and answered in any order.
    `is_standby`: the engines keep warm copies of each other's runs.
    """

    workload: str
    seed: int
    workers: int = 1
    is_embedded: bool = True
    commits_at_once: int = 1
    is_standby: bool = False
    strikes: tuple[Strike, ...] = ()

    @classmethod
    def reference(cls, workload: str) -> "Plan":
        """Return the plan that others are compared with: nothing strikes, and the settings are ordinary ones."""
        return cls(workload=workload, seed=0)

    def __str__(self) -> str:
        """Render as one word: ``sequential/7/2e/crash@3:0.5,pause@9:20``; ``2e3``: three commits at once, ``2es``: with
        standbys."""
        place = ("e" if self.is_embedded else "c") + "s" * self.is_standby
        place += f"{self.commits_at_once}" if self.commits_at_once > 1 else ""
        return f"{self.workload}/{self.seed}/{self.workers}{place}/{','.join(map(str, self.strikes))}"


_PLAN: Final = re.compile(
    r"(?P<workload>\w+)/(?P<seed>\d+)/(?P<workers>\d+)(?P<place>[ec])(?P<standby>s?)(?P<commits>\d*)/(?P<strikes>.*)"
)
_STRIKE: Final = re.compile(r"(?P<kind>\w+)@(?P<at>\d+):(?P<seconds>-?[\d.]+)")


def parse_plan(text: str) -> Plan:
    """Read a plan back from its line. Raises InvalidArgumentError for anything else.

    >>> str(parse_plan("signals/3/2c/crash@5:0.5"))
    'signals/3/2c/crash@5:0.5'
    """
    found = _PLAN.fullmatch(text)
    if found is None:
        raise InvalidArgumentError(f"{text!r} is no plan; one looks like signals/3/2c/crash@5:0.5")
    strikes = tuple(
        Strike(kind=StrikeKind(strike["kind"]), at=int(strike["at"]), seconds=float(strike["seconds"]))
        for strike in _STRIKE.finditer(found["strikes"])
    )
    return Plan(
        workload=found["workload"],
        seed=int(found["seed"]),
        workers=int(found["workers"]),
        is_embedded=found["place"] == "e",
        commits_at_once=int(found["commits"] or 1),
        is_standby=bool(found["standby"]),
        strikes=strikes,
    )


def single_crashes(plan: Plan, points: int) -> Iterator[Plan]:
    """Yield `plan` with one crash at each of `points` points."""
    for at in range(points):
        yield msgspec.structs.replace(plan, strikes=(Strike(kind=StrikeKind.CRASH, at=at),))


def crashed_again(plan: Plan, at: int) -> Plan:
    """Return `plan` with one more crash, at a point that it passes after its strikes."""
    return msgspec.structs.replace(plan, strikes=(*plan.strikes, Strike(kind=StrikeKind.CRASH, at=at)))


def single_pauses(plan: Plan, points: int) -> Iterator[Plan]:
    """Yield `plan` with one pause past the lease at each of `points` points: the run goes to another worker."""
    for at in range(points):
        strike = Strike(kind=StrikeKind.PAUSE, at=at, seconds=_PAST_THE_LEASE_SECONDS)
        yield msgspec.structs.replace(plan, strikes=(strike,))


_PAST_THE_LEASE_SECONDS: Final = 25.0


def struck_recoveries(plan: Plan, points: int) -> Iterator[Plan]:
    """Yield `plan` with one crash at each of `points` points and, soon after it, another or a pause past the lease."""
    for at in range(points):
        first = Strike(kind=StrikeKind.CRASH, at=at)
        for gap in _GAPS:
            crash = Strike(kind=StrikeKind.CRASH, at=at + gap)
            pause = Strike(kind=StrikeKind.PAUSE, at=at + gap, seconds=_PAST_THE_LEASE_SECONDS)
            yield msgspec.structs.replace(plan, strikes=(first, crash))
            yield msgspec.structs.replace(plan, strikes=(first, pause))


_GAPS: Final = (1, 2, 3, 4, 5, 6)


def single_endings(plan: Plan, points: int) -> Iterator[Plan]:
    """Yield `plan` with an early end asked for at each of `points` points, alone or with a crash soon after."""
    for at in range(points):
        for kind in sorted(ENDINGS):
            yield msgspec.structs.replace(plan, strikes=(Strike(kind=kind, at=at, seconds=0.0),))
        for gap in (1, 3, 8):
            crash = Strike(kind=StrikeKind.CRASH, at=at + gap)
            cancel = Strike(kind=StrikeKind.CANCEL, at=at, seconds=0.0)
            yield msgspec.structs.replace(plan, strikes=(cancel, crash))


def struck_in_every_way(plan: Plan, at: int, chance: random.Random) -> Iterator[Plan]:
    """Yield `plan` struck at one point by everything there is, alone and followed at once by a crash."""
    for kind in StrikeKind:
        seconds = _PAST_THE_LEASE_SECONDS if kind is StrikeKind.PAUSE else chance.choice(_LENGTHS[kind])
        first = Strike(kind=kind, at=at, seconds=seconds)
        yield msgspec.structs.replace(plan, strikes=(first,))
        if kind in FOLLOWED_BY_CRASH:
            crash = Strike(kind=StrikeKind.CRASH, at=at + _GAPS[0])  # at once: little may come after it
            yield msgspec.structs.replace(plan, strikes=(first, crash))


FOLLOWED_BY_CRASH: Final = frozenset({StrikeKind.CRASH, *ENDINGS})


def random_plans(workload: str, *, points: int, points_apart: int, seed: int) -> Iterator[Plan]:
    """Yield plans for ever: other latencies, one to three workers, up to four strikes of any kind, and in some of them
    up to three commits at once, or standbys.

    An undisturbed trial has `points` with its client in the worker's process, `points_apart` with its client apart.
    """
    chance = random.Random(f"{workload}/{seed}")
    of_commits = random.Random(f"commits of {workload}/{seed}")
    of_standbys = random.Random(f"standbys of {workload}/{seed}")
    while True:
        workers = chance.choice((1, 1, 2, 3))
        is_embedded = chance.random() < _EMBEDDED_SHARE
        reach = points if is_embedded else points_apart
        yield Plan(
            workload=workload,
            seed=chance.randrange(1_000_000_000),
            workers=workers,
            is_embedded=is_embedded,
            commits_at_once=of_commits.choice((1, 1, 1, 2, 3)),
            is_standby=workers > 1 and of_standbys.random() < _STANDBY_SHARE,
            strikes=tuple(_strike(chance, reach) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4)))),
        )


_EMBEDDED_SHARE: Final = 0.6
_STANDBY_SHARE: Final = 0.4


def _strike(chance: random.Random, points: int) -> Strike:
    kind = chance.choice(_KINDS)
    return Strike(kind=kind, at=chance.randrange(max(points, 1) * 5 // 4 + 1), seconds=chance.choice(_LENGTHS[kind]))


_KINDS: Final = (
    *(StrikeKind.CRASH,) * 10,
    *(StrikeKind.PAUSE,) * 4,
    *(StrikeKind.OUTAGE,) * 2,
    *(StrikeKind.RESTART,) * 2,
    StrikeKind.CANCEL,
    StrikeKind.TERMINATE,
)
_LENGTHS: Final = {
    StrikeKind.CRASH: (0.01, 0.5, 2.0),
    StrikeKind.PAUSE: (0.5, 16.0, 25.0, 40.0),
    StrikeKind.OUTAGE: (0.3, 3.0, 20.0),
    StrikeKind.RESTART: (0.01, 1.0),
    StrikeKind.CANCEL: (0.0,),
    StrikeKind.TERMINATE: (0.0,),
    StrikeKind.JUMP: (-3600.0, -40.0, -15.0, -1.0, 1.0, 15.0, 40.0, 3600.0),
}


def clock_jumps(plan: Plan, points: int, chance: random.Random) -> Plan:
    """Return `plan` with one to three jumps of the clock at some of `points` points, and perhaps a crash."""
    jumps = (
        Strike(kind=StrikeKind.JUMP, at=chance.randrange(points), seconds=chance.choice(_LENGTHS[StrikeKind.JUMP]))
        for _ in range(chance.choice((1, 1, 2, 3)))
    )
    crashes = (Strike(kind=StrikeKind.CRASH, at=chance.randrange(points)) for _ in range(chance.choice((0, 1))))
    return msgspec.structs.replace(plan, strikes=(*jumps, *crashes))
