"""The portfolio: workflows that together use every part of the engine, and what each must return."""

import asyncio
import random
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.streams import Stream
from perdure.authoring.updates import Update
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import ActivityFailedError
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import Retry
from perdure.stores.opening import is_on_a_server
from perdure.torture.kills.ledger import effect
from perdure.torture.kills.transfers import amount_of, draw, transferring_in_a_file, transferring_on_a_server

__all__ = [
    "AT_MOST_ONCE", "BOOKING", "ENOUGH", "KINDS", "QUEUE", "UNDOING", "WORKLOADS", "Kind", "change", "kinds_on", "note",
    "shown", "stray", "waiting",
]  # fmt: skip

BOOKING: Final = "kill_book"
UNDOING: Final = "kill_undo"
QUEUE: Final = "kill"
"""The task queue that some of the processes serve."""

ENOUGH: Final = -1
"""The body of the note that ends a collection."""

note: Final = Signal("kill_note", int)
stray: Final = Signal("kill_stray", int)
change: Final = Update("kill_change", int, list[int])
shown: Final = Stream("kill_shown", int)

_QUICK: Final = fixed(timedelta(milliseconds=5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A workflow of one argument, how that is drawn, and what the run returns; None: it raises, or it depends.

    `suits`: databases on a server (True), in a file, or both.
    """

    workflow: Workflow[Any, Any]
    draw: Callable[[random.Random], Any]
    result: Callable[[Any], object]
    weight: int = 1
    suits: frozenset[bool] = frozenset({False, True})


# --- activities --------------------------------------------------------------------------------------------------


@activity(name="kill_step")
def step(label: str) -> str:
    """Have an effect, in a thread."""
    effect()
    return f"{label}!"


@activity(name="kill_quick")
async def quick(label: str) -> str:
    """Have an effect, on the event loop."""
    effect()
    await asyncio.sleep(0)
    return f"{label}!"


@activity(name="kill_flaky", retry=Retry(attempts=4, backoff=_QUICK))
async def flaky(label: str, failures: int) -> int:
    """Fail at the first attempts; return the number of the one that did not."""
    attempt = effect()
    if attempt.attempt <= failures:
        raise OSError(label)
    return attempt.attempt


@activity(name="kill_once", at_most_once=True, retry=Retry(attempts=1_000, backoff=fixed(timedelta(milliseconds=1))))
def once(label: str) -> str:
    """Have an effect that no attempt repeats."""
    effect()
    return f"{label}!"


@activity(name=UNDOING, retry=Retry(attempts=5, backoff=_QUICK))
async def undo(label: str) -> str:
    """Undo a booking, at the second attempt."""
    if effect().attempt == 1:
        raise OSError(label)
    return label


@activity(name=BOOKING, compensate=undo)
def book(label: str) -> str:
    """Book something that can be undone."""
    effect()
    return label


@activity(name="kill_queued", queue=QUEUE, retry=Retry(attempts=5, backoff=_QUICK))
async def queued(label: str, failures: int) -> str:
    """Have an effect in whatever process serves the queue, and fail at the first attempts."""
    attempt = effect()
    await asyncio.sleep(0.002)
    if attempt.attempt <= failures:
        raise OSError(label)
    return f"{label}!"


@activity(
    name="kill_queued_once",
    queue=QUEUE,
    at_most_once=True,
    retry=Retry(attempts=1_000, backoff=fixed(timedelta(milliseconds=1))),
)
def queued_once(label: str) -> str:
    """Have an effect in whatever process serves the queue, that no attempt repeats."""
    effect()
    return f"{label}!"


AT_MOST_ONCE: Final = frozenset({once.name, queued_once.name})
"""Names of activities."""


@activity(name="kill_guarded")
async def guarded(key: str, token: int) -> None:
    """Have an effect on what a lock protects, for a while, in which others ask for it."""
    effect(lock=key, lock_token=token)
    await asyncio.sleep(0.005)


# --- workflows ---------------------------------------------------------------------------------------------------


@workflow(name="kill_chain")
async def chain(_ctx: Context, count: int) -> list[str]:
    """Take one step after the other."""
    return [await (step if number % 2 else quick)(str(number)) for number in range(count)]


@workflow(name="kill_fan")
async def fan(ctx: Context, width: int) -> list[str]:
    """Take steps at once."""
    gathered = await asyncio.gather(*(quick(str(number)) for number in range(width)))
    return [*gathered, *await ctx.map(step, [str(number) for number in range(width)], limit=2)]


@workflow(name="kill_retrying")
async def retrying(_ctx: Context, failures: int) -> list[int]:
    """Take a step that succeeds late, and one that fails for good."""
    late = await flaky("late", failures)
    try:
        await flaky("never", 99)
    except ActivityFailedError as error:
        return [late, error.attempts]
    return []


@workflow(name="kill_timing")
async def timing(_ctx: Context, milliseconds: list[int]) -> list[str]:
    """Wait for timers with steps between, and for a race."""
    found: list[str] = []
    for number in milliseconds:
        await asyncio.sleep(number / 1_000)
        found.append(await quick(str(number)))
    fast, slow = asyncio.create_task(asyncio.sleep(0.01, "fast")), asyncio.create_task(asyncio.sleep(900, "slow"))
    done, _ = await asyncio.wait({fast, slow}, return_when=asyncio.FIRST_COMPLETED)
    slow.cancel()
    return [*found, *(task.result() for task in done)]


@workflow(name="kill_collecting")
async def collecting(ctx: Context, pace: int) -> list[int]:
    """Collect notes until it is enough, with a step after every `pace` of them."""
    found: list[int] = []
    while (body := await ctx.wait_for(note)) != ENOUGH:
        found.append(body)
        if len(found) % pace == 0:
            await quick(str(body))
    return found


@workflow(name="kill_answering")
async def answering(ctx: Context, pace: int) -> list[int]:
    """Take updates until it is enough, with a step after every `pace` of them; publish and return them."""
    taken: list[int] = []

    async def take(body: int) -> list[int]:
        taken.append(body)
        ctx.publish(shown, body)
        answer = list(taken)
        if len(taken) % pace == 0:
            await quick(str(body))
        return answer

    ctx.on_update(change, take)
    while await ctx.wait_for(note) != ENOUGH:
        pass
    return taken


@workflow(name="kill_family")
async def family(ctx: Context, sizes: list[int]) -> list[list[str]]:
    """Run children at once."""
    return list(await asyncio.gather(*(ctx.run_child(chain, size) for size in sizes)))


@workflow(name="kill_trip")
async def trip(_ctx: Context, bookings: int) -> None:
    """Book, fail, and undo all that was booked."""
    for number in range(bookings):
        await book(str(number))
    raise ValueError(bookings)


@workflow(name="kill_generations")
async def generations(ctx: Context, left: int) -> list[str]:
    """Continue as new, with what was seen in the durable state."""
    seen = [*ctx.get("seen", list[str], []), await quick(str(left))]
    ctx.set("seen", seen)
    if left:
        ctx.continue_as_new(left - 1)
    return seen


@workflow(name="kill_careful")
async def careful(_ctx: Context, count: int) -> list[str]:
    """Take steps that are tried at most once per recorded attempt."""
    return [await once(str(number)) for number in range(count)]


@workflow(name="kill_queueing")
async def queueing(_ctx: Context, failures: list[int]) -> list[str]:
    """Take steps elsewhere: some at once, and two that are tried once, with one that is made here between."""
    labels = [str(number) for number in range(len(failures))]
    found = await asyncio.gather(*(queued(label, count) for label, count in zip(labels, failures, strict=True)))
    return [*found, await queued_once("first"), await quick("here"), await queued_once("last")]


@workflow(name="kill_waiting")
async def waiting(ctx: Context, bookings: int) -> None:
    """Book, wait for what never comes, clean up when cancelled."""
    for number in range(bookings):
        await book(str(number))
    try:
        while True:
            await ctx.wait_for(note)
    finally:
        await quick("clean-up")


@workflow(name="kill_locking")
async def locking(ctx: Context, keys: list[str]) -> int:
    """Touch what locks protect, one after the other; then together, with one place of two."""
    for key in keys:
        async with ctx.lock(key) as lock:
            await guarded(key, lock.token)
            await guarded(key, lock.token)
    async with ctx.semaphore("places", limit=2), AsyncExitStack() as locks:
        for key in sorted(set(keys)):  # in one order everywhere
            held = await locks.enter_async_context(ctx.lock(key))
            await guarded(key, held.token)
    return len(keys)


def _labels(count: int) -> list[str]:
    return [f"{number}!" for number in range(count)]


KINDS: Final[dict[str, Kind]] = {
    kind.workflow.name: kind
    for kind in (
        Kind(workflow=chain, draw=lambda chance: chance.randint(1, 6), result=_labels, weight=2),
        Kind(workflow=fan, draw=lambda chance: chance.randint(2, 6), result=lambda width: _labels(width) * 2),
        Kind(workflow=retrying, draw=lambda chance: chance.randint(0, 3), result=lambda failures: [failures + 1, 4]),
        Kind(
            workflow=timing,
            draw=lambda chance: [chance.randint(2, 200) for _ in range(chance.randint(1, 3))],
            result=lambda milliseconds: [*(f"{number}!" for number in milliseconds), "fast"],
        ),
        Kind(workflow=collecting, draw=lambda chance: chance.randint(1, 3), result=lambda _: None, weight=3),
        Kind(workflow=answering, draw=lambda chance: chance.randint(1, 3), result=lambda _: None),
        Kind(
            workflow=family,
            draw=lambda chance: [chance.randint(1, 3) for _ in range(chance.randint(1, 3))],
            result=lambda sizes: [_labels(size) for size in sizes],
        ),
        Kind(workflow=trip, draw=lambda chance: chance.randint(1, 3), result=lambda _: None),
        Kind(
            workflow=generations,
            draw=lambda chance: chance.randint(1, 4),
            result=lambda left: [f"{number}!" for number in range(left, -1, -1)],
        ),
        Kind(workflow=careful, draw=lambda chance: chance.randint(1, 5), result=_labels, weight=2),
        Kind(
            workflow=locking,
            draw=lambda chance: [chance.choice("ab") for _ in range(chance.randint(1, 2))],
            result=len,
            weight=2,
        ),
        Kind(
            workflow=queueing,
            draw=lambda chance: [chance.randrange(3) for _ in range(chance.randint(1, 3))],
            result=lambda failures: [*_labels(len(failures)), "first!", "here!", "last!"],
            weight=3,
        ),
        Kind(workflow=transferring_in_a_file, draw=draw, result=amount_of, weight=5, suits=frozenset({False})),
        Kind(workflow=transferring_on_a_server, draw=draw, result=amount_of, weight=5, suits=frozenset({True})),
        Kind(workflow=waiting, draw=lambda chance: chance.randint(0, 2), result=lambda _: None),
    )
}
"""By the workflow's name."""


def kinds_on(url: str, workloads: Collection[str]) -> list[Kind]:
    """Return what can be run on the database at a URL, of these `WORKLOADS`."""
    names = set().union(*(WORKLOADS[workload] for workload in workloads))
    return [kind for name, kind in KINDS.items() if name in names and is_on_a_server(url) in kind.suits]


_TRANSFERRING: Final = frozenset({transferring_in_a_file.name, transferring_on_a_server.name})
_QUEUEING: Final = frozenset({queueing.name})
WORKLOADS: Final = {
    "others": KINDS.keys() - _TRANSFERRING - _QUEUEING,
    "transfers": _TRANSFERRING,
    "queues": _QUEUEING,
}
"""Names of workflows, by what ``--workload`` calls them together."""
