"""The conformance suite through codecs: to whom it concerns, nothing changes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from perdure.codecs import Compression, Encryption, FileBlobs, Payloads
from perdure.codecs.coded_store import coded
from perdure.errors import StoreUnavailableError
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryStore
from perdure.testing.store_conformance import StoreConformance, StoreHarness
from perdure.testing.store_conformance.harness import START
from perdure.testing.store_conformance.sharing import cost_of, queue, tenants
from perdure.testing.store_conformance.tasks import claims, served
from perdure.torture.programs.harnesses import MemoryHarness


class CodedHarness(MemoryHarness):
    """Every payload is compressed, encrypted and put into a blob."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.payloads = Payloads(
            Compression(above=0), Encryption({"k": Encryption.new_key()}), blobs=FileBlobs(folder), blobs_above=0
        )

    def new_store(self) -> MemoryStore:
        return cast("MemoryStore", coded(super().new_store(), self.payloads))

    async def crash(self, store: RunStore) -> None:
        self.database.kill(cast("MemoryStore", store).worker)


class WideStore(MemoryStore):
    @property
    def commits_at_once(self) -> int:
        return 3


@pytest.mark.parametrize("payloads", [None, Payloads(Compression())])
def test_as_many_commits_may_be_under_way_as_in_the_store_behind(payloads: Payloads | None) -> None:
    assert coded(cast("RunStore", WideStore()), payloads).commits_at_once == 3


@pytest.mark.parametrize("error", [StoreUnavailableError("it is away"), OSError("a library's own")], ids=repr)
async def test_what_of_a_claim_cannot_be_fetched_for_now_has_an_obstacle_and_the_others_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    harness = CodedHarness(tmp_path)
    session = await harness.session()
    await queue(session, "a")
    away, get = names_of_blobs(tmp_path), FileBlobs.get
    await queue(session, "b")

    async def get_others(blobs: FileBlobs, name: str) -> bytes:
        if name in away:
            raise error
        return await get(blobs, name)

    monkeypatch.setattr(FileBlobs, "get", get_others)
    claimed = await claims(session, limit=2)
    assert {one.task.origin.tenant: one.obstacle for one in claimed} == {"a": error, "b": None}
    assert await session.store.held_tasks() == {one.claim for one in claimed}
    await harness.close()


def names_of_blobs(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


async def test_a_value_that_takes_long_to_be_fetched_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = CodedHarness(tmp_path)
    session = await harness.session()
    await queue(session, "ab")
    get, are_all_asked_for, asked = FileBlobs.get, asyncio.Event(), list[str]()

    async def get_when_all_are_asked_for(blobs: FileBlobs, name: str) -> bytes:
        asked.append(name)
        if len(asked) == 2:
            are_all_asked_for.set()
        await are_all_asked_for.wait()
        return await get(blobs, name)

    monkeypatch.setattr(FileBlobs, "get", get_when_all_are_asked_for)
    assert tenants(await claims(session, limit=2)) == "ab"
    await harness.close()


def tags(harness: CodedHarness) -> dict[str, float]:
    """Return what each tenant has had."""
    [shares] = harness.database.task_shares.values()
    return {share[-1]: tag.had for share, tag in shares.tags.items()}


@pytest.mark.parametrize("is_lost", [False, True], ids=["given back", "the answer was lost"])
async def test_a_claim_that_is_cancelled_while_values_are_fetched_charges_nobody_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    harness = CodedHarness(tmp_path)
    session = await harness.session()
    await queue(session, "aaabbb")
    [first] = await claims(session, limit=1)
    give_back, is_asked = MemoryStore.return_tasks, asyncio.Event()

    async def for_ever(*_: object) -> bytes:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def return_tasks(*given: Any, **begun: Any) -> None:
        await give_back(*given, **begun)
        if is_lost:
            raise StoreUnavailableError("the answer was lost")

    had = tags(harness)
    with monkeypatch.context() as patch:
        patch.setattr(FileBlobs, "get", for_ever)
        patch.setattr(MemoryStore, "return_tasks", return_tasks)
        claim = session.store.claim_tasks(now=START, limit=2, served=served(), costs=[cost_of(first, 5.0)])
        claiming = asyncio.ensure_future(claim)
        await is_asked.wait()
        claiming.cancel()
        await asyncio.wait([claiming])
    assert claiming.cancelled()
    assert had
    assert tags(harness) == {**had, "b": 0.0}
    claimed = await claims(session, limit=2)
    assert tenants(claimed) == "ba"
    assert not any(one.recovered for one in claimed)
    await harness.close()


class TestCodedStore(StoreConformance):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[StoreHarness]:
        harness = CodedHarness(tmp_path)
        yield harness
        await harness.close()
