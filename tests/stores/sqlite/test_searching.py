"""Searching: a page that finds little ends early and leads on, and all pages together are the listing."""

import random
from pathlib import Path

import msgspec
import pytest

from perdure import Engine
from perdure.client.run_pages import whole_page
from perdure.configuration import SEARCHED_PAGES
from perdure.kernel.priority import Priority
from perdure.kernel.transition import RunStatus
from perdure.ports.store import Page, RunOrder, RunQuery, RunStore, RunSummary
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import NEVER, creation, later

TENANTS = ("a", "b")
RUNS = 60


async def filled(path: Path, *, searched_rows: int) -> StoreSession:
    """Return a session on a database with many runs, of which few meet two conditions."""
    session = StoreSession(SqliteStore(path, settings=SqliteSettings(searched_rows=searched_rows)))
    await session.open(name="worker", lease_seconds=30.0)
    if await session.store.count_runs(RunQuery()):
        return session
    for number in range(RUNS):
        await session.create(
            f"{'xy'[number % 2]}{number}",
            at=later(number // 3),  # some at the same time
            tenant=TENANTS[number % 2],
            workflow=("order", "report")[number % 2],
            priority=Priority.LOW if number % 7 == 0 else Priority.NORMAL,
            labels={"third": str(number % 3)},
        )
    return session


async def pages(store: RunStore, query: RunQuery) -> list[Page]:
    found = [await store.list_runs(query)]
    while found[-1].next_cursor:
        found.append(await store.list_runs(msgspec.structs.replace(query, cursor=found[-1].next_cursor)))
    return found


def together(found: list[Page]) -> list[RunSummary]:
    return [run for page in found for run in page.runs]


@pytest.mark.parametrize("order", RunOrder)
async def test_a_page_for_which_nothing_is_found_ends_early_and_leads_on(order: RunOrder, tmp_path: Path) -> None:
    session = await filled(tmp_path / "runs.db", searched_rows=10)
    nothing = RunQuery(tenants=frozenset({"a"}), workflows=frozenset({"report"}), order=order)
    found = await pages(session.store, nothing)
    assert together(found) == []
    assert len(found) == RUNS // 2 // 10 + 1
    await session.store.close()


async def with_generations(session: StoreSession, run_id: str, *, count: int, **options: object) -> None:
    """Make a run that has continued as new so often; all its generations have these labels, and this parent."""
    run = await session.hold(run_id, **options)
    for generation in range(2, count + 1):
        following = creation(session.store.new_run_key(), run_id, generation=generation, **options)  # type: ignore[arg-type]
        await session.advance(run, status=RunStatus.CONTINUED, creations=[following])
        run = await session.take(following.run_key)


async def test_generations_that_have_passed_do_not_lengthen_a_page(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db", settings=SqliteSettings(searched_rows=10))
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30.0)
    parent = await session.hold("parent")
    await with_generations(session, "child", count=40, labels={"kind": "long"}, parent=parent)
    for number in range(50):
        await session.create(f"other {number}", wake_at=NEVER)
    for query in (RunQuery(labels={"kind": "long"}), RunQuery(parent_key=parent.run_key)):
        found = await pages(store, query)
        assert [run.ref.generation for run in together(found)] == [40], query
        assert len(found) == 40 // 10 + 1, query
    await store.close()


@pytest.mark.parametrize("searched_rows", [1, 2, 5, 17])
async def test_all_pages_together_are_the_listing_wherever_they_end(searched_rows: int, tmp_path: Path) -> None:
    bounded = await filled(tmp_path / "runs.db", searched_rows=searched_rows)
    free = await filled(tmp_path / "runs.db", searched_rows=10_000)
    for query in some_queries(random.Random(searched_rows)):
        expected = together(await pages(free.store, query))
        assert together(await pages(bounded.store, query)) == expected, query
    await bounded.store.close()
    await free.store.close()


def some_queries(chance: random.Random) -> list[RunQuery]:
    def some(*options: object) -> frozenset[object]:
        return frozenset() if chance.random() < 0.4 else frozenset(chance.sample(options, chance.randint(1, 2)))

    return [
        RunQuery(
            statuses=some(*RunStatus),  # type: ignore[arg-type]
            workflows=some("order", "report"),  # type: ignore[arg-type]
            tenants=some("", *TENANTS),  # type: ignore[arg-type]
            priorities=some(*Priority),  # type: ignore[arg-type]
            labels=chance.choice(({}, {"third": "1"}, {"third": "2", "other": "x"})),
            id_prefix=chance.choice(("", "", "x", "y1")),
            created_from=chance.choice((None, later(3), later(9))),
            created_until=chance.choice((None, later(8), later(15))),
            order=chance.choice(tuple(RunOrder)),
            limit=chance.choice((1, 2, 7, 100)),
        )
        for _ in range(60)
    ]


async def test_an_engine_fills_its_pages(tmp_path: Path) -> None:
    session = await filled(tmp_path / "runs.db", searched_rows=20)
    await session.store.close()
    few = SqliteStore(tmp_path / "runs.db", settings=SqliteSettings(searched_rows=20))
    async with Engine(few, works=False) as engine:
        page = await engine.list_runs(tenant="a", workflow="order", labels={"third": "1"}, limit=7)
        assert len(page.runs) == 7
        rest = await engine.list_runs(tenant="a", workflow="order", labels={"third": "1"}, cursor=page.next_cursor)
        assert (len(rest.runs), rest.next_cursor) == (3, "")
        nothing = await engine.list_runs(tenant="a", workflow="report")
        assert (nothing.runs, nothing.next_cursor) == ((), "")
        assert await engine.count_runs(most=7) == 7
        assert await engine.count_runs(most=1_000) == RUNS


class Counting:
    """Counts the pages that are asked of a store."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.pages = 0

    async def list_runs(self, query: RunQuery) -> Page:
        self.pages += 1
        return await self._store.list_runs(query)


async def test_a_page_is_put_together_of_few_pages_of_the_store_and_leads_on(tmp_path: Path) -> None:
    session = await filled(tmp_path / "runs.db", searched_rows=2)
    nothing = RunQuery(tenants=frozenset({"a"}), workflows=frozenset({"report"}))
    some = RunQuery(tenants=frozenset({"a"}), labels={"third": "1"}, limit=4)
    expected = together(await pages(session.store, some))
    for query, matching in ((nothing, []), (some, expected)):
        listed = Counting(session.store)
        page = await whole_page(listed, query)
        assert listed.pages == SEARCHED_PAGES
        assert page.next_cursor
        found = [*page.runs]
        while page.next_cursor:
            page = await whole_page(listed, msgspec.structs.replace(query, cursor=page.next_cursor))
            found += page.runs
        assert found == matching
    await session.store.close()
