"""Results of transactional activities that pass codecs, in the thread that writes."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from perdure.codecs import Payloads, coded_store
from perdure.codecs.coded_store import coded
from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import Operation
from perdure.kernel.messages import CompleteActivityMessage
from perdure.kernel.transition import Applied, Delivery
from perdure.stores.sqlite.transactions import StepConnection
from perdure.testing.store_conformance.harness import delivery
from perdure.torture.programs.harnesses import SqliteHarness
from tests.stores.sqlite.test_transactions import entries, step


class Blobs:
    """A blob store that does not answer before it is let."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()

    async def put(self, data: bytes) -> str:
        del data
        await self.answers.wait()
        return "blob"

    async def get(self, name: str) -> bytes:
        raise NotImplementedError(name)


async def test_where_blobs_do_not_answer_it_is_undone_and_others_go_on_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded_store, "_PATIENCE_SECONDS", 0.1)
    blobs, harness = Blobs(), SqliteHarness(tmp_path / "runs.db")
    session = await harness.session()
    run, other = await session.hold(), await session.hold("other")
    plain = session.store
    assert isinstance(await plain.transact(step(other, "CREATE TABLE ledger (entry)")), Applied)
    through_codecs = coded(plain, Payloads(blobs=blobs, blobs_above=0))
    told = delivery(
        run.run_key,
        message=CompleteActivityMessage(operation=Operation(1), attempt=1, generation=1, result=msgspec.Raw(b"[1]")),
        message_id="outcome:1:1:1",
    )

    def perform(connection: StepConnection) -> Delivery:
        connection.execute("INSERT INTO ledger VALUES (1)")
        return told

    made = structs.replace(step(run), perform=perform)
    async with asyncio.timeout(30):
        making = asyncio.ensure_future(through_codecs.transact(made))
        await session.advance(other)
        with pytest.raises(StoreUnavailableError, match="Is its blob store away"):
            await making
        assert entries(tmp_path) == 0
        blobs.answers.set()
        assert await through_codecs.transact(made) == Applied(run.run_key, session.worker)
    assert entries(tmp_path) == 1
    await harness.close()
