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


@pytest.mark.parametrize("is_lost", [False, True], ids=["given back", "the answer was lost"])
async def test_a_claim_whose_values_cannot_be_fetched_for_now_charges_nobody_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    harness = CodedHarness(tmp_path)
    session = await harness.session()
    await queue(session, "aaabbb")
    [first] = await claims(session, limit=1)
    give_back = MemoryStore.return_tasks

    async def away(*_: object) -> bytes:
        raise StoreUnavailableError("the blobs are away")

    async def return_tasks(*given: Any, **begun: Any) -> None:
        await give_back(*given, **begun)
        if is_lost:
            raise StoreUnavailableError("the answer was lost")

    had = tags(harness)
    with monkeypatch.context() as patch:
        patch.setattr(FileBlobs, "get", away)
        patch.setattr(MemoryStore, "return_tasks", return_tasks)
        with pytest.raises(StoreUnavailableError, match="the blobs are away"):
            await session.store.claim_tasks(now=START, limit=2, served=served(), costs=[cost_of(first, 5.0)])
    assert had
    assert tags(harness) == {**had, "b": 0.0}
    claimed = await claims(session, limit=2)
    assert tenants(claimed) == "ba"
    assert not any(one.recovered for one in claimed)
    await harness.close()


def tags(harness: CodedHarness) -> dict[str, float]:
    """Return what each tenant has had."""
    [shares] = harness.database.task_shares.values()
    return {share[-1]: tag.had for share, tag in shares.tags.items()}


async def test_a_claim_that_is_cancelled_while_values_are_fetched_gives_back_what_it_has_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = CodedHarness(tmp_path)
    session = await harness.session()
    await queue(session, "a")
    is_asked = asyncio.Event()

    async def for_ever(*_: object) -> bytes:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(FileBlobs, "get", for_ever)
        claiming = asyncio.create_task(claims(session))
        await is_asked.wait()
        claiming.cancel()
        await asyncio.wait([claiming])
    assert claiming.cancelled()
    assert [one.recovered for one in await claims(session)] == [False]
    await harness.close()


class TestCodedStore(StoreConformance):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[StoreHarness]:
        harness = CodedHarness(tmp_path)
        yield harness
        await harness.close()
