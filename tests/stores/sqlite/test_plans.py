"""Plans: how SQLite carries out each statement of the store depends neither on how many rows there are, nor on luck."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

import apsw
import pytest

from perdure.kernel.identity import RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery
from perdure.stores.cursors import write_cursor
from perdure.stores.sql.statements import FIND_RUN
from perdure.stores.sqlite.connection import keep_plans, open_reading, open_writing
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.torture.programs.harnesses import SqliteHarness
from perdure.torture.programs.prompt import PromptSqliteHarness
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World
from tests.stores.sqlite.tracing import told_of

Statements = dict[str, "apsw.Bindings"]
"""Texts, each with parameters that it was executed with."""

TABLES = ("runs", "history", "inbox", "run_labels", "message_requests", "agenda", "locks")
"""The tables that grow; a session's row is there as long as its process."""

PROGRAMS = 12

BLOOM = "CREATE BLOOM FILTER"
"""No step of its own: it saves some look-ups in a list."""


@contextmanager
def noted() -> Iterator[Statements]:
    """Note what is executed on connections that are opened meanwhile."""
    statements: Statements = {}

    def note(text: str, bindings: "apsw.Bindings | None") -> None:
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", text):
            statements.setdefault(text, bindings or ())

    with told_of(note):
        yield statements


def plans(path: Path, statements: Statements) -> dict[str, list[str]]:
    """Return the steps in which SQLite would carry out each statement."""
    with closing(apsw.Connection(str(path))) as connection:
        keep_plans(connection)
        return {text: explained(connection, text, bindings) for text, bindings in statements.items()}


def explained(connection: apsw.Connection, text: str, bindings: "apsw.Bindings") -> list[str]:
    """Return the steps in which a connection would carry out a statement."""
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", bindings) if row[3] != BLOOM]


def without_bounds(plan: list[str]) -> list[str]:
    """Return a plan without the bounds of its ranges: by one belief SQLite leaves one of two to the rows' filter."""
    return [re.sub(r" AND created_at[<>]\?", "", step) for step in plan]


ALIASES = ("l", "labelled", "held", "waits", "newest")
SCAN = re.compile(rf"SCAN ({'|'.join((*TABLES, *ALIASES))})\b")


def reads_all(step: str) -> bool:
    """Whether a step reads a table, or an index of it, whole; those of parked runs and of forks hold few."""
    return SCAN.match(step) is not None and "runs_parked" not in step and "history_forks" not in step


# --- searches ---

MOMENT = Timestamp(1_700_000_000_000_000)
CONDITIONS: dict[str, dict[str, object]] = {
    "nothing": {},
    "status": {"statuses": frozenset({RunStatus.FAILED, RunStatus.RUNNING})},
    "workflow": {"workflows": frozenset({"order"})},
    "tenant": {"tenants": frozenset({"t"})},
    "no tenant": {"tenants": frozenset({""})},
    "priority": {"priorities": frozenset({Priority.HIGH})},
    "usual priority": {"priorities": frozenset({Priority.NORMAL})},
    "label": {"labels": {"x": "1"}},
    "labels": {"labels": {"x": "1", "y": "2"}},
    "id prefix": {"id_prefix": "a"},
    "parked": {"only_parked": True},
    "parent": {"parent_key": 5},
}
TIMES: tuple[dict[str, object], ...] = (
    {},
    {"created_from": MOMENT},
    {"created_from": MOMENT, "created_until": Timestamp(MOMENT + 5)},
)
CURSORS = ("", write_cursor(MOMENT, RunKey(7)))


async def searched(condition: dict[str, object], path: Path) -> Statements:
    """Return the statements by which a store lists runs, from the first page and from a deep one, and counts them."""
    with noted() as statements:
        harness = SqliteHarness(path)
        store = (await harness.session()).store
        for times, cursor, order in product(TIMES, CURSORS, RunOrder):
            query = RunQuery(**condition, **times, cursor=cursor, order=order)  # type: ignore[arg-type]
            await store.list_runs(query)
            await store.count_runs(query)
            await store.count_runs(query, most=3)
        await harness.close()
    return {text: bindings for text, bindings in statements.items() if re.search(r"(namespace|parent_key) = \?", text)}


@pytest.mark.parametrize("name", CONDITIONS)
async def test_a_search_reads_indexes_in_the_order_of_the_listing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    found = plans(path, await searched(CONDITIONS[name], path))
    assert len(found) > len(TIMES) * len(CURSORS) * len(RunOrder)
    assert [step for steps in found.values() for step in steps if reads_all(step)] == []
    pages = [steps for text, steps in found.items() if "LEFT JOIN runs NOT INDEXED" in text]
    # Of each of several values a page is sorted, to be merged; so is what few ids or parked runs give.
    assert max(sum("TEMP B-TREE" in step for step in steps) for steps in pages) <= len(RunStatus) + (name in SHORT)
    bounds = [step for text, steps in found.items() if "OFFSET" in text for step in steps if "SEARCH" in step]
    assert [step for step in bounds if "COVERING INDEX" not in step] == []
    assert bool(bounds) == (name in {"no tenant", "usual priority", "label", "labels", "id prefix", "parent"})


