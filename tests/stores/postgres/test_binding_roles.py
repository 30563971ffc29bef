"""Which roles `perdure row-security` binds, and which it refuses: by whatever way they could see or do more."""

from typing import Final

import asyncpg
import pytest

from perdure.errors import UsageError
from perdure.stores.postgres import reading, schema, securing, sessions, statements
from perdure.stores.postgres.row_security import Binding
from perdure.stores.sql.migrations import Migration
from perdure.testing.store_conformance.harness import LEASE_SECONDS
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import PostgresServer, value
from tests.stores.postgres.test_plans import MANY, looked_at, put_many
from tests.stores.postgres.test_row_security import ROWS, B, by, execute, secured


async def test_a_role_that_may_refer_to_a_column_is_not_bound(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    async with postgres_server.database() as url:
        assert (await secured(url, roles[0], "a")).unbound == {}
        await execute(url, f"GRANT REFERENCES (run_key) ON perdure.runs TO {roles[0]}")
        assert set((await securing.look_at_rows(url)).unbound) == {roles[0]}


async def test_the_owner_is_bound_where_it_is_forced_on_all_tables_alone(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    async with postgres_server.database() as url:
        await value(url, f"CREATE SCHEMA perdure AUTHORIZATION {roles[0]}")
        own = by(roles[0], url)
        assert (await secured(own, roles[0], "a", forced=True)).unbound == {}
        await execute(url, "ALTER TABLE perdure.history NO FORCE ROW LEVEL SECURITY")
        assert (await securing.look_at_rows(url)).unbound == {roles[0]: "it is the owner of the tables"}


async def test_the_script_refuses_a_role_that_cannot_be_bound_and_leaves_nothing(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    role = f"all_of_{roles[0]}"
    async with postgres_server.database() as url:
        await secured(url, None)
        await execute(url, f"CREATE ROLE {role} LOGIN BYPASSRLS")
        scripts = {
            name: securing.securing_script(url, binding=Binding(role=name, namespaces=("a",)), forced=None)
            for name in (role, roles[0])
        }
        with pytest.raises(asyncpg.RaiseError, match=f"{role} cannot be bound to namespaces: it is a role with BYPASS"):
            await execute(url, scripts[role])
        await execute(url, scripts[roles[0]])
        assert (await securing.look_at_rows(url)).roles == {roles[0]: ("a",)}
        await execute(url, f"DROP OWNED BY {role}; DROP ROLE {role}")


# --- operators of somebody else ---------------------------------------------------------------------------------------

SAYS_TRUE: Final = """
CREATE FUNCTION {schema}.says_true(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR {schema}.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = {schema}.says_true);
"""
FOREIGN: Final = """
SELECT count(*) FROM pg_policies WHERE concat(qual, with_check) LIKE '%OPERATOR(%' AND schemaname = 'perdure'
"""


async def test_no_operator_of_another_gets_into_the_policies_by_the_script(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    """As in a database whose schema `public` is everybody's: psql looks for operators there."""
    async with postgres_server.database() as url:
        await secured(url, None)
        await execute(url, ROWS.format(namespace="b", key=B))
        await execute(url, f"GRANT CREATE ON SCHEMA public TO {roles[0]}")
        await execute(by(roles[0], url), SAYS_TRUE.format(schema="public"))
        await execute(
            url, securing.securing_script(url, binding=Binding(role=roles[0], namespaces=("a",)), forced=None)
        )
        assert await value(by(roles[0], url), "SELECT count(*) FROM perdure.runs") == 0
        assert await value(url, FOREIGN) == 0


async def test_no_operator_of_another_gets_into_the_policies_by_the_command_or_an_upgrade(
    postgres_server: PostgresServer, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_server.database() as url:
        await secured(url, None)
        await execute(url, ROWS.format(namespace="b", key=B))
        await execute(url, SAYS_TRUE.format(schema="perdure"))
        await secured(url, roles[0], "a")
        assert await value(by(roles[0], url), "SELECT count(*) FROM perdure.runs") == 0
        known = schema.migrations()
        migration = Migration(number=99, name="more", text="CREATE TABLE more (number bigint)", checksum="more")
        monkeypatch.setattr(schema, "migrations", lambda: (*known, migration))
        await prepared(url)
        assert await value(by(roles[0], url), "SELECT count(*) FROM perdure.runs") == 0
        assert await value(url, FOREIGN) == 0


async def prepared(url: str) -> None:
    """Open the database once."""
    store = PostgresHarness(url).new_store()
    await store.open(session_name="newer", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
    await store.close()


@pytest.mark.parametrize("inherits", ["INHERIT", "NOINHERIT"])
async def test_a_role_that_may_create_in_the_schema_by_another_is_not_bound(
    postgres_server: PostgresServer, roles: tuple[str, str], inherits: str
) -> None:
    """It could put an operator there that the statements of engines take."""
    group, role = f"makers_of_{roles[0]}", f"maker_of_{roles[0]}"
    async with postgres_server.database() as url:
        await secured(url, None)
        await execute(url, f"CREATE ROLE {group}; GRANT CREATE ON SCHEMA perdure TO {group}")
        await execute(url, f"CREATE ROLE {role} LOGIN {inherits} IN ROLE {group}")
        try:
            with pytest.raises(UsageError, match="a role that may create something in the schema"):
                await secured(url, role, "a")
            assert (await securing.look_at_rows(url)).roles == {}
        finally:
            for name in (role, group):
                await execute(url, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize(
    "made",
    [
        SAYS_TRUE.format(schema="perdure"),
        "CREATE FUNCTION perdure.own() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE perdure.own AS ENUM ('a')",
        "CREATE VIEW perdure.own AS SELECT 1",
    ],
    ids=["operator", "function", "type", "view"],
)
async def test_a_role_that_owns_something_in_the_schema_is_not_bound(
    postgres_server: PostgresServer, roles: tuple[str, str], made: str
) -> None:
    """What it made by a right that it had once it may change at any time."""
    async with postgres_server.database() as url:
        await secured(url, None)
        await execute(url, f"GRANT CREATE, USAGE ON SCHEMA perdure TO {roles[0]}")
        await execute(by(roles[0], url), made)
        with pytest.raises(UsageError, match="it is a role that owns something in the schema"):
            await secured(url, roles[0], "a")


async def test_who_binds_a_role_is_told_which_others_are_forgotten(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    """As where a dump was restored without rights."""
    async with postgres_server.database() as url:
        assert (await secured(url, roles[0], "a")).forgotten == ()
        await execute(url, f"REVOKE ALL ON ALL TABLES IN SCHEMA perdure FROM {roles[0]}")
        assert (await secured(url, roles[1], "b")).forgotten == (roles[0],)
        assert (await secured(url, roles[0], "a")).forgotten == ()
        await execute(url, f"REVOKE ALL ON ALL TABLES IN SCHEMA perdure FROM {roles[0]}")
        assert (await secured(url, roles[0], "a")).forgotten == (), "it was bound again"


async def test_a_role_that_is_made_anew_is_bound_to_nothing_that_the_former_saw(
    postgres_server: PostgresServer, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"anew_of_{roles[0]}"
    async with postgres_server.database() as url:
        await execute(url, f"CREATE ROLE {role} LOGIN")
        await secured(url, role, "a")
        await execute(url, f"DROP OWNED BY {role}; DROP ROLE {role}; CREATE ROLE {role} LOGIN")
        stands = await securing.look_at_rows(url)
        assert stands.unbound == {role: "it was made anew since, and was granted nothing"}
        migration = Migration(number=99, name="more", text="CREATE TABLE more (number bigint)", checksum="more")
        known = schema.migrations()
        monkeypatch.setattr(schema, "migrations", lambda: (*known, migration))
        await prepared(url)
        assert (await securing.look_at_rows(url)).roles == {}
        with pytest.raises(asyncpg.PostgresError, match="permission denied"):
            await execute(by(role, url), "SELECT FROM perdure.runs")
        assert (await secured(url, role, "b")).roles == {role: ("b",)}
        assert (await secured(url, None)).roles == {role: ("b",)}, "it is kept"
        await execute(url, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("is_revoked_before", [True, False])
async def test_who_gets_the_name_of_a_bound_role_sees_what_that_was_bound_to_unless_it_was_revoked_before(
    postgres_server: PostgresServer, roles: tuple[str, str], *, is_revoked_before: bool
) -> None:
    """The limit that docs/how-to/postgresql.md tells of: roles are known by their names."""
    former, other, elsewhere = (f"{name}_{is_revoked_before:d}_of_{roles[0]}" for name in ("former", "other", "moved"))
    async with postgres_server.database() as url:
        await execute(url, f"CREATE ROLE {former} LOGIN; CREATE ROLE {other} LOGIN")
        await secured(url, former, "a")
        await secured(url, other, "b")
        if is_revoked_before:
            await secured(url, former)
        await execute(url, f"ALTER ROLE {former} RENAME TO {elsewhere}; ALTER ROLE {other} RENAME TO {former}")
        seen = "SELECT string_agg(namespace, ' ') FROM perdure.role_namespaces"
        assert await value(by(former, url), seen) == (None if is_revoked_before else "a")
        await execute(url, f"DROP OWNED BY {former}, {elsewhere}; DROP ROLE {former}, {elsewhere}")


# --- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (sessions._CLAIMABLE, (MANY // 2, 10, ["order"], ["1"], None)),
        (sessions._NEXT_WAKE, (["order", "other"], ["1", "1"])),
        (statements.LATEST_OF_IDS, (["a"], ["run 7"])),
        (reading._LATEST_OF_IDS, (["a", "a"], ["run 7", "run 8"])),
        (reading._RUNS_OF_KEYS, ([7, 8],)),
        (statements.LOCK_RUNS, ([7, 8],)),
        (statements.INBOXES, ([7],)),
        (reading._COUNTED_EVENTS, ([7, 8], [0, 0], [10, 10])),
        (reading._INBOXES, ([7, 8], [0, 0], [10, 10])),
    ],
    ids=["claim", "next wake", "locate", "find", "find by key", "lock", "inbox", "history", "inboxes"],
)
async def test_the_server_uses_its_indexes_for_a_bound_role_too(
    postgres_server: PostgresServer, roles: tuple[str, str], statement: str, arguments: tuple[object, ...]
) -> None:
    async with postgres_server.database() as url:
        await secured(url, roles[0], "a")
        harness = PostgresHarness(url)
        await put_many(harness)
        await harness.execute("UPDATE runs SET namespace = 'a'")
        await harness.execute("INSERT INTO history SELECT 7, n, 'x', 1, 0, '', '' FROM generate_series(1, 10) AS n")
        await harness.execute("VACUUM ANALYZE runs, history")
        bound = PostgresHarness(by(roles[0], url))
        assert await looked_at(bound, statement, *arguments) <= 250
        await harness.close()
