"""A campaign: many plans over all workloads, in several processes, and the smallest plan for what goes wrong."""

import itertools
import logging
import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache, cached_property
from typing import Final

import msgspec

from perdure.torture.simulation.canon import Canon
from perdure.torture.simulation.plans import (
    Plan,
    parse_plan,
    random_plans,
    single_crashes,
    single_pauses,
    struck_recoveries,
)
from perdure.torture.simulation.trial import Verdict, run_trial
from perdure.torture.simulation.workloads import WORKLOADS

__all__ = ["Violation", "examine", "run_campaign", "smallest", "undisturbed"]


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A plan under which something went wrong, and what."""

    plan: str
    findings: tuple[str, ...]

    def __str__(self) -> str:
        """Render with the line that does it again."""
        found = "".join(f"\n    {finding}" for finding in self.findings)
        return f"python -m perdure.torture sim --plan '{self.plan}'{found}"


@cache
def undisturbed(workload: str) -> Verdict:
    """Return what becomes of a workload that nothing disturbs."""
    return run_trial(Plan(workload=workload, seed=0))


def examine(plan: Plan) -> Violation | None:
    """Run a plan and compare with the undisturbed course."""
    expected: Canon = undisturbed(plan.workload).canon
    verdict = run_trial(plan, expected)
    return Violation(plan=str(plan), findings=verdict.findings) if verdict.findings else None


def smallest(violation: Violation) -> Violation:
    """Leave out strikes as long as something still goes wrong."""
    while True:
        plan = parse_plan(violation.plan)
        for left_out in range(len(plan.strikes)):
            strikes = plan.strikes[:left_out] + plan.strikes[left_out + 1 :]
            found = examine(msgspec.structs.replace(plan, strikes=strikes))
            if found is not None:
                violation = found
                break
        else:
            return violation


def run_campaign(
    *,
    count: int,
    seed: int,
    processes: int,
    workloads: Sequence[str] = (),
    stops_at_first: bool = False,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> tuple[int, list[Violation]]:
    """Examine `count` plans drawn by `seed`; return how many were, and the violations with their smallest plans."""
    names = list(workloads or WORKLOADS)
    plans = itertools.islice(_plans(names, count, seed), count)
    if processes <= 1:
        return _run_here(plans, stops_at_first=stops_at_first, on_progress=on_progress)
    return _run_in_pool(plans, processes=processes, stops_at_first=stops_at_first, on_progress=on_progress)


def _plans(names: list[str], count: int, seed: int) -> Iterator[Plan]:
    """Yield all single crashes and long pauses of the small workloads, then struck recoveries, thinned out to half of
    `count`; then chance."""
    chance = random.Random(seed)
    places = [_Places(name, chance) for name in names]
    yield from (place.apart for place in places)
    small = [place for place in places if not WORKLOADS[place.apart.workload].is_large]
    singles = _thinned([plan for place in small for plan in place.singles()], count // 2, chance)
    yield from singles
    yield from _thinned(
        [plan for place in small for plan in place.struck_recoveries()], count // 2 - len(singles), chance
    )
    streams = [place.random_plans(seed) for place in places]
    while True:
        for stream in streams:
            yield next(stream)


class _Places:
    """A workload with its client in its one worker's process, and with two workers and a client apart.

    Where it can be struck is found out when that is asked: a short campaign tries few plans, and counts no points.
    """

    def __init__(self, workload: str, chance: random.Random) -> None:
        self.within = Plan(workload=workload, seed=chance.randrange(1_000_000))
        self.apart = Plan(workload=workload, seed=chance.randrange(1_000_000), workers=2, is_embedded=False)

    @cached_property
    def _points(self) -> int:
        return run_trial(self.within).points

    @cached_property
    def _points_apart(self) -> int:
        return run_trial(self.apart).points

    def singles(self) -> Iterator[Plan]:
        yield from single_crashes(self.within, self._points)
        yield from single_crashes(self.apart, self._points_apart)
        yield from single_pauses(self.apart, self._points_apart)

    def struck_recoveries(self) -> Iterator[Plan]:
        yield from struck_recoveries(self.within, self._points)
        yield from struck_recoveries(self.apart, self._points_apart)

    def random_plans(self, seed: int) -> Iterator[Plan]:
        return random_plans(self.within.workload, points=self._points, points_apart=self._points_apart, seed=seed)


def _thinned(plans: list[Plan], most: int, chance: random.Random) -> list[Plan]:
    """Return the plans shuffled, and no more than `most` of them."""
    chance.shuffle(plans)
    return plans[:most]


def _run_here(
    plans: Iterator[Plan], *, stops_at_first: bool, on_progress: Callable[[int], None]
) -> tuple[int, list[Violation]]:
    found: list[Violation] = []
    done = 0
    for plan in plans:
        violation = examine(plan)
        done += 1
        if violation is not None:
            found.append(violation if stops_at_first else smallest(violation))
            if stops_at_first or len(found) >= _MOST_VIOLATIONS:
                break
        if done % _BATCH == 0:
            on_progress(done)
    return done, found


def _run_in_pool(
    plans: Iterator[Plan], *, processes: int, stops_at_first: bool, on_progress: Callable[[int], None]
) -> tuple[int, list[Violation]]:
    found: list[Violation] = []
    done = 0
    with ProcessPoolExecutor(processes, mp_context=_SPAWN, initializer=_be_quiet) as pool:
        waiting: set[Future[tuple[int, list[Violation]]]] = set()
        is_ending = False
        while True:
            while not is_ending and len(waiting) < processes * 2:
                batch = [str(plan) for plan in itertools.islice(plans, _BATCH)]
                if not batch:
                    break
                waiting.add(pool.submit(_examine_batch, batch))
            if not waiting:
                return done, found
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                examined, violations = future.result()
                done += examined
                found += violations
            is_ending = is_ending or len(found) >= (1 if stops_at_first else _MOST_VIOLATIONS)
            on_progress(done)


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)  # the engine warns of what the plans do to it


def _examine_batch(batch: list[str]) -> tuple[int, list[Violation]]:
    violations = [examine(parse_plan(text)) for text in batch]
    return len(batch), [smallest(violation) for violation in violations if violation is not None]


_SPAWN: Final = multiprocessing.get_context("spawn")
_BATCH: Final = 40
_MOST_VIOLATIONS: Final = 20
