"""How many rows the server looks at for a statement: no more for many runs, or for statistics that are not true."""

import json
from typing import Any

import pytest

from perdure.stores.postgres import following, plain, reading, sessions, task_lines, tasks
from perdure.stores.postgres.connection import BY_INDEX
from perdure.testing.store_conformance.harness import START
from perdure.torture.programs.postgres_harness import PostgresHarness

MANY = 2_000
MANY_RUNS = """
INSERT INTO runs (
    run_key, namespace, id, generation, workflow, definition_version, status, stage, progress, priority, tenant,
    created_at, updated_at, sequence, fencing_token, wake_at, request_id
)
SELECT number, 'default', 'run ' || number, 1, 'order', '1', 'running', '', 0, 2, '', 0, 0, 1, 1, number, ''
FROM generate_series(1, $1::integer) AS number
"""


async def put_many(harness: PostgresHarness) -> None:
    """Have many runs wait that nobody owns, and let the server know."""
    await harness.session("whoever makes the tables")
    await harness.execute(MANY_RUNS, MANY)
    await harness.execute("VACUUM ANALYZE runs")


async def looked_at(harness: PostgresHarness, statement: str, *arguments: object, is_write: bool = False) -> float:
    """Run a statement; return how many rows that took."""
    connection = await harness.connection()
    try:
        for setting in BY_INDEX.items() if is_write else ():
            await connection.execute("SELECT set_config($1, $2, false)", *setting)
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    finally:
        await connection.close()
    return sum(rows_of(one["Plan"]) for one in json.loads(explained))


