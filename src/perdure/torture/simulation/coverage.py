"""Coverage: which moments of which workloads were struck, by what, and what of all that should be was not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from perdure.kernel import events as e
from perdure.torture.simulation.effects import EFFECT
from perdure.torture.simulation.kinds import VOCABULARY, Point
from perdure.torture.simulation.plans import FOLLOWED_BY_CRASH, Strike, StrikeKind

__all__ = ["AFTER_A_DEATH", "Coverage", "Struck", "demanded", "moments_of", "struck_in"]

Struck = frozenset[tuple[str, str]]
"""Names of strikes, each with the moment that it struck."""


def struck_in(strikes: list[tuple[Strike, Point]]) -> Struck:
    """Return what the strikes of one trial have struck: the first, the first with what came next, and the others."""
    found: set[tuple[str, str]] = set()
    for number, (strike, point) in enumerate(strikes):
        names = [str(strike.kind)] if number == 0 else [f"{strike.kind} after {strikes[number - 1][0].kind}"]
        if number == 0 and len(strikes) > 1:
            names.append(f"{strike.kind}, then {strikes[1][0].kind}")
        found.update((name, moment) for name in names for moment in point.moments)
    return frozenset(found)


class Coverage:
    """What was struck in many trials: workload -> moment -> names of strikes."""

    def __init__(self) -> None:
        """Nothing was."""
        self.by_workload: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, workload: str, struck: Struck) -> None:
        """Note what was struck in a trial."""
        for strike, moment in struck:
            self.by_workload[workload][moment].add(strike)

    def merge(self, other: dict[str, dict[str, list[str]]]) -> None:
        """Note what was struck elsewhere."""
        for workload, moments in other.items():
            for moment, strikes in moments.items():
                self.by_workload[workload][moment].update(strikes)

    def plain(self) -> dict[str, dict[str, list[str]]]:
        """Return it for machines."""
        return {
            workload: {moment: sorted(strikes) for moment, strikes in sorted(moments.items())}
            for workload, moments in sorted(self.by_workload.items())
        }

    def gaps(self) -> list[str]:
        """Return a line for each thing that is demanded and was not struck."""
        struck = {
            (strike, moment)
            for moments in self.by_workload.values()
            for moment, strikes in moments.items()
            for strike in strikes
        }
        second = f"{StrikeKind.CRASH} after {StrikeKind.CRASH}"
        wanted = [*demanded(VOCABULARY - AFTER_A_DEATH), *((second, moment) for moment in moments_of(AFTER_A_DEATH))]
        return [f"{strike}: {moment}" for strike, moment in wanted if (strike, moment) not in struck]

    def lines(self) -> Iterator[str]:
        """Yield a table: each moment with what struck it, and in how many workloads."""
        strikes: dict[str, set[str]] = defaultdict(set)
        workloads: dict[str, set[str]] = defaultdict(set)
        for workload, moments in self.by_workload.items():
            for moment, names in moments.items():
                strikes[moment] |= names
                workloads[moment].add(workload)
        for moment in sorted(strikes):
            yield f"{moment}: {'; '.join(sorted(strikes[moment]))}, in {len(workloads[moment])} workloads"


def demanded(kinds: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield every strike, alone and followed by a crash where that is another story, before and after every kind."""
    pairs = [f"{kind}, then {StrikeKind.CRASH}" for kind in sorted(FOLLOWED_BY_CRASH)]
    for moment in (*moments_of(kinds), f"before effect {EFFECT}", f"after effect {EFFECT}"):
        yield from ((strike, moment) for strike in (*StrikeKind, *pairs))


def moments_of(kinds: Iterable[str]) -> list[str]:
    """Return the moments of a commit that holds each of the kinds."""
    return [f"{side} commit {kind}" for kind in sorted(kinds) for side in ("before", "after")]


AFTER_A_DEATH: Final = frozenset({e.RecoveryStarted.__name__, e.RecoveryCompleted.__name__})
"""Kinds that nothing undisturbed has: only what strikes second can meet them."""
