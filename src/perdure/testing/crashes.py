"""Crashing everywhere: a scenario runs undisturbed, then again with a death of the process at every point.

**Promise.** Whatever moment a process dies at, the outcome is the same: the scenario's own assertions hold, each run
ends as it did, with the same history (`perdure.testing.normal_form`), and no activity was executed more often than
the contract allows.

**Passes.** Two passes without a death show that the scenario does the same each time. One *march* dies at every point
there is, one after the other, in a single course. Then each point is struck alone, in a course of its own; of more than
`passes` points a sample is taken by a seed that is said. So a course with hundreds of steps is struck everywhere within
seconds.

**The contract on effects.** An attempt whose process dies is made again: with one death, at most twice. An attempt of
an at-most-once activity is never made twice; one that a death has interrupted has failed (`WorkerLostError`), so such
a pass may end otherwise, and only its effects are judged. The march spares these.

**Limits.** The data is in memory. Fixtures, module globals and what else lies outside of the scenario are not renewed
between the passes: build what the scenario changes within it. A march ends its deaths at three times the points of the
undisturbed course, for a scenario that makes new ones with each death. Points around functions in threads and processes
are those before and after their commits. No point is the release of an idle run, which changes nothing of it.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum, auto
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.testing.courses import Course
from perdure.testing.environment import SyncTestEnvironment, TestEnvironment
from perdure.testing.environment.points import Point, Points, crash_at, march, undisturbed

__all__ = ["DEFAULT_PASSES", "Campaign", "CrashReport", "crash_everywhere", "crash_everywhere_sync"]

DEFAULT_PASSES: Final = 50
"""How many points are struck alone, at most."""

_MOST_FINDINGS: Final = 3
"""After so many broken passes a campaign ends: the others will look alike."""


class CrashReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign did: `points` of the undisturbed course, `deaths` in all.

    `seed`: of the sample of points that were struck alone; None: all were.
    """

    points: int
    passes: int
    deaths: int
    seed: int | None

    def __str__(self) -> str:
        """Render on one line."""
        sample = "" if self.seed is None else f", a sample with seed {self.seed}"
        return f"{self.points} points, {self.deaths} deaths in {self.passes} passes{sample}"


async def crash_everywhere(
    scenario: Callable[[TestEnvironment], Awaitable[object]],
    *,
    environment: TestEnvironment | None = None,
    passes: int = DEFAULT_PASSES,
    seed: int | None = None,
    only: int | None = None,
) -> CrashReport:
    """Run a scenario undisturbed, then with a death at every point; fail with the first points that break it.

    `scenario`: a coroutine function that gets a fresh environment. `environment`: one in which nothing was started;
    the fresh ones have its description, its stand-ins and its failures. `passes`: how many points are struck alone, at
    most. `seed`: of the sample, if there are more; None: a new one. `only`: strike at this one point.

    Raises AssertionError that names the points, what the scenario raises when undisturbed, InvalidArgumentError.
    """
    __tracebackhide__ = True
    campaign = Campaign(environment or TestEnvironment(), passes=passes, seed=seed, only=only)
    for fresh in campaign.environments():
        try:
            outcome = await scenario(fresh)
            if not fresh.is_closed:
                await fresh.run_until_idle()
        except Exception as error:  # noqa: BLE001 - whatever the scenario raises is what is compared
            outcome = error
        campaign.judge(fresh, outcome)
    return campaign.finish()


def crash_everywhere_sync(
    scenario: Callable[[SyncTestEnvironment], object],
    *,
    environment: SyncTestEnvironment | None = None,
    passes: int = DEFAULT_PASSES,
    seed: int | None = None,
    only: int | None = None,
) -> CrashReport:
    """Do as `crash_everywhere` for a plain function that gets a `SyncTestEnvironment`."""
    __tracebackhide__ = True
    template = SyncTestEnvironment() if environment is None else environment
    campaign = Campaign(template.inside, passes=passes, seed=seed, only=only)
    for fresh in campaign.environments():
        try:
            with SyncTestEnvironment.around(fresh) as env:
                outcome = scenario(env)
                env.run_until_idle()
        except Exception as error:  # noqa: BLE001 - whatever the scenario raises is what is compared
            outcome = error
        campaign.judge(fresh, outcome)
    return campaign.finish()


class _Kind(Enum):
    FIRST = auto()
    AGAIN = auto()
    MARCH = auto()
    SINGLE = auto()


