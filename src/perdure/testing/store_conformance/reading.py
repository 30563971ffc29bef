"""Reads: histories in pages, damage, status, and names of any kind."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.transition import Applied, Exists
from perdure.ports.store import RunQuery
from perdure.ports.verification import VerificationWish
from perdure.testing.store_conformance.harness import START, StoreHarness, StoreSession, creation, delivery

HOSTILE_NAMES = (
    "'; DROP TABLE runs; --",
    'say "hello"',
    "a\x00b",
    "a",
    "a\x00",
    "\x00",
    "",
    " ",
    "\n\r\t",
    "é",
    "e\u0301",
    "É",
    "A",
    "ß",
    "ss",
    "%",
    "_",
    "a%",
    "\\",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "💥" * 50,
    "\u202eright to left",
    "\u2028",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "1",
    "1.0",
    "null",
    "x" * 2_000,
)
"""Names that have broken databases and the programs in front of them. All different."""


class ReadingConformance:
    """`read_history`, `find`, `status`."""

    async def test_a_history_is_read_in_pages_without_gap_or_repetition(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, events=9)
        read = session.store.read_history
        pages = [await read(run.run_key, after=after, limit=4) for after in (0, 4, 8, 10)]
        assert [[recorded.sequence for recorded in page] for page in pages] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]
        assert [recorded for page in pages for recorded in page] == await read(run.run_key)

    async def test_a_history_is_read_from_any_place_and_beyond_its_end(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, events=4)
        read = session.store.read_history
        assert [recorded.sequence for recorded in await read(run.run_key, after=3)] == [4, 5]
        assert [recorded.sequence for recorded in await read(run.run_key, after=2, limit=1)] == [3]
        assert await read(run.run_key, after=5) == []
        assert await read(run.run_key, after=1_000) == []

    async def test_events_that_were_committed_together_are_read_from_any_place_in_pages_of_any_size(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        run = await session.hold("run")
        for events in (3, 1, 250, 2):
            await session.advance(run, events=events)
        for after in (0, 1, 2, 3, 4, 5, 99, 104, 105, 106, 254, 255, 256, 257, 300):
            for limit in (1, 2, 5, 100, 257, 1_000):
                found = await session.store.read_history(run.run_key, after=after, limit=limit)
                expected = range(after + 1, min(after + limit, 257) + 1)
                assert [recorded.sequence for recorded in found] == list(expected), (after, limit)

    async def test_the_history_of_a_run_that_does_not_exist_is_empty(self, harness: StoreHarness) -> None:
        session = await harness.session()
        assert await session.store.read_history(session.store.new_run_key()) == []

    async def test_histories_written_in_turns_are_kept_apart(self, harness: StoreHarness) -> None:
        session = await harness.session()
        one, two = await session.hold("one"), await session.hold("two")
        for _ in range(5):
            await session.advance(one)
            await session.advance(two, events=2)
        assert len(await session.store.read_history(one.run_key)) == 6
        assert len(await session.store.read_history(two.run_key)) == 11

    async def test_a_long_history_is_read_whole_in_pages(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        for _ in range(4):
            await session.advance(run, events=1_000)
        after, lengths = 0, []
        while page := await session.store.read_history(run.run_key, after=after):
            assert [recorded.sequence for recorded in page] == list(range(after + 1, after + 1 + len(page)))
            after = page[-1].sequence
            lengths.append(len(page))
        assert after == 4_001
        assert max(lengths) <= 1_000

    async def test_an_event_whose_data_is_damaged_is_an_error_and_not_another_event(
        self, harness: StoreHarness
    ) -> None:
        for data in (b"", b"{", b"null", b'{"name": 7}', b'{"name": "\xff"}', b"\x00\xff", b"{}"):
            session = await harness.session()
            run_id = repr(data)
            run = await session.hold(run_id)
            await session.advance(run, events=3)
            await harness.damage_event(run.run_key, 3, data=data)
            await _raises_history_error(session, run.run_key)

    async def test_a_missing_event_is_an_error(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run, events=3)
        await harness.remove_event(run.run_key, 2)
        await _raises_history_error(session, run.run_key)

    async def test_what_lies_before_a_damage_is_read_by_whoever_asks_for_no_more(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        for events in (2, 3, 4):
            await session.advance(run, events=events)
        await harness.damage_event(run.run_key, 9, data=b"{")
        for limit in range(1, 7):
            found = await session.store.read_history(run.run_key, limit=limit)
            assert [recorded.sequence for recorded in found] == list(range(1, limit + 1))
        await _raises_history_error(session, run.run_key)

    async def test_from_behind_its_end_nothing_is_demanded_of_a_history(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold()
        await session.advance(run)
        await session.advance(run)
        for sequence in (3, 2, 1):
            await harness.remove_event(run.run_key, sequence)
            assert await session.store.read_history(run.run_key, after=4) == []

    async def test_a_damaged_run_does_not_harm_the_others(self, harness: StoreHarness) -> None:
        session = await harness.session()
        damaged, sound = await session.hold("damaged"), await session.hold("sound")
        await session.advance(damaged)
        await session.advance(sound)
        await harness.damage_event(damaged.run_key, 2, data=b"{")
        assert len(await session.store.read_history(sound.run_key)) == 2
        await session.advance(sound)
        assert await session.store.count_runs(RunQuery()) == 2

    async def test_what_does_not_exist_is_not_found(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create()
        for ref in (RunRef(id="ru"), RunRef(id="run "), RunRef(id="RUN"), RunRef(namespace="x", id="run"), RunKey(0)):
            assert await session.store.find(ref) is None
        assert await session.store.find(session.store.new_run_key()) is None

    async def test_any_text_is_an_id_of_its_own(self, harness: StoreHarness) -> None:
        session = await harness.session()
        keys = {name: session.store.new_run_key() for name in HOSTILE_NAMES}
        outcomes = await session.commit(*(creation(key, name) for name, key in keys.items()))
        assert [type(outcome) for outcome in outcomes] == [Applied] * len(HOSTILE_NAMES)
        for name, key in keys.items():
            found = await session.store.find(RunRef(id=name))
            assert found is not None
            assert (found.run_key, found.ref.id) == (key, name)
            assert await session.commit_one(creation(session.store.new_run_key(), name)) == Exists(key)

    async def test_any_text_is_a_namespace_a_tenant_a_label_and_a_message_of_its_own(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        for name in HOSTILE_NAMES:
            write = creation(
                session.store.new_run_key(),
                namespace=name,
                tenant=name,
                workflow=name,
                labels={name: name, "same": "value"},
                request_id=name,
            )
            assert await session.commit_one(write) == Applied(write.run_key)
            await session.commit(delivery(RunRef(namespace=name, id="run"), name, message_id=f"1{name}"))
            row = await session.row(write.run_key)
            assert (row.ref.namespace, row.tenant, row.workflow) == (name, name, name)
            assert row.labels == {name: name, "same": "value"}
            (entry,) = await session.inbox(write.run_key)
            assert entry.message_id == f"1{name}"
            query = RunQuery(
                namespace=name, tenants=frozenset({name}), workflows=frozenset({name}), labels={name: name}
            )
            (listed,) = (await session.store.list_runs(query)).runs
            assert listed == row

    async def test_what_nobody_has_damaged_is_verified_to_be_sound(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold("run")
        await session.give_back(run, wake_at=START)
        await session.create("other")
        for ref, runs in ((None, 2), (RunRef(id="run"), 1), (RunRef(id="nobody"), 0)):
            found = await session.store.verify(VerificationWish(now=START, run=ref))
            assert (found.is_sound, found.runs, found.events) == (True, runs, runs), found
            assert found.location == session.store.location

    async def test_the_status_says_where_the_data_is(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create()
        status = await session.store.status()
        assert status.location == session.store.location
        assert status.schema_version >= 1
        assert status.size_bytes > 0
        assert all(isinstance(value, str) for value in status.facts.values())


async def _raises_history_error(session: StoreSession, run_key: RunKey) -> None:
    try:
        events = await session.store.read_history(run_key)
    except HistoryError:
        return
    message = f"a damaged history was read as {events}"
    raise AssertionError(message)
