"""The conformance suite through codecs: to whom it concerns, nothing changes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from perdure.codecs import Compression, Encryption, FileBlobs, Payloads
from perdure.codecs.coded_store import coded
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryStore
from perdure.testing.store_conformance import StoreConformance, StoreHarness
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


class TestCodedStore(StoreConformance):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[StoreHarness]:
        harness = CodedHarness(tmp_path)
        yield harness
        await harness.close()
