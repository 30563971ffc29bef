"""Values out of a run: the events by which they were published, across generations, while the run goes on."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Generic, TypeVar

import msgspec

from perdure.authoring.arguments import require_text
from perdure.authoring.streams import Stream
from perdure.client.following import follow
from perdure.client.gateway import Gateway, missing
from perdure.client.generations import first_generation
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.ports.store import RunStore, RunSummary

__all__ = ["Published", "read_stream"]

T = TypeVar("T")


class Published(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A value of a stream.

    `position`: where it stands, to go on after it (`run.stream(stream, after=position)`); positions are texts, which
    say nothing else. `attempt`: the attempt of the activity that published it, whose call in its generation is
    numbered `operation`; 0 if workflow code did. A value of an attempt may come again, when that is made again.
    """

    value: T
    position: str
    operation: int
    attempt: int = 0


async def read_stream(
    gateway: Gateway, ref: RunRef, stream: Stream[T], *, after: str, follows: bool
) -> AsyncGenerator[Published[T]]:
    """Yield the values after a position ("": all), in their order, until the run has ended.

    Unless it `follows`: until all have been seen that are there now. Raises InvalidArgumentError for what is no
    position of this run, RunNotFoundError, and what `follow` raises.
    """
    latest = await gateway.store.find(ref)
    if latest is None:
        raise missing(ref)
    begin, sequence = await _beginning(gateway.store, latest, after)
    last = (latest.ref.generation, latest.sequence)
    if not follows and (begin.ref.generation, sequence) >= last:
        return
    async with aclosing(follow(gateway, begin, after=sequence)) as events:
        async for part, recorded in events:
            event, place = recorded.event, (part.generation, recorded.sequence)
            if isinstance(event, e.ValuePublished) and event.stream == stream.name:
                yield Published(
                    value=stream.decode(event.value),
                    position=f"{part.generation}.{recorded.sequence}",
                    operation=event.operation,
                    attempt=event.attempt,
                )
            if not follows and place >= last:
                return


async def _beginning(store: RunStore, latest: RunSummary, after: str) -> tuple[RunSummary, int]:
    """Return the generation in which the values after a position begin, and the event after which they do."""
    if not after:
        return await first_generation(store, latest), 0
    position = _POSITION.fullmatch(require_text(after, "after"))
    if position is not None:
        generation, sequence = int(position[1]), int(position[2])
        ref = RunRef(namespace=latest.ref.namespace, id=latest.ref.id, generation=generation)
        found = await store.find(ref, latest=False)
        if found is not None and sequence <= found.sequence:
            return found, sequence
    message = f"after is {after!r:.60}, which is no position in a stream of run {latest.ref}; take it from an item"
    raise InvalidArgumentError(message)


_POSITION: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")
"""Of a generation and a sequence; no more digits than a store's integers have."""
