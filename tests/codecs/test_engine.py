"""Codecs in an engine: what the database holds, and what becomes of runs whose values cannot be read."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from perdure import ActivityFailedError, Context, Engine, Run, RunTerminatedError, Settings, Signal, activity, workflow
from perdure.authoring.payloads import encode_value
from perdure.codecs import Compression, Encryption, FileBlobs, Payloads
from perdure.errors import PayloadTooLargeError, RunFailedError, UnreadablePayloadError
from perdure.kernel import events as e

KEY, NEXT_KEY = Encryption.new_key(), Encryption.new_key()
CANARY = "4929-1234-5678-9012"

go = Signal("codecs_go", str)


class Card(msgspec.Struct):
    number: str


@activity(name="codecs_charge")
async def charge(card: Card) -> str:
    return f"charged {card.number}"


@activity(name="codecs_fail", retry=None)
async def fail(card: Card) -> None:
    message = f"the card {card.number} was refused"
    raise ValueError(message)


@workflow(name="codecs_pay")
async def pay(ctx: Context, card: Card) -> str:
    """Pass a secret through every kind of value."""
    ctx.set("card", card.number)
    with contextlib.suppress(ActivityFailedError):  # its text is in the history
        await fail(card)
    said = await ctx.wait_for(go)
    return f"{said}: {await charge(card)}"


grown: list[int] = []


@activity(name="codecs_grow")
async def grow(size: int) -> str:
    grown.append(size)
    return "x" * size


@activity(name="codecs_grow_in_process", executor="process")
def grow_in_process(size: int) -> str:
    return "x" * size


@activity(name="codecs_measure")
def measure(text: str) -> int:
    return len(text)


@workflow(name="codecs_large")
async def large(_ctx: Context, size: int) -> int:
    return await measure(await grow(size))


@workflow(name="codecs_large_in_process")
async def large_in_process(_ctx: Context, size: int) -> int:
    return len(await grow_in_process(size))


@workflow(name="codecs_echo")
async def echo(_ctx: Context, value: dict[str, object]) -> dict[str, object]:
    return value


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'runs.db'}"


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def run_until_it_waits(folder: Path, payloads: Payloads) -> None:
    """Start a run and leave it when its first activity has failed: it waits for a signal."""
    async with Engine(url(folder), payloads=payloads) as engine:
        run = await engine.start(pay, Card(CANARY), id="one")
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityFailed):
                break


async def finish(folder: Path, payloads: Payloads | None) -> str:
    async with Engine(url(folder), payloads=payloads) as engine:
        run = await engine.get_run("one", pay)
        await run.signal(go, CANARY)
        return await run.result()


async def test_no_secret_reaches_the_disk_and_every_value_comes_back(tmp_path: Path) -> None:
    payloads = Payloads(Compression(above=10), Encryption({"k": KEY}))
    await run_until_it_waits(tmp_path, payloads)
    assert await finish(tmp_path, payloads) == f"{CANARY}: charged {CANARY}"
    assert CANARY.encode() not in content(tmp_path)
    async with Engine(url(tmp_path), works=False, payloads=payloads) as client:
        run = await client.get_run("one")
        failures = [recorded.event async for recorded in run.history() if isinstance(recorded.event, e.ActivityFailed)]
        assert failures[0].failure.message == f"the card {CANARY} was refused"
        assert CANARY in (failures[0].failure.traceback or "")


async def test_without_a_codec_the_same_run_leaves_its_secret_on_the_disk(tmp_path: Path) -> None:
    await run_until_it_waits(tmp_path, Payloads())
    assert CANARY.encode() in content(tmp_path), "or the test above shows nothing"


async def test_a_run_whose_key_is_missing_waits_unharmed_until_it_is_back(tmp_path: Path) -> None:
    await run_until_it_waits(tmp_path, Payloads(Encryption({"old": KEY})))
    rotated = Payloads(Encryption({"new": NEXT_KEY}))
    async with Engine(url(tmp_path), payloads=rotated) as engine:
        run = await engine.get_run("one")
        await run.signal(go, CANARY)
        with pytest.raises(
            UnreadablePayloadError, match=r"event 1 of run key .*with the key 'old'.*has the keys 'new'"
        ):
            await run.result()
    ring = Payloads(Encryption({"old": KEY, "new": NEXT_KEY}))
    assert await finish(tmp_path, ring) == f"{CANARY}: charged {CANARY}"


async def test_a_run_whose_message_cannot_be_read_here_goes_on_where_the_key_is(tmp_path: Path) -> None:
    old, ring = Payloads(Encryption({"old": KEY})), Payloads(Encryption({"old": KEY, "new": NEXT_KEY}))
    await run_until_it_waits(tmp_path, old)
    async with Engine(url(tmp_path), works=False, payloads=ring) as client:
        run = await client.get_run("one", pay)
        await run.signal(go, CANARY)
        async with Engine(url(tmp_path), payloads=old):
            await when_parked(run)
            async with Engine(url(tmp_path), payloads=ring):
                assert await run.result() == f"{CANARY}: charged {CANARY}"


async def test_a_termination_is_left_to_who_can_read_the_history(tmp_path: Path) -> None:
    ring = Payloads(Encryption({"old": KEY, "new": NEXT_KEY}))
    await run_until_it_waits(tmp_path, Payloads(Encryption({"old": KEY})))
    async with Engine(url(tmp_path), works=False, payloads=ring) as client:
        run = await client.get_run("one", pay)
        await run.signal(go, CANARY)
        await run.terminate("the card was stolen")
        async with Engine(url(tmp_path), payloads=Payloads(Encryption({"new": NEXT_KEY}))):
            await when_parked(run)
            async with Engine(url(tmp_path), payloads=ring):
                with pytest.raises(RunTerminatedError, match="the card was stolen"):
                    await run.result()


async def when_parked(run: Run[str]) -> None:
    while (await run.describe()).parked is None:  # noqa: ASYNC110 - it is nobody's news in this process
        await asyncio.sleep(0)


async def test_who_only_looks_sees_the_run_but_not_its_values(tmp_path: Path) -> None:
    payloads = Payloads(Encryption({"k": KEY}))
    await run_until_it_waits(tmp_path, payloads)
    await finish(tmp_path, payloads)
    async with Engine(url(tmp_path), works=False) as client:
        run = await client.get_run("one", pay)
        assert (await run.describe()).status == "completed"
        with pytest.raises(UnreadablePayloadError, match=r"encoded by 'aes-256-gcm'.*payloads=Payloads"):
            await run.result()
    async with Engine(url(tmp_path), works=False, payloads=Payloads().leaving_unreadable()) as tool:
        run = await tool.get_run("one")
        assert [type(recorded.event) async for recorded in run.history()][-1] is e.RunCompleted


async def test_compressed_values_are_read_without_being_asked_for(tmp_path: Path) -> None:
    await run_until_it_waits(tmp_path, Payloads(Compression(above=0)))
    assert await finish(tmp_path, None) == f"{CANARY}: charged {CANARY}"


async def test_large_values_go_to_blobs_and_come_back(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    payloads = Payloads(blobs=blobs, blobs_above=1_000)
    async with Engine(url(tmp_path), payloads=payloads) as engine:
        assert await (await engine.start(large, 3_000_000, id="one")).result() == 3_000_000
    assert (tmp_path / "runs.db").stat().st_size < 250_000
    assert max(path.stat().st_size for path in (tmp_path / "blobs").rglob("*")) > 3_000_000
    async with Engine(url(tmp_path), payloads=payloads) as engine:
        run = await engine.get_run("one")
        results = [
            recorded.event async for recorded in run.history() if isinstance(recorded.event, e.ActivityCompleted)
        ]
        assert len(bytes(results[0].result)) == 3_000_002


async def test_the_result_of_a_process_may_be_large_where_there_is_a_place_for_it(tmp_path: Path) -> None:
    payloads = Payloads(blobs=FileBlobs(tmp_path / "blobs"))
    async with Engine(url(tmp_path), payloads=payloads) as engine:
        assert await (await engine.start(large_in_process, 3_000_000)).result() == 3_000_000


async def test_a_result_that_is_too_large_fails_its_step_once(tmp_path: Path) -> None:
    for payloads in (None, Payloads(blobs=FileBlobs(tmp_path / "blobs"), maximum_bytes=2_500_000)):
        grown.clear()
        async with Engine(url(tmp_path), payloads=payloads) as engine:
            with pytest.raises(RunFailedError, match="3,000,002 bytes of JSON, the limit is"):
                await (await engine.start(large, 3_000_000)).result()
        assert grown == [3_000_000]


async def test_the_limit_is_as_before_when_the_engine_is_closed(tmp_path: Path) -> None:
    async with Engine(url(tmp_path), payloads=Payloads(blobs=FileBlobs(tmp_path / "blobs"))):
        encode_value("x" * 3_000_000, str)
    with pytest.raises(PayloadTooLargeError, match="2,097,152"):
        encode_value("x" * 3_000_000, str)


async def test_a_run_waits_while_its_blobs_cannot_be_written(tmp_path: Path) -> None:
    place = tmp_path / "blobs"
    place.write_text("no folder")
    payloads = Payloads(blobs=FileBlobs(place), blobs_above=1_000)
    async with Engine(url(tmp_path), payloads=payloads, settings=Settings(retry_store_seconds=0.01)) as engine:
        run = await engine.start(large, 5_000)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityScheduled):
                break
        place.unlink()
        assert await run.result() == 5_000


async def test_a_value_that_looks_like_an_envelope_is_only_a_value(tmp_path: Path) -> None:
    given = {"$perdure": 1, "by": ["deflate"], "data": "AA=="}
    for payloads in (None, Payloads(Compression(above=0))):
        async with Engine(url(tmp_path), payloads=payloads) as engine:
            assert await (await engine.start(echo, given)).result() == given