class Campaign:
    """All passes over one scenario. For each environment that it yields, run the scenario and let it judge."""

    def __init__(self, template: TestEnvironment, *, passes: int, seed: int | None, only: int | None) -> None:
        """Plan; see `crash_everywhere`."""
        self._template: Final = template
        self._passes: Final = _require_passes(passes)
        self._only: Final = only
        self._seed: Final = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 - chooses a sample
        self._is_sample = False
        self._points: list[Point] = []
        self._expected: Course | None = None
        self._current = Points(undisturbed)
        self._kind = _Kind.FIRST
        self._done = 0
        self._deaths = 0
        self._findings: list[str] = []
        self._cause: BaseException | None = None

    def environments(self) -> Iterator[TestEnvironment]:
        """Yield one environment for each pass, and let go of it afterwards."""
        for kind, points in self._plans():
            self._kind, self._current = kind, points
            fresh = self._template.sibling(self._current)
            try:
                yield fresh
            finally:
                fresh.dispose()
            if len(self._findings) >= (1 if self._kind is _Kind.AGAIN else _MOST_FINDINGS):
                return

    def judge(self, environment: TestEnvironment, outcome: object) -> None:
        """Compare a pass with the undisturbed one. Raises what the scenario raised if that was the undisturbed one."""
        __tracebackhide__ = True
        course = Course.of(environment, outcome)
        self._done += 1
        self._deaths += len(self._current.struck)
        if self._expected is None:
            if isinstance(outcome, BaseException):
                raise outcome
            if environment.is_strict:
                environment.assert_played()
            self._expected, self._points = course, list(self._current.passed)
            return
        problems = course.problems(self._expected, most_often=self._most_often)
        if problems:
            self._findings.append("\n".join([self._where(), *problems]))
            if isinstance(outcome, BaseException):
                self._cause = self._cause or outcome

    def finish(self) -> CrashReport:
        """Return the report. Raises AssertionError naming the points that broke the scenario."""
        __tracebackhide__ = True
        if self._findings:
            raise AssertionError("\n\n".join(self._findings)) from self._cause
        seed = self._seed if self._is_sample else None
        return CrashReport(points=len(self._points), passes=self._done, deaths=self._deaths, seed=seed)

    def _plans(self) -> Iterator[tuple[_Kind, Points]]:
        yield _Kind.FIRST, Points(undisturbed)
        if self._only is not None:
            yield _Kind.SINGLE, Points(crash_at(self._existing(self._only)))
            return
        yield _Kind.AGAIN, Points(undisturbed)
        yield _Kind.MARCH, Points(march(3 * len(self._points)), spares_at_most_once=True)
        for number in self._numbers():
            yield _Kind.SINGLE, Points(crash_at(number))

    def _existing(self, number: int) -> int:
        if not 1 <= number <= len(self._points):
            message = f"there is no crash point {number}: the undisturbed pass has {len(self._points)}, counted from 1"
            raise InvalidArgumentError(message)
        return number

    def _numbers(self) -> list[int]:
        numbers = [point.number for point in self._points]
        self._is_sample = len(numbers) > self._passes
        if self._is_sample:
            numbers = sorted(random.Random(self._seed).sample(numbers, self._passes))  # noqa: S311 - a sample
        return numbers

    @property
    def _most_often(self) -> int | None:
        """How often one attempt may have been made in this kind of pass."""
        return None if self._kind is _Kind.MARCH else 1 + len(self._current.struck)

    def _where(self) -> str:
        match self._kind:
            case _Kind.FIRST | _Kind.AGAIN:
                return (
                    "the scenario does not do the same twice, although nothing died: it depends on chance, on real "
                    "time or on something that outlives a pass, such as a module's variable or a fixture"
                )
            case _Kind.MARCH:
                return f"the scenario breaks when the process dies at each of its {len(self._points)} points in turn"
            case _Kind.SINGLE:
                return "\n".join(self._where_struck())

    def _where_struck(self) -> Iterator[str]:
        for point in self._current.struck:
            where = f"{point.number} of {len(self._points)}, {point.name}"
            yield f"the scenario breaks when the process dies at point {where}"
            yield f"repeat it with only={point.number}, in pytest with --perdure-crash-point={point.number}"
        if not self._current.struck:
            yield "the scenario breaks although the process did not die: its point was not reached this time"


def _require_passes(passes: int) -> int:
    if type(passes) is not int or passes < 0:
        message = f"crash_everywhere: passes is {passes!r:.60}; it must be an integer from 0"
        raise InvalidArgumentError(message)
    return passes
