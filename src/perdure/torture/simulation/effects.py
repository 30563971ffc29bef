"""Effects: what activities do to the world, written down where crashes cannot reach, and checked as they happen."""

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from perdure.authoring.activity_context import Attempt, current_attempt
from perdure.kernel.identity import RunKey
from perdure.kernel.tokens import ActivityToken
from perdure.torture.simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["Effect", "perform"]

EFFECT = "effect"
_DURATIONS = (0.0, 0.0, 0.001, 0.005, 0.05)


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of an activity's body that reached its effect. `key` is its idempotency key, which a fork keeps for
    what the run that it copies has called."""

    run_key: RunKey
    run_id: str
    operation: int
    activity: str
    key: str
    attempt: int
    fencing_token: int
    at_most_once: bool


async def perform(*, at_most_once: bool = False, seconds: float | None = None) -> Attempt:
    """Do the effect of the activity that is running: a point, some time, the effect, another point.

    `seconds` is how long the effect takes; None: drawn from the plan's seed. Returns the attempt.
    """
    loop = cast("SimulatedLoop", asyncio.get_running_loop())
    process = loop.process
    world = process.world
    trial = cast("Trial", world.trial)
    attempt = current_attempt()
    trial.check_planned(attempt)
    trial.check_in_time(attempt, process)
    about = frozenset({attempt.activity, EFFECT})
    await world.point(process, "before effect", about)
    trial.check_owned(attempt, process)
    trial.effects.append(
        Effect(
            run_key=run_key_of(attempt),
            run_id=attempt.run_id,
            operation=attempt.operation,
            activity=attempt.activity,
            key=attempt.idempotency_key,
            attempt=attempt.attempt,
            fencing_token=attempt.fencing_token,
            at_most_once=at_most_once,
        )
    )
    await asyncio.sleep(world.random.choice(_DURATIONS) if seconds is None else seconds)
    await world.point(process, "after effect", about)
    return attempt


def run_key_of(attempt: Attempt) -> RunKey:
    """Return the key of the run that makes an attempt."""
    return ActivityToken.parse(attempt.token).run_key
