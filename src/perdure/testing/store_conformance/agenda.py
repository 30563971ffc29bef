"""The agenda: entries guarded by their versions, changed together with runs and messages."""
# ruff: noqa: D102 - a test's name is its sentence, its expected values are literal

import asyncio

import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.testing.store_conformance.harness import START, StoreHarness, StoreSession, creation, delivery, later

__all__ = ["AgendaConformance", "agenda_entry"]


def agenda_entry(
    version: RunKey,
    name: str = "nightly",
    *,
    kind: str = "schedule",
    namespace: str = "default",
    due_at: Timestamp | None = START,
    waits: bool = False,
    data: str = "{}",
    inputs: tuple[bytes, ...] = (),
) -> AgendaEntry:
    """Return an entry."""
    return AgendaEntry(
        key=AgendaKey(kind=kind, namespace=namespace, id=name),
        version=version,
        due_at=due_at,
        waits=waits,
        data=data,
        inputs=tuple(msgspec.Raw(value) for value in inputs),
    )


async def _put(session: StoreSession, name: str = "nightly", **fields: object) -> AgendaEntry:
    entry = agenda_entry(session.store.new_run_key(), name, **fields)  # type: ignore[arg-type]
    assert await session.store.change_agenda(AgendaChange(key=entry.key, expected=None, entry=entry))
    return entry