SHORT = ("id prefix", "parked")


# --- all statements ---


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Statements]:
    """A database, and all statements that random programs have executed on such ones."""
    folder = tmp_path_factory.mktemp("plans")

    async def carry_out(seed: int) -> None:
        harness = PromptSqliteHarness(folder / f"{seed}.db")
        world = World(harness)
        await world.open()
        for step in program(seed, length=60):
            await world.do(step)
        await world.everything()
        await harness.close()

    with noted() as statements:
        for seed in range(PROGRAMS):
            asyncio.run(carry_out(seed))
    usual = {text: bindings for text, bindings in statements.items() if "sqlite_schema" not in text and ";" not in text}
    return folder / "0.db", usual


def test_no_statement_reads_a_table_whole_that_grows(executed: tuple[Path, Statements]) -> None:
    path, statements = executed
    assert len(statements) > 150
    found = plans(path, statements)
    all_entries = "FROM agenda INDEXED BY sqlite_autoindex_agenda_1  ORDER BY"  # asked for page by page, by nobody else
    scans = [text for text, steps in found.items() if any(reads_all(step) for step in steps)]
    assert [text for text in scans if all_entries not in text] == []


@pytest.mark.parametrize("opened", [open_reading, open_writing])
def test_no_question_is_prepared_anew_for_other_values(
    opened: Callable[..., apsw.Connection], executed: tuple[Path, Statements]
) -> None:
    path, statements = executed
    prepared: list[str] = []

    def note(*_action: object) -> int:
        """Hear of what a statement does: SQLite tells it whenever it prepares one."""
        prepared.append(text)
        return apsw.SQLITE_OK

    with closing(opened(path, settings=SqliteSettings())) as connection:
        connection.authorizer = note
        for text, bindings in statements.items():
            if text.lstrip().startswith("SELECT"):
                list(connection.execute(text, bindings))
                assert prepared
                prepared.clear()
                list(connection.execute(text, bindings))
                assert prepared == []


NOTHING = "1000000 1000000 1000000 1000000 1000000 1000000"
"""Statistics of an index: so many rows of the table have the same value in its first column, in its first two, ..."""
EVERYTHING = "1000000 1 1 1 1 1"
FEW_ROWS = "100 1 1 1 1 1"


def test_no_statistics_change_a_plan(executed: tuple[Path, Statements], tmp_path: Path) -> None:
    """Whatever somebody's ANALYZE has found: few rows, indexes that tell nothing, or one among them that tells all."""
    path, statements = executed
    expected = plans(path, statements)
    indexes = all_indexes(path)
    assert len(indexes) > 15
    beliefs = [dict.fromkeys(indexes, FEW_ROWS), dict.fromkeys(indexes, NOTHING)]
    beliefs += [{**beliefs[1], favoured: EVERYTHING} for favoured in indexes]
    copy = copied(path, tmp_path)
    for belief in beliefs:
        believe(copy, belief)
        found = plans(copy, statements)
        assert {
            text: (expected[text], steps)
            for text, steps in found.items()
            if without_bounds(steps) != without_bounds(expected[text])
        } == {}


def is_open(connection: apsw.Connection) -> bool:
    try:
        return bool(connection.filename)
    except apsw.ConnectionClosedError:
        return False


async def test_an_opening_drops_statistics(tmp_path: Path) -> None:
    """By those of a nearly empty database a look at the whole table is as good as any."""
    harness = SqliteHarness(tmp_path / "perdure.db")
    await (await harness.session()).create("a")
    await harness.close()
    with closing(apsw.Connection(str(harness.path))) as connection:
        connection.execute("ANALYZE")
    by_key: Statements = {FIND_RUN["by key"]: (1,)}
    [before] = plans(harness.path, by_key).values()
    assert [step for step in before if reads_all(step)] == ["SCAN runs"]
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    try:
        await harness.session()
        kept = filter(is_open, opened)  # the writer opens one beside its own, for a moment
        after = [step for connection in kept for step in explained(connection, *next(iter(by_key.items())))]
    finally:
        apsw.connection_hooks.remove(opened.append)
        await harness.close()
    assert after
    assert [step for step in after if reads_all(step)] == []


Index = tuple[str, str]
"""A table and one of its indexes, by their names."""


def all_indexes(path: Path) -> list[Index]:
    marks = ", ".join("?" * len(TABLES))
    text = f"SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ({marks})"
    with closing(apsw.Connection(str(path))) as connection:
        return [*connection.execute(text, TABLES)]


def copied(path: Path, folder: Path) -> Path:
    copy = folder / "analysed.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with closing(apsw.Connection(str(copy))) as connection:
        connection.execute("ANALYZE")
    return copy


def believe(path: Path, statistics: dict[Index, str]) -> None:
    """Let SQLite believe statistics of a database."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM sqlite_stat1")
        rows = [(*index, counts) for index, counts in statistics.items()]
        connection.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", rows)
