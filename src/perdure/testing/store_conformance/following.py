"""Following: where runs of other sessions stand, and what comes next in histories of which a place is known."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

from collections.abc import Sequence

from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.transition import Applied
from perdure.ports.following import BEGINNING, HistoryPart, HistoryPlace, Standing
from perdure.testing.store_conformance.harness import (
    FAR,
    LEASE_SECONDS,
    Held,
    StoreHarness,
    StoreSession,
    code_of,
    delivery,
    later,
)


class FollowingConformance:
    """`list_standings`, `read_on`."""

    async def test_standings_are_those_of_open_runs_of_others_the_last_moved_first(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        one, two, closed = await owner.hold("one"), await owner.hold("two"), await owner.hold("closed")
        await standby.hold("own")
        await owner.finish(closed)
        await owner.advance(two, at=later(1))
        await owner.advance(one, events=3, at=later(2))
        await owner.create("nobody's")
        named = [_standing(one), _standing(two)]
        assert await _standings(standby) == named
        assert await standby.store.list_standings(workflows=code_of("order"), limit=1) == named[:1]
        assert await standby.store.list_standings(workflows=code_of("report"), limit=9) == []
        assert await standby.store.list_standings(workflows=code_of("order", version="2"), limit=9) == []
        assert await standby.store.list_standings(workflows=frozenset(), limit=9) == []

    async def test_standings_among_runs_are_those_of_others_and_of_the_dead(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        held, released, closed = await owner.hold("held"), await owner.hold("released"), await owner.hold("closed")
        own = await standby.hold("own")
        await owner.give_back(released, wake_at=FAR)
        await owner.finish(closed)
        keys = [run.run_key for run in (held, released, closed, own)]
        assert await _standings(standby, among=keys) == [_standing(held)]
        assert await _standings(standby, among=keys[1:]) == []
        assert await _standings(standby, among=[]) == []
        await harness.kill(owner)
        assert await standby.store.free_expired(now=later(LEASE_SECONDS / 2)) in (0, 1)  # a death may be known at once
        await standby.store.free_expired(now=later(LEASE_SECONDS * 2))
        assert await _standings(standby) == []
        assert await _standings(standby, among=keys[:3]) == [_standing(held)]

    async def test_histories_are_read_on_from_where_they_are_known(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        one, two = await owner.hold("one"), await owner.hold("two")
        await owner.advance(one, events=4)
        parts = await _parts(standby, {one.run_key: BEGINNING, two.run_key: BEGINNING})
        assert _sequences(parts[one.run_key]) == [1, 2, 3, 4, 5]
        assert list(parts[one.run_key].events) == await standby.store.read_history(one.run_key)
        assert _sequences(parts[two.run_key]) == [1]
        assert all(part.is_last and part.size_bytes > 0 and not part.inbox_position for part in parts.values())
        await owner.advance(one, events=2)
        known = {run_key: part.place for run_key, part in parts.items()}
        later_parts = await _parts(standby, known)
        assert _sequences(later_parts[one.run_key]) == [6, 7]
        assert later_parts[one.run_key].place.sequence == 7
        nothing = later_parts[two.run_key]
        assert (_sequences(nothing), nothing.place, nothing.is_last, nothing.size_bytes) == (
            [],
            known[two.run_key],
            True,
            0,
        )

    async def test_histories_are_read_on_in_pieces(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        runs = [await owner.hold(name) for name in ("one", "two", "three")]
        for run in runs:
            for _ in range(6):
                await owner.advance(run)
        places = {run.run_key: BEGINNING for run in runs}
        read: dict[RunKey, list[int]] = {run.run_key: [] for run in runs}
        while places:
            parts = await standby.store.read_on(places, limit=4)
            assert 0 < sum(len(part.events) for part in parts) <= 4
            for part in parts:
                read[part.run_key] += _sequences(part)
                assert part.is_last == (part.place.sequence == 7)
                places[part.run_key] = part.place
                if part.is_last:
                    del places[part.run_key]
        assert list(read.values()) == [[1, 2, 3, 4, 5, 6, 7]] * 3

    async def test_no_more_is_read_on_behind_the_event_that_makes_it_long_enough(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        one, two = await owner.hold("one"), await owner.hold("two")
        for run in (one, two):
            for _ in range(3):
                await owner.advance(run)
        places = {run.run_key: BEGINNING for run in (one, two)}
        whole = await standby.store.read_on(places, limit=100)
        read: dict[RunKey, list[int]] = {run_key: [] for run_key in places}
        while places:
            parts = await standby.store.read_on(places, limit=100, most_bytes=1)
            assert [len(part.events) for part in parts] == [1] + [0] * (len(places) - 1)
            for part in parts:
                read[part.run_key] += _sequences(part)
                places[part.run_key] = part.place
                if part.is_last:
                    del places[part.run_key]
        assert list(read.values()) == [[1, 2, 3, 4]] * 2
        size = whole[0].size_bytes
        two_at_once = dict.fromkeys(read, BEGINNING)
        counted = [
            [len(part.events) for part in await standby.store.read_on(two_at_once, limit=100, most_bytes=most)]
            for most in (size, size + 1, 2 * size)
        ]
        assert counted == [[4, 0], [4, 1], [4, 4]]

    async def test_events_that_were_committed_together_are_read_on_from_wherever_a_read_has_ended(
        self, harness: StoreHarness
    ) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        run = await owner.hold("run")
        for events in (3, 1, 250, 2):
            await owner.advance(run, events=events)
        place, read = BEGINNING, list[int]()
        while place.sequence < 257:
            [part] = await standby.store.read_on({run.run_key: place}, limit=2)
            assert place.sequence < part.place.sequence == part.events[-1].sequence
            read += _sequences(part)
            place = part.place
            assert part.is_last == (place.sequence == 257)
        assert read == list(range(1, 258))

    async def test_what_is_read_on_says_how_far_the_inbox_goes(self, harness: StoreHarness) -> None:
        owner, standby = await harness.session("owner"), await harness.session("standby")
        run, quiet = await owner.hold("run"), await owner.hold("quiet")
        for name in ("first", "second"):
            assert isinstance(await standby.commit_one(delivery(run.run_key, name)), Applied)
        parts = await _parts(standby, {run.run_key: BEGINNING, quiet.run_key: BEGINNING})
        assert parts[run.run_key].inbox_position == (await standby.inbox(run.run_key))[-1].position
        assert parts[quiet.run_key].inbox_position == 0

    async def test_a_history_that_is_not_the_known_one_is_not_read_on(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run, other = await session.hold("run"), await session.hold("other")
        await session.advance(run, events=2)
        await session.advance(other, events=2)
        parts = await _parts(session, {run.run_key: BEGINNING, other.run_key: BEGINNING})
        place, another = parts[run.run_key].place, parts[other.run_key].place
        for wrong in (
            HistoryPlace(place.sequence, None),
            HistoryPlace(place.sequence, b"x" * 16),
            HistoryPlace(place.sequence - 1, place.digest),
            HistoryPlace(place.sequence + 1, place.digest),
            HistoryPlace(place.sequence + 9, place.digest),
        ):
            found = await _parts(session, {run.run_key: wrong, other.run_key: another})
            assert list(found) == [other.run_key], wrong
        assert await session.store.read_on({session.store.new_run_key(): BEGINNING}, limit=9) == []
        assert await session.store.read_on({}, limit=9) == []

    async def test_a_damaged_history_is_not_read_on_and_harms_no_other(self, harness: StoreHarness) -> None:
        session = await harness.session()
        names = ("damaged", "gap", "end", "sound")
        runs = {name: await session.hold(name) for name in names}
        places = {run.run_key: part.place for run in runs.values() for part in await _beginning(session, run)}
        for run in runs.values():
            await session.advance(run, events=3)
        await harness.damage_event(runs["damaged"].run_key, 3, data=b"{")
        await harness.remove_event(runs["gap"].run_key, 3)
        await harness.damage_event(runs["end"].run_key, 4, data=b"\x00\xff")
        assert list(await _parts(session, places)) == [runs["sound"].run_key]


async def _standings(session: StoreSession, *, among: Sequence[RunKey] | None = None) -> list[Standing]:
    return await session.store.list_standings(workflows=code_of("order", "report"), limit=100, among=among)


def _standing(run: Held) -> Standing:
    return Standing(run_key=run.run_key, workflow=WorkflowVersion("order", "1"), sequence=run.sequence)


async def _parts(session: StoreSession, places: dict[RunKey, HistoryPlace]) -> dict[RunKey, HistoryPart]:
    return {part.run_key: part for part in await session.store.read_on(places, limit=1_000)}


async def _beginning(session: StoreSession, run: Held) -> list[HistoryPart]:
    return await session.store.read_on({run.run_key: BEGINNING}, limit=1_000)


def _sequences(part: HistoryPart) -> list[int]:
    return [recorded.sequence for recorded in part.events]