class AgendaConformance:
    """`change_agenda`, `find_agenda`, `list_agenda`, `next_agenda_at`."""

    async def test_an_entry_is_found_as_it_was_put(self, harness: StoreHarness) -> None:
        session = await harness.session()
        put = await _put(session, "\u00e9\x00x", data='{"a": [1]}', inputs=(b"[1]", b'"two"'), waits=True)
        assert await session.store.find_agenda(put.key) == put
        assert await session.store.list_agenda(AgendaQuery()) == [put]

    async def test_an_entry_outlives_the_session_that_made_it(self, harness: StoreHarness) -> None:
        session = await harness.session()
        put = await _put(session)
        await harness.kill(session)
        assert await (await harness.session()).store.find_agenda(put.key) == put

    async def test_a_change_from_a_version_that_has_passed_changes_nothing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await _put(session)
        second = agenda_entry(session.store.new_run_key(), data='"second"')
        assert await session.store.change_agenda(AgendaChange(key=first.key, expected=first.version, entry=second))
        run = creation(session.store.new_run_key())
        for expected in (first.version, None):
            late = agenda_entry(session.store.new_run_key(), data='"late"')
            change = AgendaChange(key=late.key, expected=expected, entry=late, creations=(run,))
            assert not await session.store.change_agenda(change)
        assert await session.store.find_agenda(first.key) == second
        assert await session.store.find(run.run_key) is None

    async def test_a_change_of_an_entry_that_is_not_there_is_refused(self, harness: StoreHarness) -> None:
        session = await harness.session()
        entry = agenda_entry(session.store.new_run_key())
        assert not await session.store.change_agenda(AgendaChange(key=entry.key, expected=RunKey(1), entry=entry))
        assert await session.store.find_agenda(entry.key) is None

    async def test_of_changes_decided_at_once_one_applies(self, harness: StoreHarness) -> None:
        sessions = [await harness.session("one"), await harness.session("other")]
        first = await _put(sessions[0])
        changes = [
            AgendaChange(
                key=first.key,
                expected=first.version,
                entry=agenda_entry(session.store.new_run_key()),
                creations=(creation(session.store.new_run_key(), f"run-{number}"),),
            )
            for number, session in enumerate(sessions)
        ]
        answers = await asyncio.gather(
            *(session.store.change_agenda(change) for session, change in zip(sessions, changes, strict=True))
        )
        assert sorted(answers) == [False, True]
        found = [await sessions[0].store.find(RunRef(id=f"run-{number}")) for number in range(2)]
        assert [run is not None for run in found] == list(answers)

    async def test_runs_and_messages_come_with_the_entry(self, harness: StoreHarness) -> None:
        session = await harness.session()
        target = await session.create("target")
        entry = agenda_entry(session.store.new_run_key())
        change = AgendaChange(
            key=entry.key,
            expected=None,
            entry=entry,
            creations=(creation(session.store.new_run_key(), "new", wake_at=later(60)),),
            deliveries=(delivery(target, "hello"),),
        )
        assert await session.store.change_agenda(change)
        assert await session.signals(target) == ["hello"]
        assert [run.summary.ref.id for run in await session.claim(now=later(59))] == ["target"]
        assert [run.summary.ref.id for run in await session.claim(now=later(60))] == ["new"]

    async def test_taken_ids_and_lost_messages_do_not_keep_an_entry_from_changing(self, harness: StoreHarness) -> None:
        session = await harness.session()
        taken = await session.create("taken")
        entry = agenda_entry(session.store.new_run_key())
        change = AgendaChange(
            key=entry.key,
            expected=None,
            entry=entry,
            creations=(
                creation(session.store.new_run_key(), "taken"),
                creation(session.store.new_run_key(), "free"),
            ),
            deliveries=(delivery(RunKey(987_654), "lost"),),
        )
        assert await session.store.change_agenda(change)
        found = await session.store.find(RunRef(id="taken"))
        assert found is not None
        assert found.run_key == taken
        assert await session.store.find(RunRef(id="free")) is not None

    async def test_a_deleted_entry_is_gone_and_its_id_is_free(self, harness: StoreHarness) -> None:
        session = await harness.session()
        first = await _put(session)
        assert await session.store.change_agenda(AgendaChange(key=first.key, expected=first.version, entry=None))
        assert await session.store.find_agenda(first.key) is None
        assert await session.store.next_agenda_at() is None
        assert (await _put(session)).version != first.version

    async def test_due_and_waiting_entries_are_found_page_by_page(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for number in range(5):
            await _put(session, f"s{number}", due_at=later(number), waits=number % 2 == 1)
        await _put(session, "asleep", due_at=None)
        await _put(session, "s1", namespace="other", due_at=later(1))
        await _put(session, "s1", kind="debounce", due_at=later(1))
        assert await _names(session, due_by=later(1)) == [
            ("default", "debounce", "s1"),
            ("default", "schedule", "s0"),
            ("default", "schedule", "s1"),
            ("other", "schedule", "s1"),
        ]
        assert [name for *_, name in await _names(session, waits=True)] == ["s1", "s3"]
        assert [name for *_, name in await _names(session, namespace="default", kind="schedule", limit=2)] == [
            "asleep",
            "s0",
        ]
        after = AgendaKey(kind="schedule", namespace="default", id="s3")
        assert [name for *_, name in await _names(session, after=after)] == ["s4", "s1"]
        assert await session.store.next_agenda_at() == START
        assert await session.store.next_agenda_at(after=START) == later(1)
        assert await session.store.next_agenda_at(after=later(4)) is None

    async def test_an_entry_beside_another_is_put_with_it_or_keeps_both_from_changing(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        first, beside = (agenda_entry(session.store.new_run_key(), name) for name in ("first", "beside"))
        change = AgendaChange(key=first.key, expected=None, entry=first, beside=beside)
        assert await session.store.change_agenda(change)
        assert await session.store.list_agenda(AgendaQuery()) == [beside, first]
        second, other = (agenda_entry(session.store.new_run_key(), name) for name in ("second", "beside"))
        run = creation(session.store.new_run_key(), "never")
        change = AgendaChange(key=second.key, expected=None, entry=second, beside=other, creations=(run,))
        assert not await session.store.change_agenda(change)
        assert await session.store.list_agenda(AgendaQuery()) == [beside, first]
        assert await session.store.find(run.run_key) is None
        stale = AgendaChange(key=first.key, expected=second.version, entry=first, beside=second)
        assert not await session.store.change_agenda(stale)
        assert await session.store.find_agenda(second.key) is None

    async def test_who_waits_for_a_run_that_is_to_come_hears_that_it_came_or_never_will(
        self, harness: StoreHarness
    ) -> None:
        session, other = await harness.session("one"), await harness.session("other")
        comes, never = session.store.new_run_key(), session.store.new_run_key()
        entry = agenda_entry(session.store.new_run_key())
        assert await session.store.change_agenda(
            AgendaChange(
                key=entry.key, expected=None, entry=entry, creations=(creation(comes, "comes"),), gone=(never,)
            )
        )
        await other.hear_of(comes)
        await other.hear_of(never)

    async def test_other_sessions_hear_of_a_changed_agenda(self, harness: StoreHarness) -> None:
        session, other = await harness.session("one"), await harness.session("other")
        await _put(session)
        await other.hear_of_agenda()


async def _names(session: StoreSession, **conditions: object) -> list[tuple[str, str, str]]:
    query = AgendaQuery(**conditions)  # type: ignore[arg-type]
    found = await session.store.list_agenda(query)
    return [(entry.key.namespace, entry.key.kind, entry.key.id) for entry in found]
