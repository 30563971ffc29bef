"""The activities of all workloads. What one does depends on its arguments and the number of the attempt alone."""

import asyncio
from datetime import timedelta
from typing import Final

from perdure.authoring.activity import activity
from perdure.authoring.activity_context import current_attempt, defer, heartbeat
from perdure.authoring.streams import Stream, publish
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.torture.simulation.effects import perform

__all__ = [
    "BACKOFFS_MICROSECONDS",
    "WATCHED",
    "beating",
    "book",
    "deferring",
    "flaky",
    "hanging",
    "instead",
    "lasting",
    "once",
    "overdue",
    "slow",
    "speaking",
    "step",
    "undo",
    "undo_badly",
    "watched",
]

_QUICK = fixed(timedelta(seconds=1))

BACKOFFS_MICROSECONDS: Final = {"sim_flaky": 1_000_000, "sim_undo": 1_000_000, "sim_undo_badly": 1_000_000}
"""What the policies below say, said once more for the oracle."""


WATCHED: Final = timedelta(seconds=60)
"""For how long somebody outside may be silent."""


@activity(name="sim_step")
async def step(label: str) -> str:
    """Have an effect and return the label."""
    await perform()
    return label


@activity(name="sim_slow")
async def slow(label: str, seconds: float) -> str:
    """Have an effect that takes its time."""
    await perform(seconds=seconds)
    return label


@activity(name="sim_lasting")
async def lasting(label: str) -> str:
    """Have an effect after a while in which much may be lost."""
    await asyncio.sleep(40)
    await perform()
    return label


@activity(name="sim_flaky", retry=Retry(attempts=3, backoff=_QUICK), raises=ValueError)
async def flaky(label: str, failures: int) -> int:
    """Fail at the first attempts; return the number of the one that did not."""
    attempt = await perform()
    if attempt.attempt <= failures:
        raise ValueError(label)
    return attempt.attempt


@activity(
    name="sim_hanging", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=0.5))), timeout=timedelta(seconds=2)
)
async def hanging(label: str, hangs: int) -> int:
    """Take too long at the first attempts."""
    attempt = await perform(seconds=0.0)
    if attempt.attempt <= hangs:
        await asyncio.sleep(100)
    return attempt.attempt + len(label) - len(label)


@activity(
    name="sim_beating",
    retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=0.2))),
    heartbeat_timeout=timedelta(seconds=1),
)
async def beating(label: str) -> str:
    """Beat, fail; beat, fall silent; then return what the attempts before said last."""
    attempt = await perform(seconds=0.0)
    said = attempt.last_heartbeat(str)
    heartbeat(f"{label}{attempt.attempt}a")
    await asyncio.sleep(0.4)
    heartbeat(f"{label}{attempt.attempt}b")
    if attempt.attempt == 1:
        raise OSError(label)
    if attempt.attempt == 2:  # noqa: PLR2004 - the second attempt
        await asyncio.sleep(100)
    return "nothing" if said is None else "something"


@activity(name="sim_deferring", retry=Retry(attempts=2, backoff=_QUICK))
async def deferring(_label: str) -> str:
    """Have an effect and leave the outcome to somebody outside."""
    await perform()
    defer()


@activity(
    name="sim_overdue", retry=Retry(attempts=100, backoff=fixed(timedelta(seconds=0.2))), timeout=timedelta(seconds=2)
)
async def overdue(_label: str) -> str:
    """Have an effect and leave the outcome to somebody outside, who has little time."""
    await perform(seconds=0.0)
    defer()


@activity(name="sim_watched", retry=Retry(attempts=5, backoff=_QUICK), heartbeat_timeout=WATCHED)
async def watched(_label: str) -> str:
    """Have an effect and leave the outcome to somebody outside, who gives signs of life."""
    await perform(seconds=0.0)
    defer()


@activity(name="sim_speaking", retry=Retry(attempts=2, backoff=_QUICK))
async def speaking(stream: str) -> str:
    """Publish before and after an effect, fail, and do the same again."""
    publish(Stream(stream, str), f"a{current_attempt().attempt}")
    attempt = await perform()
    publish(Stream(stream, str), f"b{attempt.attempt}")
    if attempt.attempt == 1:
        raise OSError(stream)
    return "spoken"


@activity(name="sim_once", retry=NO_RETRY, at_most_once=True)
async def once(label: str) -> str:
    """Have an effect that must not be repeated."""
    await perform(at_most_once=True)
    return label


@activity(name="sim_undo", retry=Retry(attempts=3, backoff=_QUICK))
async def undo(label: str) -> None:
    """Undo a booking, at the second attempt."""
    attempt = await perform()
    if attempt.attempt == 1:
        raise OSError(label)


@activity(name="sim_undo_badly", retry=Retry(attempts=2, backoff=_QUICK))
async def undo_badly(label: str) -> None:
    """Fail for good to undo something."""
    await perform()
    raise OSError(label)


@activity(name="sim_book", compensate=undo)
async def book(label: str) -> str:
    """Book something that can be undone."""
    await perform()
    return label


@activity(name="sim_instead")
async def instead(label: str, failures: int) -> int:
    """Stand in for what failed."""
    await perform()
    return -failures - len(label)
