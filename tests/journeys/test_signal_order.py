"""Signals are taken in the order in which they were answered, whichever processes sent them."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from perdure import Context, Engine, Run, Settings, Signal, workflow
from perdure.kernel.identity import WorkerId
from perdure.stores.sqlite import opened
from perdure.stores.sqlite.notices import Mailbox, Notice
from perdure.stores.sqlite.presence import Presence
from tests.journeys.conftest import MakeEngine

number = Signal("number", int)


@workflow
async def counting_signals(ctx: Context, count: int) -> list[int]:
    return [await ctx.wait_for(number) for _ in range(count)]


async def test_the_owner_s_own_clients_do_not_overtake_those_of_other_processes(make_engine: MakeEngine) -> None:
    async with make_engine() as owner, make_engine(works=False, name="client") as client:
        run = await owner.start(counting_signals, 40, id="one")
        elsewhere = await client.get_run("one")
        for first in range(0, 40, 2):
            await elsewhere.signal(number, first)
            await run.signal(number, first + 1)
        assert await run.result() == list(range(40))


def _without_socket(_presence: Presence, _worker_id: WorkerId) -> Mailbox | None:
    return None


def _without_permission(presence: Presence, worker_id: WorkerId) -> Mailbox | None:
    mailbox = Mailbox(presence.folder, presence.socket_path(worker_id))

    def refuse(*_args: object) -> bool:
        raise PermissionError

    mailbox.send = refuse  # type: ignore[method-assign,assignment]
    return mailbox


def _heard_once(presence: Presence, worker_id: WorkerId) -> Mailbox | None:
    mailbox = Mailbox(presence.folder, presence.socket_path(worker_id))
    sending, sent = mailbox.send, []

    def lose_what_follows(notice: Notice, to: Path) -> bool:
        sent.append(notice)
        return sending(notice, to) if len(sent) == 1 else True

    mailbox.send = lose_what_follows  # type: ignore[method-assign]
    return mailbox


async def _signal_from_elsewhere(url: str, value: int, others: AsyncExitStack, *, stays: bool) -> None:
    client = await others.enter_async_context(Engine(url, works=False))
    await (await client.get_run("one")).signal(number, value)
    if not stays:
        await others.aclose()


STAYS_OR_GOES = pytest.mark.parametrize("stays", [True, False], ids=["who stays", "who goes"])


@STAYS_OR_GOES
@pytest.mark.parametrize("mailbox", [_without_socket, _without_permission, _heard_once])
async def test_clients_do_not_overtake_those_of_another_process_that_cannot_make_itself_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mailbox: Callable[[Presence, WorkerId], Mailbox | None],
    *,
    stays: bool,
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with Engine(url, settings=Settings(idle_seconds=3600)) as owner, AsyncExitStack() as others:
        run = await owner.start(counting_signals, 8, id="one")
        monkeypatch.setattr(opened, "_mailbox", mailbox)
        for first in range(0, 8, 2):
            await _signal_from_elsewhere(url, first, others, stays=stays)
            await run.signal(number, first + 1)
        async with asyncio.timeout(20):
            assert await run.result() == list(range(8))


@STAYS_OR_GOES
@pytest.mark.parametrize("mailbox", [_without_socket, _heard_once])
async def test_what_a_process_that_cannot_make_itself_known_has_sent_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mailbox: Callable[[Presence, WorkerId], Mailbox | None],
    *,
    stays: bool,
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with Engine(url, settings=Settings(idle_seconds=3600)) as owner, AsyncExitStack() as others:
        run = await owner.start(counting_signals, 1, id="one")
        monkeypatch.setattr(opened, "_mailbox", mailbox)
        await _signal_from_elsewhere(url, 0, others, stays=stays)
        async with asyncio.timeout(20):
            assert await run.result() == [0]


@workflow
async def renewing_once(ctx: Context, seen: list[int]) -> list[int]:
    seen.append(await ctx.wait_for(number))
    if len(seen) == 1:
        ctx.continue_as_new(seen)
    return seen


async def test_a_signal_that_meets_the_end_of_a_generation_goes_to_the_next_one(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for turns in range(0, 300, 10):
            run = await engine.start(renewing_once, [])
            answered: list[int] = []
            await asyncio.gather(_send(1, run, answered), _send(2, run, answered, turns=turns))
            result = await run.result()
            assert sorted(result) == [1, 2]
            if engine.worker.store.commits_at_once == 1:  # else whoever waits for an answer may be told of it later
                assert result == answered


async def _send(value: int, run: Run[list[int]], answered: list[int], *, turns: int = 0) -> None:
    """Send a signal after so many turns of the event loop, and note when it was answered."""
    for _ in range(turns):
        await asyncio.sleep(0)
    await run.signal(number, value)
    answered.append(value)
