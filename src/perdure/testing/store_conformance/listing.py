"""Listings: filters, orders, pages, counts."""
# ruff: noqa: D102, PLR2004 - a test's name is its sentence, its expected values are literal

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary
from perdure.testing.store_conformance.harness import NEVER, Held, StoreHarness, StoreSession, creation, later
from perdure.testing.store_conformance.reading import HOSTILE_NAMES


class ListingConformance:
    """`list_runs` and `count_runs`."""

    async def test_a_listing_of_nothing_is_one_empty_page(self, harness: StoreHarness) -> None:
        session = await harness.session()
        page = await session.store.list_runs(RunQuery())
        assert (page.runs, page.next_cursor) == ((), "")
        assert await session.store.count_runs(RunQuery()) == 0

    async def test_listed_runs_are_the_rows_that_find_gives(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("a", labels={"x": "1", "y": "2"}, wake_at=NEVER)
        await session.hold("b")
        page = await session.store.list_runs(RunQuery())
        assert [await session.row(row.run_key) for row in page.runs] == list(page.runs)

    async def test_runs_are_listed_by_creation_newest_or_oldest_first(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for second in (3, 1, 4, 2):
            await session.create(str(second), at=later(second))
        assert await _ids(session, RunQuery()) == ["4", "3", "2", "1"]
        assert await _ids(session, RunQuery(order=RunOrder.OLDEST_FIRST)) == ["1", "2", "3", "4"]

    async def test_a_listing_shows_one_namespace(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for namespace in ("here", "there", "her", "here "):
            await session.create(namespace, namespace=namespace)
        assert await _ids(session, RunQuery(namespace="here")) == ["here"]
        assert await _ids(session, RunQuery()) == []

    async def test_each_filter_narrows_and_all_together_narrow_to_what_fits_all(self, harness: StoreHarness) -> None:
        session = await harness.session()
        parent = await session.hold("parent", at=later(-100))
        await session.finish(parent)
        wanted = await session.create(
            "wanted/1",
            workflow="report",
            priority=Priority.HIGH,
            tenant="acme",
            labels={"country": "no", "size": "9"},
            parent=parent,
            at=later(10),
            wake_at=NEVER,
        )
        others = await _others(session)
        queries = [
            RunQuery(statuses=frozenset({RunStatus.CREATED}), created_from=later(10), created_until=later(11)),
            RunQuery(workflows=frozenset({"report", "nothing"})),
            RunQuery(tenants=frozenset({"acme"})),
            RunQuery(priorities=frozenset({Priority.HIGH, Priority.CRITICAL})),
            RunQuery(labels={"country": "no"}),
            RunQuery(labels={"country": "no", "size": "9"}),
            RunQuery(id_prefix="wanted/"),
            RunQuery(parent_key=parent.run_key),
            RunQuery(created_from=later(10), created_until=later(11)),
            RunQuery(
                statuses=frozenset({RunStatus.CREATED, RunStatus.RUNNING}),
                workflows=frozenset({"report"}),
                tenants=frozenset({"acme", "zeta"}),
                priorities=frozenset({Priority.HIGH}),
                labels={"size": "9"},
                id_prefix="w",
                parent_key=parent.run_key,
                created_from=later(9),
                created_until=later(12),
            ),
        ]
        for query in queries:
            for order in RunOrder:
                ordered = msgspec.structs.replace(query, order=order)
                assert [row.run_key for row in (await session.store.list_runs(ordered)).runs] == [wanted], query
            assert await session.store.count_runs(query) == 1
        contradictory = RunQuery(tenants=frozenset({"acme"}), workflows=frozenset({"order"}))
        assert await _ids(session, contradictory) == []
        assert await session.store.count_runs(RunQuery()) == 2 + others

    async def test_runs_are_listed_by_status_and_closed_ones_stay(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("created", wake_at=NEVER)
        for status in RunStatus:
            if status is not RunStatus.CREATED:
                run_key = await session.create(status)
                (claimed,) = await session.claim(now=later(1))
                assert claimed.summary.run_key == run_key
                await session.advance(Held.of(claimed), status=status)
        for status in RunStatus:
            assert await _ids(session, RunQuery(statuses=frozenset({status}))) == [status]
        assert await session.store.count_runs(RunQuery(statuses=frozenset(RunStatus))) == len(RunStatus)

    async def test_labels_must_all_be_present_with_these_values(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.create("both", labels={"a": "1", "b": "2"})
        await session.create("one", labels={"a": "1"})
        await session.create("other value", labels={"a": "2", "b": "1"})
        await session.create("empty value", labels={"a": ""})
        assert sorted(await _ids(session, RunQuery(labels={"a": "1"}))) == ["both", "one"]
        assert await _ids(session, RunQuery(labels={"a": "1", "b": "2"})) == ["both"]
        assert await _ids(session, RunQuery(labels={"a": ""})) == ["empty value"]
        assert await _ids(session, RunQuery(labels={"c": ""})) == []

    async def test_labels_are_searched_as_they_are_now(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(labels={"a": "1", "b": "1"})
        await session.advance(run, labels={"a": "2", "b": None, "c": "3"})
        for labels in ({"a": "1"}, {"b": "1"}):
            assert await _ids(session, RunQuery(labels=labels)) == []
        assert await _ids(session, RunQuery(labels={"a": "2", "c": "3"})) == ["run"]

    async def test_a_prefix_is_plain_text(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await session.commit(*(creation(session.store.new_run_key(), name) for name in HOSTILE_NAMES))
        for prefix in (*HOSTILE_NAMES, "\U0010ffff\U0010ffff"):
            expected = sorted(name for name in HOSTILE_NAMES if name.startswith(prefix))
            assert sorted(await _ids(session, RunQuery(id_prefix=prefix))) == expected, prefix
            assert await session.store.count_runs(RunQuery(id_prefix=prefix)) == len(expected)

    async def test_the_creation_time_is_bounded_inclusive_below_and_exclusive_above(
        self, harness: StoreHarness
    ) -> None:
        session = await harness.session()
        for second in range(5):
            await session.create(str(second), at=later(second))
        bounds = RunQuery(created_from=later(1), created_until=later(3))
        assert await _ids(session, bounds) == ["2", "1"]
        assert await _ids(session, RunQuery(created_from=Timestamp(later(3) + 1))) == ["4"]
        assert await _ids(session, RunQuery(created_until=later(0))) == []

    async def test_only_latest_generations_are_listed(self, harness: StoreHarness) -> None:
        session = await harness.session()
        run = await session.hold(tenant="acme")
        await session.finish(run)
        second = await session.create(generation=2, tenant="zeta")
        page = await session.store.list_runs(RunQuery())
        assert [row.run_key for row in page.runs] == [second]
        assert await session.store.count_runs(RunQuery()) == 1
        assert await _ids(session, RunQuery(tenants=frozenset({"acme"}))) == []
        assert await _ids(session, RunQuery(statuses=frozenset({RunStatus.COMPLETED}))) == []

    async def test_pages_follow_each_other_and_the_last_one_has_no_cursor(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await _ten_runs(session)
        for order in RunOrder:
            for limit in (1, 3, 5, 9, 10, 11):
                query = RunQuery(order=order, limit=limit)
                pages = await _pages(session, query)
                everything = await session.store.list_runs(RunQuery(order=order))
                assert [row for page in pages for row in page] == list(everything.runs)
                assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
                assert 1 <= len(pages[-1]) <= limit

    async def test_pages_are_stable_under_new_runs(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await _ten_runs(session)
        for order in RunOrder:
            before = [row.ref.id for row in (await session.store.list_runs(RunQuery(order=order))).runs]
            first = await session.store.list_runs(RunQuery(order=order, limit=4))
            await session.create(f"newest {order}", at=later(1_000))
            await session.create(f"oldest {order}", at=later(-1_000))
            rest = await _pages(session, RunQuery(order=order, limit=4, cursor=first.next_cursor))
            seen = [row.ref.id for page in [list(first.runs), *rest] for row in page]
            assert [run_id for run_id in seen if run_id in before] == before
            assert len(seen) == len(set(seen))
            new = "oldest" if order is RunOrder.NEWEST_FIRST else "newest"
            assert set(seen) - set(before) == {f"{new} {order}"}

    async def test_pages_do_not_depend_on_what_happens_to_the_listed_runs(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await _ten_runs(session)
        first = await session.store.list_runs(RunQuery(limit=4))
        for claimed in await session.claim():
            await session.advance(Held.of(claimed), status=RunStatus.COMPLETED, at=later(500))
        rest = await _pages(session, RunQuery(limit=4, cursor=first.next_cursor))
        assert len([*first.runs, *(row for page in rest for row in page)]) == 10

    async def test_pages_of_a_filtered_listing_hold_only_what_fits(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for number in range(12):
            await session.create(f"run {number}", tenant="even" if number % 2 == 0 else "odd", at=later(number // 4))
        pages = await _pages(session, RunQuery(tenants=frozenset({"even"}), limit=2))
        assert [len(page) for page in pages] == [2, 2, 2]
        assert {row.tenant for page in pages for row in page} == {"even"}

    async def test_a_cursor_that_no_page_has_given_is_refused(self, harness: StoreHarness) -> None:
        session = await harness.session()
        for cursor in ("x'", "1", "1.", ".1", "1.2.3", " 1.2", "1_0.2", "\u0661.2", f"{2**63}.1", "9" * 5_000 + ".1"):
            await _refuses_cursor(session, cursor)

    async def test_a_count_ignores_limit_and_cursor(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await _ten_runs(session)
        cursor = (await session.store.list_runs(RunQuery(limit=4))).next_cursor
        assert await session.store.count_runs(RunQuery(limit=2)) == 10
        assert await session.store.count_runs(RunQuery(limit=2, cursor=cursor)) == 10
        assert await session.store.count_runs(RunQuery(created_from=later(1), limit=1)) == 7

    async def test_a_count_ends_at_the_most_that_was_asked_for(self, harness: StoreHarness) -> None:
        session = await harness.session()
        await _ten_runs(session)
        for query in (RunQuery(), RunQuery(statuses=frozenset({RunStatus.CREATED})), RunQuery(id_prefix="run")):
            assert [await session.store.count_runs(query, most=most) for most in (1, 9, 10, 11)] == [1, 9, 10, 10]
        assert await session.store.count_runs(RunQuery(id_prefix="other"), most=1) == 0


async def _ids(session: StoreSession, query: RunQuery) -> list[str]:
    return [row.ref.id for row in (await session.store.list_runs(query)).runs]


async def _pages(session: StoreSession, query: RunQuery) -> list[list[RunSummary]]:
    pages = []
    while True:
        page = await session.store.list_runs(query)
        pages.append(list(page.runs))
        if not page.next_cursor:
            return pages
        query = msgspec.structs.replace(query, cursor=page.next_cursor)


async def _ten_runs(session: StoreSession) -> None:
    """Create ten runs, several of them at the same instant."""
    await session.commit(
        *(creation(session.store.new_run_key(), f"run {n}", at=later(n // 3), wake_at=later(n // 3)) for n in range(10))
    )


async def _others(session: StoreSession) -> int:
    """Create runs that each miss every filter of the one that is wanted. Returns how many."""
    others = [
        creation(session.store.new_run_key(), "other", at=later(1)),
        creation(
            session.store.new_run_key(), "unwanted", tenant="acm", labels={"country": "se", "size": "9"}, at=later(11)
        ),
        creation(session.store.new_run_key(), "wanted", labels={"country": "no ", "Country": "no"}, at=later(20)),
        creation(session.store.new_run_key(), "xwanted/1", tenant="acme2", priority=Priority.LOW, at=later(9.999999)),
    ]
    await session.commit(*others)
    return len(others)


async def _refuses_cursor(session: StoreSession, cursor: str) -> None:
    try:
        page = await session.store.list_runs(RunQuery(cursor=cursor))
    except InvalidArgumentError:
        return
    message = f"the cursor {cursor!r} leads to {page}"
    raise AssertionError(message)