def rows_of(plan: dict[str, Any]) -> float:
    """Count the rows that all nodes of a plan have given on or dropped."""
    rows = sum(plan.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"))
    return float(rows * plan["Actual Loops"]) + sum(rows_of(part) for part in plan.get("Plans", ()))


@pytest.mark.parametrize(
    ("statement", "arguments"), [(sessions._FREE, ([7], START)), (sessions._GIVE_BACK, (7,))], ids=["free", "give back"]
)
async def test_a_run_is_given_back_at_the_same_cost_however_many_are(
    harness: PostgresHarness, statement: str, arguments: tuple[object, ...]
) -> None:
    await put_many(harness)  # whose statistics are of a moment at which nobody owns anything
    await harness.execute("UPDATE runs SET owner = 7, wake_at = NULL")
    assert MANY <= await looked_at(harness, statement, *arguments) <= 20 * MANY


@pytest.mark.parametrize("keys", [[100], list(range(100, 200))], ids=["one", "many"])
async def test_a_commit_looks_at_the_runs_that_it_moves_however_many_their_owner_has(
    harness: PostgresHarness, keys: list[int]
) -> None:
    await put_many(harness)
    await harness.execute("UPDATE runs SET owner = 7, wake_at = NULL")
    await harness.execute("INSERT INTO lanes VALUES (7, 0, 0, 0, '{}')")
    columns: list[list[object]] = [[value] * len(keys) for value in (1, 2, "running", "", 0.0, 2, None, 0, None, 1)]
    events: list[list[object]] = [[value] * len(keys) for value in (2, "some", 1, 0, "{}", b"", 1)]
    given: list[Any] = [keys, *columns, keys, *events]
    is_single = len(keys) == 1
    commit = plain.commit_of("moved", "recorded", is_single=is_single)
    rows = [column[0] for column in given] if is_single else given
    few = await looked_at(harness, commit, 7, 0, 0, 1, *rows, is_write=True)
    assert len(keys) <= few <= 15 * len(keys) + 10
    assert await harness.fetchval("SELECT count(*) FROM history") == len(keys)


async def test_when_the_next_run_is_due_is_known_without_a_look_at_all_that_wait(harness: PostgresHarness) -> None:
    await put_many(harness)
    assert await looked_at(harness, sessions._NEXT_WAKE, ["order", "other"], ["1", "1"]) <= 20


async def test_a_claim_looks_at_no_more_than_what_it_takes(harness: PostgresHarness) -> None:
    await put_many(harness)
    assert await looked_at(harness, sessions._CLAIMABLE, MANY // 2, 10, ["order"], ["1"], None) <= 200


async def test_a_claim_looks_at_no_class_that_it_has_no_room_for(harness: PostgresHarness) -> None:
    await put_many(harness)
    await harness.execute("UPDATE runs SET priority = run_key % 5")
    await harness.execute("VACUUM ANALYZE runs")
    few, many = [
        await looked_at(harness, sessions._CLAIMABLE, MANY, limit, ["order"], ["1"], None) for limit in (10, 50)
    ]
    assert 4 * few <= many <= 5 * few + 10, "ten runs of the first class are all that is locked for ten"
    assert few <= 150


async def test_what_comes_next_in_histories_is_read_without_a_look_at_those_of_others(harness: PostgresHarness) -> None:
    await put_many(harness)
    await harness.execute("ANALYZE history")  # of a moment at which there is nothing
    await harness.execute(MANY_EVENTS, MANY)
    keys = [3, 5, 1_999]
    assert await looked_at(harness, following._EVENTS, keys, [0, 2, 5], 100, 10_000) <= 200
    assert await looked_at(harness, following._RUNS, keys) <= 30


async def test_what_is_asked_together_is_read_without_a_look_at_what_others_have(harness: PostgresHarness) -> None:
    await put_many(harness)
    await harness.execute("ANALYZE history, inbox")  # of a moment at which there is nothing
    await harness.execute(MANY_EVENTS, MANY)
    await harness.execute(MANY_MESSAGES, MANY)
    keys = [3, 5, 1_999]
    for statement in (reading._COUNTED_EVENTS, reading._INBOXES):
        assert await looked_at(harness, statement, keys, [0, 2, 5], [2, 100, 3]) <= 100
    assert await looked_at(harness, reading._RUNS_OF_KEYS, keys) <= 30
    ids = [f"run {key}" for key in keys]
    assert await looked_at(harness, reading._LATEST_OF_IDS, ["default"] * 3, ids) <= 30


async def test_where_some_runs_stand_is_known_without_a_look_at_all(harness: PostgresHarness) -> None:
    await put_many(harness)
    await harness.execute("UPDATE runs SET owner = 7, wake_at = NULL")
    assert await looked_at(harness, following._STANDINGS_AMONG, 8, ["order"], ["1"], 10, [3, 5, 1_999]) <= 50
    assert await looked_at(harness, following._STANDINGS, 8, ["order"], ["1"], 10) <= 5 * MANY


MANY_EVENTS = """
INSERT INTO history (run_key, sequence, type, version, at, data, digest)
SELECT number / 5 + 1, number % 5 + 1, 'some', 1, 0, '{}', '' FROM generate_series(0, $1::integer * 5 - 1) AS number
"""


MANY_MESSAGES = """
INSERT INTO inbox (run_key, message_id, data, at, digest)
SELECT number / 5 + 1, number, '{}', 0, '' FROM generate_series(0, $1::integer * 5 - 1) AS number
"""

MANY_TASKS = """
INSERT INTO tasks (
    run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, labels, digest, sticky_to,
    sticky_until
)
SELECT number, 1, 1, 'default', 'gpu', 'render', 2, number, '', $2::varchar, '', $3::bigint, $4::bigint
FROM generate_series($1::integer + 1, $1 + 2000) AS number
"""


@pytest.mark.parametrize("knows", [False, True], ids=["statistics of before", "statistics of now"])
async def test_a_claim_of_tasks_looks_at_none_that_demand_other_labels(
    harness: PostgresHarness, *, knows: bool
) -> None:
    await harness.session("whoever makes the tables")
    await harness.execute("VACUUM ANALYZE tasks")
    for first, labels in enumerate(("gpu=h100", "gpu=t4", "", "gpu=a100")):
        await harness.execute(MANY_TASKS, first * MANY, labels, None, None)
    if knows:
        await harness.execute("VACUUM ANALYZE tasks")
    assert await looked_at(harness, task_lines._LINES, ["gpu", "cpu"], ["gpu=a100"], ["gpu"]) <= 300
    line: tuple[object, ...] = (["gpu"], ["gpu=a100"], [2], [""])
    assert await looked_at(harness, task_lines._HEADS, *line, ["render"], 7, START, 10, [], []) <= 100
    for activity, is_read in (("render", False), ("measure", True)):
        assert await looked_at(harness, task_lines._WAITING, *line, [activity], 7, START, [is_read]) <= 20


async def test_when_a_task_is_kept_no_longer_is_known_without_a_look_at_all(harness: PostgresHarness) -> None:
    await harness.session("whoever makes the tables")
    await harness.execute(MANY_TASKS, 0, "", 8, START + 5)
    await harness.execute("VACUUM ANALYZE tasks")
    assert await looked_at(harness, tasks._NEXT, ["gpu", "cpu"], START, 7) <= 20


async def test_what_is_given_back_of_a_dead_session_is_found_without_a_look_at_what_others_have(
    harness: PostgresHarness,
) -> None:
    await harness.session("whoever makes the tables")
    for first, kept_for in enumerate((None, None, 8)):
        await harness.execute(MANY_TASKS, first * MANY, "", kept_for, kept_for and START + 5)
    await harness.execute("UPDATE tasks SET owner = 9 WHERE run_key <= $1", MANY)
    await harness.execute("VACUUM ANALYZE tasks")
    assert await looked_at(harness, tasks._FREE, [7]) <= 20
