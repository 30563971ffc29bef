"""Subjects: workflows whose state is a list, and whatever else is observed."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.streams import Stream
from perdure.authoring.updates import Update
from perdure.authoring.workflow import workflow
from perdure.kernel.events import ParentClosePolicy
from perdure.torture.checking.records import Notebook, Point

__all__ = ["END", "ENTRIES", "NOTEBOOK_VARIABLE", "Entry", "add", "child_id", "elements", "holder", "keeper"]
__all__ += ["has_generations", "log", "note", "sent_value"]

NOTEBOOK_VARIABLE: Final = "PERDURE_TORTURE_NOTEBOOK"
"""The environment variable that names the notebook of activities."""

END: Final = "end"
"""The last entry of every list: the run ends with it."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something to append to the list of a run, and what the run is to do in the same transition.

    `peers`: ids of runs to whose lists it sends something. `has_child`: it starts a child run. `is_pair`: it appends
    two elements, between which nobody may see the list.
    """

    value: str
    peers: tuple[str, ...] = ()
    has_child: bool = False
    is_pair: bool = False


def has_generations(run: str) -> bool:
    """Whether a run continues as new now and then."""
    return run[1] in "01"


def elements(entry: Entry) -> tuple[str, ...]:
    """Return what is appended for an entry."""
    return (entry.value, f"{entry.value}'") if entry.is_pair else (entry.value,)


def sent_value(entry: Entry, place: int) -> str:
    """Return what the list of its peer at a place gets."""
    return f"{entry.value}>{place}"


def child_id(run: str, entry: Entry) -> str:
    """Return the id of the child run of an entry."""
    return f"{run}/{entry.value}"


note: Final = Signal("check_note", Entry)
add: Final = Update("check_add", Entry, list[str])
log: Final = Stream("check_log", str)


ENTRIES: Final = "check_entries"
"""The query for the list so far."""


@workflow(name="check_keeper")
async def keeper(ctx: Context, nonce: str, kept: list[str]) -> list[str]:
    """Keep a list, whose first element is the nonce of whoever created the run, until its end comes.

    Each element is published as well: its place in the run's history is known by that.
    """
    take = _taking(ctx, kept)
    if not kept:
        take(Entry(value=nonce))

    async def append(entry: Entry) -> list[str]:
        take(entry)
        return list(kept)

    ctx.on_update(add, append)

    @ctx.query(ENTRIES)
    def answer() -> list[str]:
        return list(kept)

    while kept[-1] != END:
        take(await ctx.wait_for(note))
        is_full = len(kept) > ctx.info.generation * _GENERATION_LENGTH
        if kept[-1] != END and is_full and has_generations(ctx.info.id):
            ctx.continue_as_new(nonce, kept)
    return kept


def _taking(ctx: Context, kept: list[str]) -> Callable[[Entry], None]:
    """Return what takes an entry, whole, into the list of a run."""

    def take(entry: Entry) -> None:
        for element in elements(entry):
            kept.append(element)
            ctx.publish(log, element)
        for place, peer in enumerate(entry.peers):
            _ = ctx.signal(peer, note, Entry(value=sent_value(entry, place)))
        if entry.has_child:
            identity = child_id(ctx.info.id, entry)
            ctx.start_child(leaf, entry.value, id=identity, policy=ParentClosePolicy.ABANDON)

    return take


@workflow(name="check_leaf")
async def leaf(_ctx: Context, nonce: str) -> str:
    """Be there."""
    return nonce


@workflow(name="check_holder")
async def holder(ctx: Context, key: str) -> int:
    """Touch what a lock protects."""
    async with ctx.lock(key) as lock:
        await touch(ctx.info.id, key, lock.token)
    return lock.token


@activity(name="check_touch")
async def touch(run: str, key: str, token: int) -> None:
    """Note when it begins and when it ends."""
    notebook = Notebook(Path(os.environ[NOTEBOOK_VARIABLE]))
    try:
        notebook.note(Point(what="enter", run=run, key=key, token=token, at=Notebook.now()))
        await asyncio.sleep(0)
        notebook.note(Point(what="leave", run=run, key=key, token=token, at=Notebook.now()))
    finally:
        notebook.close()


_GENERATION_LENGTH: Final = 12
