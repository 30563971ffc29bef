"""A campaign: many plans over all workloads, in several processes, and the smallest plan for what goes wrong."""

import itertools
import logging
import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache, cached_property, partial
from typing import Final

import msgspec

from perdure.torture.options import WHOLE, Part
from perdure.torture.simulation.canon import Canon
from perdure.torture.simulation.coverage import AFTER_A_DEATH, Coverage, demanded, moments_of
from perdure.torture.simulation.housekeeping import keep_no_house
from perdure.torture.simulation.kinds import VOCABULARY, Point
from perdure.torture.simulation.plans import (
    Plan,
    crashed_again,
    parse_plan,
    random_plans,
    single_crashes,
    single_endings,
    single_pauses,
    struck_in_every_way,
    struck_recoveries,
)
from perdure.torture.simulation.rare import RARE_PLANS
from perdure.torture.simulation.trial import Verdict, run_trial
from perdure.torture.simulation.workloads import WORKLOADS

__all__ = ["Campaign", "Violation", "course_of", "drawn_plans", "examine", "run_campaign", "smallest", "undisturbed"]


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
    return run_trial(Plan.reference(workload))


@cache
def course_of(plan: Plan) -> tuple[Point, ...]:
    """Return the points that a plan passes."""
    return run_trial(plan).course


def examine(plan: Plan, coverage: Coverage | None = None) -> Violation | None:
    """Run a plan and compare with the undisturbed course; note in `coverage` what was struck."""
    expected: Canon = undisturbed(plan.workload).canon
    verdict = run_trial(plan, expected)
    if coverage is not None:
        coverage.add(plan.workload, verdict.struck)
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


class Campaign(msgspec.Struct, kw_only=True):
    """What a campaign has done so far, and found: the violations with their smallest plans."""

    done: int = 0
    violations: list[Violation] = []
    coverage: Coverage


def run_campaign(
    *,
    count: int,
    seed: int,
    processes: int,
    workloads: Sequence[str] = (),
    part: Part = WHOLE,
    stops_at_first: bool = False,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> Campaign:
    """Examine `count` plans drawn by `seed`, or a part of them."""
    names = list(workloads or WORKLOADS)
    plans = part.of(itertools.islice(drawn_plans(names, count, seed), count))
    run = _run_here if processes <= 1 else partial(_run_in_pool, processes=processes)
    return run(plans, stops_at_first=stops_at_first, on_progress=on_progress)


def drawn_plans(names: Sequence[str], count: int, seed: int) -> Iterator[Plan]:
    """Yield what shows rare bugs, and what strikes each kind of moment in every way; then all single crashes, long
    pauses and early ends of the small workloads, then struck recoveries, all thinned out to half of `count`; then
    chance."""
    yield from (plan for plan in RARE_PLANS if plan.workload in names)
    chance = random.Random(seed)
    places = [_Places(name, chance) for name in names]
    yield from (place.apart for place in places)
    small = [place for place in places if not WORKLOADS[place.apart.workload].is_large]
    left = count // 2
    for kind in (_covering(small, chance), _covering_deaths(small, chance), _singles(small), _recoveries(small)):
        plans = _thinned(list(kind), left, chance)
        left -= len(plans)
        yield from plans
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
    def courses(self) -> dict[Plan, tuple[Point, ...]]:
        """What each passes while nothing strikes; up to the first strike, that is what a struck one passes, too."""
        return {plan: course_of(plan) for plan in (self.within, self.apart)}

    def random_plans(self, seed: int) -> Iterator[Plan]:
        points, points_apart = map(len, self.courses.values())
        return random_plans(self.within.workload, points=points, points_apart=points_apart, seed=seed)


def _covering(places: list[_Places], chance: random.Random) -> Iterator[Plan]:
    """Yield what strikes moments of every kind in every way, at few points that have many kinds (Chvátal, A greedy
    heuristic for the set-covering problem, 1979). The last point of a course is none of them: nothing may come after it
    that a second strike could meet."""
    wanted = {moment for _, moment in demanded(VOCABULARY)}
    points = [
        (plan, at, point.moments & wanted)
        for place in places
        for plan, course in place.courses.items()
        for at, point in enumerate(course[:-1])
    ]
    chance.shuffle(points)
    choices = {moments: (plan, at) for plan, at, moments in points}
    left = set[str]().union(*choices)
    while left:
        best = max(choices, key=lambda moments: len(moments & left))
        left -= best
        yield from struck_in_every_way(*choices[best], chance)


def _covering_deaths(places: list[_Places], chance: random.Random) -> Iterator[Plan]:
    """Yield what strikes, by a second crash, moments of every kind that only a death brings: where one was seen to."""
    left = set(moments_of(AFTER_A_DEATH))
    for crashed in _thinned(list(_crashes(places)), _MOST_DEATHS, chance):
        for at, point in enumerate(course_of(crashed)):
            if not left.isdisjoint(point.moments):
                left -= point.moments
                yield crashed_again(crashed, at)
        if not left:
            return


def _crashes(places: list[_Places]) -> Iterator[Plan]:
    for place in places:
        for plan, course in place.courses.items():
            yield from single_crashes(plan, len(course))


def _singles(places: list[_Places]) -> Iterator[Plan]:
    for place in places:
        for plan, course in place.courses.items():
            yield from single_crashes(plan, len(course))
            yield from single_endings(plan, len(course))
        yield from single_pauses(place.apart, len(place.courses[place.apart]))


def _recoveries(places: list[_Places]) -> Iterator[Plan]:
    for place in places:
        for plan, course in place.courses.items():
            yield from struck_recoveries(plan, len(course))


def _thinned(plans: list[Plan], most: int, chance: random.Random) -> list[Plan]:
    """Return the plans shuffled, and no more than `most` of them."""
    chance.shuffle(plans)
    return plans[:most]


def _run_here(plans: Iterator[Plan], *, stops_at_first: bool, on_progress: Callable[[int], None]) -> Campaign:
    campaign = Campaign(coverage=Coverage())
    for plan in plans:
        violation = examine(plan, campaign.coverage)
        campaign.done += 1
        if violation is not None:
            campaign.violations.append(violation if stops_at_first else smallest(violation))
            if stops_at_first or len(campaign.violations) >= _MOST_VIOLATIONS:
                break
        if campaign.done % _BATCH == 0:
            on_progress(campaign.done)
    return campaign


def _run_in_pool(
    plans: Iterator[Plan], *, processes: int, stops_at_first: bool, on_progress: Callable[[int], None]
) -> Campaign:
    campaign = Campaign(coverage=Coverage())
    with ProcessPoolExecutor(processes, mp_context=_SPAWN, initializer=_be_quiet) as pool:
        waiting: set[Future[_Examined]] = set()
        is_ending = False
        while True:
            while not is_ending and len(waiting) < processes * 2:
                batch = [str(plan) for plan in itertools.islice(plans, _BATCH)]
                if not batch:
                    break
                waiting.add(pool.submit(_examine_batch, batch))
            if not waiting:
                return campaign
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                examined, violations, struck = future.result()
                campaign.done += examined
                campaign.violations += violations
                campaign.coverage.merge(struck)
            is_ending = is_ending or len(campaign.violations) >= (1 if stops_at_first else _MOST_VIOLATIONS)
            on_progress(campaign.done)


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)  # the engine warns of what the plans do to it
    keep_no_house()


_Examined = tuple[int, list[Violation], dict[str, dict[str, list[str]]]]


def _examine_batch(batch: list[str]) -> _Examined:
    coverage = Coverage()
    violations = [examine(parse_plan(text), coverage) for text in batch]
    return len(batch), [smallest(one) for one in violations if one is not None], coverage.plain()


_SPAWN: Final = multiprocessing.get_context("spawn")
_BATCH: Final = 40
_MOST_DEATHS: Final = 200
_MOST_VIOLATIONS: Final = 20
