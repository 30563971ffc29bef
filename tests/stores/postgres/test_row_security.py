"""Row-level security: a role sees and writes the rows of its namespaces, whatever it says to the server.

The conformance suite is run by a bound role, too: what a store must do it does on rows that are secured.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import asyncpg
import pytest
from msgspec import structs

from perdure import Context, Engine, Settings, Signal, activity, workflow
from perdure.errors import RunNotFoundError, SchemaTooNewError, StoreUnavailableError, UsageError
from perdure.kernel.events import ParentLink, RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation
from perdure.ports.agenda import AgendaQuery
from perdure.ports.store import LockQuery, RunQuery
from perdure.ports.tasks import TaskQuery
from perdure.ports.verification import VerificationWish
from perdure.stores.postgres import row_security, schema, securing
from perdure.stores.postgres.row_security import Binding, RowSecurity
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.migrations import Migration
from perdure.testing.store_conformance import START, StoreConformance, StoreHarness, StoreSession
from perdure.testing.store_conformance.harness import FAR, LEASE_SECONDS, creation, later
from perdure.testing.store_conformance.reading import HOSTILE_NAMES
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import PostgresServer, emptied, until_waiting, value

OF_THE_SUITE: Final = ("default", "elsewhere", "here", "her", "here ", "other", "there", "x", *HOSTILE_NAMES)
NOW: Final = Timestamp(1_800_000_000_000_000)


def by(role: str, url: str) -> str:
    """Return the URL by which a role comes."""
    return url.replace("postgres@", f"{role}@", 1)


async def secured(url: str, role: str | None, *namespaces: str, forced: bool | None = None) -> RowSecurity:
    binding = None if role is None else Binding(role=role, namespaces=namespaces)
    return await securing.secure_rows(url, binding=binding, forced=forced, now=NOW)


async def bind(url: str, role: str, *namespaces: str) -> None:
    """Bind a role that may use the tables already, sooner than by all statements of the command."""
    harness = PostgresHarness(url)
    await harness.execute("DELETE FROM role_namespaces WHERE role = $1", role)
    await harness.execute("INSERT INTO role_namespaces SELECT $1, unnest($2::varchar[])", role, list(namespaces))


async def execute(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def secured_database(postgres_server: PostgresServer, roles: tuple[str, str]) -> Iterator[str]:
    """Give the URL of a database whose rows are secured, by the superuser."""
    with asyncio.Runner() as runner:
        making = postgres_server.database()
        url = runner.run(making.__aenter__())
        for role in roles:
            runner.run(secured(url, role, role))
        yield url
        for role in roles:
            runner.run(value(url, f"DROP OWNED BY {role}"))
        runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def url(secured_database: str, roles: tuple[str, str]) -> AsyncIterator[str]:
    """Give it empty, with the first role bound to `a` and the second to `b`."""
    await bind(secured_database, roles[0], "a")
    await bind(secured_database, roles[1], "b")
    yield secured_database
    await emptied(secured_database)


class BoundHarness(PostgresHarness):
    """The stores are a bound role's; what is done behind their backs is done by the superuser."""

    def __init__(self, url: str, role: str) -> None:
        super().__init__(url)
        self._role: Final = role

    def new_store(self) -> PostgresStore:
        return PostgresHarness(by(self._role, self.url), self.settings).new_store()


@pytest.mark.another_way
class TestBoundRole(StoreConformance):
    @pytest.fixture
    async def harness(self, url: str, roles: tuple[str, str]) -> AsyncIterator[StoreHarness]:
        await bind(url, roles[0], *OF_THE_SUITE)
        harness = BoundHarness(url, roles[0])
        yield harness
        await harness.close()


# --- what a role can do by hand ---------------------------------------------------------------------------------------

ROWS: Final = """
INSERT INTO perdure.runs (run_key, namespace, id, generation, workflow, definition_version, status, stage, progress,
    priority, tenant, created_at, updated_at, sequence, fencing_token, wake_at, request_id)
VALUES ({key}, '{namespace}', 'run', 1, 'order', '1', 'running', '', 0, 2, '', 0, 0, 1, 1, 0, '');
INSERT INTO perdure.run_labels VALUES ({key}, 'name', 'value', '{namespace}', 0);
INSERT INTO perdure.history VALUES ({key}, 1, 'run_created', 1, 0, '{{}}', '');
INSERT INTO perdure.inbox (run_key, message_id, data, at, digest) VALUES ({key}, 'm', '{{}}', 0, '');
INSERT INTO perdure.message_requests VALUES ('{namespace}', 'run', 'request', {key});
INSERT INTO perdure.locks VALUES ({key}, '{namespace}', 'k', {key}, 1, NULL, '{{}}', 0, 0);
INSERT INTO perdure.agenda VALUES ('{namespace}', 'schedule', 'id', 1, 0, false, '{{}}', '[]', '');
INSERT INTO perdure.tasks (run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, digest)
VALUES ({key}, 1, 1, '{namespace}', 'gpu', 'render', 2, 0, '{{}}', '');
INSERT INTO perdure.task_shares VALUES ('{namespace}', 'gpu', 2, '{namespace}', 0, 0, 0);
"""
"""A row in each table, of the run that has this key in this namespace."""

A, B = RunKey(1 << 40), RunKey(2 << 40)
INSERTS: Final = tuple(statement.strip() for statement in ROWS.split(";") if statement.strip())
COMMON: Final = {"run_key", "namespace"}


@pytest.fixture
async def filled(url: str) -> str:
    """Give the database with a run in each namespace."""
    for namespace, key in (("a", A), ("b", B)):
        await execute(url, ROWS.format(namespace=namespace, key=key))
    return url


async def test_every_table_that_holds_what_is_of_a_run_is_secured(url: str) -> None:
    query = """
        SELECT array_agg(DISTINCT table_name::text) FROM information_schema.columns
        WHERE table_schema = 'perdure' AND column_name IN ('run_key', 'namespace', 'data')
    """
    found = await value(url, query)
    assert isinstance(found, list)
    assert set(found) == {*row_security._POLICIES, "role_namespaces"}
    every = await value(url, "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'perdure'")
    assert isinstance(every, list)
    assert set(every) == {*row_security._POLICIES, *row_security._COMMON, *row_security._ONLY_READ}


@pytest.mark.parametrize("table", row_security._POLICIES)
async def test_a_statement_by_hand_meets_no_row_of_another_namespace(
    filled: str, roles: tuple[str, str], table: str
) -> None:
    a, b = [await asyncpg.connect(by(role, filled)) for role in roles]
    try:
        assert await a.fetchval(f"SELECT count(*) FROM perdure.{table}") == 1
        [row], [other] = [await one.fetch(f"SELECT * FROM perdure.{table}") for one in (a, b)]
        assert row != other
        for name in COMMON & set(row.keys()):
            assert row[name] in {A, "a"}
        column = "at" if table == "inbox" else next(iter(row.keys()))
        assert await a.execute(f"UPDATE perdure.{table} SET {column} = {column}") == "UPDATE 1"
        assert await a.execute(f"DELETE FROM perdure.{table}") == "DELETE 1"
        assert await b.fetchval(f"SELECT count(*) FROM perdure.{table}") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await a.execute(f"TRUNCATE perdure.{table}")
    finally:
        await a.close()
        await b.close()


@pytest.mark.parametrize("statement", INSERTS, ids=lambda statement: statement.split()[2])
async def test_no_row_is_written_into_another_namespace_by_hand(
    filled: str, roles: tuple[str, str], statement: str
) -> None:
    """Also where whoever writes has a table `runs` of his own, in which the run is."""
    connection = await asyncpg.connect(by(roles[0], filled))
    try:
        await connection.execute(f"CREATE TEMP TABLE runs AS SELECT {B}::bigint AS run_key")
        await connection.execute("SET search_path = pg_temp, perdure")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute(statement.format(namespace="b", key=B))
        table = statement.split()[2]
        columns = {"namespace": "'b'"} if table == "perdure.runs" else {"run_key": B, "namespace": "'b'"}
        [row] = await connection.fetch(f"SELECT * FROM {table}")
        for column in columns.keys() & set(row.keys()):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(f"UPDATE {table} SET {column} = {columns[column]}")
    finally:
        await connection.close()


async def test_who_is_bound_to_what_is_written_by_the_owner_alone(filled: str, roles: tuple[str, str]) -> None:
    connection = await asyncpg.connect(by(roles[0], filled))
    try:
        assert await connection.fetchval("SELECT array_agg(namespace) FROM perdure.role_namespaces") == ["a"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"INSERT INTO perdure.role_namespaces VALUES ('{roles[0]}', 'b')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE perdure.role_namespaces SET namespace = 'b'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("ALTER TABLE perdure.runs DISABLE ROW LEVEL SECURITY")
    finally:
        await connection.close()


async def test_which_libraries_may_open_a_database_is_no_bound_role_s_to_say(
    url: str, roles: tuple[str, str], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.migrations()
    migration = Migration(number=len(known) + 1, name="more", text="CREATE TABLE more (number bigint)", checksum="more")
    async with postgres_server.database() as fresh:
        with monkeypatch.context() as newer:
            newer.setattr(schema, "migrations", lambda: (*known, migration))
            await secured(fresh, roles[0], "a")
        own = by(roles[0], fresh)
        said = "INSERT INTO perdure.store_meta VALUES ('oldest_library', 0) ON CONFLICT (name) DO UPDATE SET value = 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await execute(own, said)
        await execute(own, "INSERT INTO perdure.store_meta VALUES ('latest_time', 0)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await execute(own, "UPDATE perdure.store_meta SET name = 'oldest_library' WHERE name = 'latest_time'")
        await execute(own, "UPDATE perdure.store_meta SET value = 0 WHERE name = 'oldest_library'")
        await execute(own, "DELETE FROM perdure.store_meta WHERE name = 'oldest_library'")
        fence = "SELECT value FROM perdure.store_meta WHERE name = 'oldest_library'"
        assert [await value(who, fence) for who in (own, fresh)] == [migration.number] * 2
        with pytest.raises(SchemaTooNewError):
            await session_of(fresh, roles[0])


# --- what a store and an engine of a role can do ----------------------------------------------------------------------


async def session_of(url: str, role: str) -> StoreSession:
    session = StoreSession(PostgresHarness(by(role, url)).new_store())
    await session.open(name=role, lease_seconds=LEASE_SECONDS)
    return session


async def test_a_session_finds_nothing_of_another_namespace(filled: str, roles: tuple[str, str]) -> None:
    session = await session_of(filled, roles[0])
    store = session.store
    try:
        assert await store.find(RunRef(namespace="b", id="run")) is None
        assert await store.find(B) is None
        assert [await store.read_history(B), await store.read_inbox(B)] == [[], []]
        assert not (await store.list_runs(RunQuery(namespace="b"))).runs
        assert await store.count_runs(RunQuery(namespace="b")) == 0
        assert not await store.list_locks(LockQuery(namespace="b"))
        assert not await store.list_tasks(TaskQuery(namespace="b"))
        assert {entry.key.namespace for entry in await store.list_agenda(AgendaQuery())} == {"a"}
        assert [found.run_key for found in (await store.verify(VerificationWish(now=START))).damaged] == [A]
        assert [run.summary.ref.namespace for run in await session.claim()] == ["a"]
        assert await store.remove_runs([B]) == []
        assert await store.read_whole(B) is None
        with pytest.raises(StoreUnavailableError, match="perdure row-security"):
            await session.create("new", namespace="b")
    finally:
        await store.close()


async def test_a_role_that_an_older_library_has_bound_is_told_what_to_do(url: str, roles: tuple[str, str]) -> None:
    """It knows of no table that came later, and every claim would fail."""
    await execute(url, f"REVOKE INSERT ON perdure.task_shares FROM {roles[0]}")
    with pytest.raises(UsageError, match=r"may not use these tables of .*: task_shares\. .* `perdure row-security`"):
        await session_of(url, roles[0])
    await secured(url, roles[0], "a")
    session = await session_of(url, roles[0])
    await session.store.close()


async def test_each_takes_over_what_is_its_own_of_a_session_that_has_died(url: str, roles: tuple[str, str]) -> None:
    """Whoever looks first, and forgets the session, leaves the runs that it does not see to those who do."""
    harness = PostgresHarness(url)
    both = await harness.session()
    for namespace in ("a", "b"):
        assert await both.store.commit([creation(both.store.new_run_key(), namespace, namespace=namespace)])
    assert len(await both.claim()) == 2
    await harness.kill(both)
    sessions = [await session_of(url, role) for role in roles]
    try:
        for session, namespace in zip(sessions, ("a", "b"), strict=True):
            assert await session.store.free_expired(now=later(1)) == 1
            assert [run.summary.ref.id for run in await session.claim()] == [namespace]
    finally:
        for session in sessions:
            await session.store.close()


async def test_a_session_that_begins_hastens_what_a_clock_that_was_ahead_has_left_behind(
    filled: str, roles: tuple[str, str]
) -> None:
    """Others that saw the clock set back did not see these runs, and what they noted of it is forgotten by now."""
    put_off = f"UPDATE perdure.runs SET wake_at = {FAR}, end_at = {FAR}, updated_at = {FAR}"
    noted = "INSERT INTO perdure.store_meta (name, value) VALUES ('last_set_back', 0)"
    await execute(filled, f"{put_off}; UPDATE perdure.inbox SET at = {FAR}; {noted}")
    await execute(filled, ROWS.format(namespace="b", key=B + 1).replace("'run'", "'sleeps'").split(";")[0])
    await execute(filled, f"UPDATE perdure.runs SET wake_at = {FAR} WHERE id = 'sleeps'")
    session = await session_of(filled, roles[1])
    try:
        found = f"array_agg((namespace, id, wake_at < {FAR}, end_at < {FAR})::text ORDER BY run_key)"
        assert await value(filled, f"SELECT {found} FROM perdure.runs") == [
            "(a,run,f,f)",
            "(b,run,t,t)",
            "(b,sleeps,f,)",
        ]
    finally:
        await session.store.close()


approval = Signal("approval of a namespace", str)


@activity(name="name of a namespace")
async def named(name: str) -> str:
    return f"done for {name}"


@workflow(name="of a namespace")
async def approved(ctx: Context, name: str) -> str:
    done = await named(name)
    who = await ctx.wait_for(approval)
    return f"{done} by {who}"


async def test_engines_of_two_roles_share_a_database_and_nothing_in_it(url: str, roles: tuple[str, str]) -> None:
    async with (
        Engine(by(roles[0], url), namespace="a") as a,
        Engine(by(roles[1], url), namespace="b") as b,
        Engine(by(roles[0], url), namespace="b") as spy,
    ):
        runs = [await engine.start(approved, name, id="same") for engine, name in ((a, "a"), (b, "b"))]
        with pytest.raises(RunNotFoundError):
            await spy.get_run("same")
        for run, who in zip(runs, ("ann", "bob"), strict=True):
            await run.signal(approval, who)
        assert [await run.result() for run in runs] == ["done for a by ann", "done for b by bob"]
        assert await spy.count_runs() == 0


_gates: dict[str, asyncio.Event] = {}


@activity(name="gated, of a namespace")
async def gated() -> None:
    await _gates["all"].wait()


@workflow(name="gated run of a namespace")
async def gated_run(_: Context) -> None:
    await gated()


async def test_a_loaded_worker_gives_runs_to_one_of_its_role_and_to_none_that_would_not_see_them(
    url: str, roles: tuple[str, str]
) -> None:
    _gates["all"] = asyncio.Event()
    one_slot = Settings(loop_slots=1, lease_seconds=600.0)
    mine, others = by(roles[0], url), by(roles[1], url)
    async with Engine(mine, settings=one_slot, namespace="a") as loaded, Engine(others) as other:
        runs = [await loaded.start(gated_run) for _ in range(3)]

        async def look(idle: Engine) -> int:
            for engine in (idle, loaded, loaded):
                await engine.worker.sharing.look()
            return loaded.worker.dispatcher.waiting

        assert await look(other) == 2
        async with Engine(mine) as own:
            assert await look(own) == 0
            _gates["all"].set()
            for run in runs:
                await run.result()


@workflow(name="forged in a namespace")
async def forged(ctx: Context) -> str:
    return "forged"


@workflow(name="parent in a namespace")
async def parent(ctx: Context) -> str:
    return await ctx.run_child(approved, "b", id="child")


def forged_child(session: StoreSession, operation: int) -> Creation:
    """Return the creation of a run of `a` that says it is the child which this operation of a run of `b` asked for."""
    key, version = session.store.new_run_key(), forged.version
    sound = creation(key, f"forged {operation}", namespace="a", workflow=forged.name, version=version, input=b"[]")
    assert isinstance(sound.created.event, RunCreated)
    link = ParentLink(run_key=1, ref=RunRef(namespace="b", id="parent"), operation=Operation(operation))
    event = structs.replace(sound.created.event, parent=link)
    return structs.replace(sound, created=RecordedEvent(1, sound.created.at, event))


async def until_none(url: str, runs: str) -> None:
    async with asyncio.timeout(20):
        while await value(url, f"SELECT count(*) FROM perdure.runs WHERE {runs}"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_run_of_one_namespace_is_nobodys_child_in_another_whatever_its_history_says(
    url: str, roles: tuple[str, str]
) -> None:
    """An engine that is not bound goes on with what a bound role has written, and may write everywhere."""
    async with Engine(by(roles[1], url), namespace="b") as b, Engine(url):
        run = await b.start(parent, id="parent")
        await until_none(url, "NOT EXISTS (SELECT FROM perdure.runs WHERE id = 'child')")
        session = await session_of(url, roles[0])
        assert all([await session.store.commit([forged_child(session, operation)]) for operation in (1, 2, 3)])
        await session.store.close()
        await until_none(url, "namespace = 'a' AND parked IS NULL AND closed_at IS NULL")
        assert await value(url, "SELECT count(parked) FROM perdure.runs WHERE namespace = 'a'") == 3
        await (await b.get_run("child")).signal(approval, "bob")
        assert await run.result() == "done for b by bob"


# --- the command's part -----------------------------------------------------------------------------------------------


async def test_securing_again_changes_nothing_and_a_role_that_is_revoked_sees_nothing(
    filled: str, roles: tuple[str, str]
) -> None:
    before = await secured(filled, None)
    assert before.roles == {roles[0]: ("a",), roles[1]: ("b",)}
    assert await secured(filled, roles[1], "b") == before
    assert (await secured(filled, roles[1], "b", "a")).roles[roles[1]] == ("a", "b")
    assert roles[1] not in (await secured(filled, roles[1])).roles
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await value(by(roles[1], filled), "SELECT count(*) FROM perdure.runs")
    await secured(filled, roles[1], "b")
    assert await value(by(roles[1], filled), "SELECT count(*) FROM perdure.runs") == 1
    with pytest.raises(UsageError, match="no name of a role"):
        await secured(filled, "", "a")


async def test_securing_rows_is_tried_again_where_it_and_an_engine_are_in_each_other_s_way(filled: str) -> None:
    """An engine's claim looks at tasks first, and then at their runs."""
    claim = await asyncpg.connect(filled)
    try:
        await claim.execute("SET deadlock_timeout = '1h'")  # so that the server ends the other one
        async with claim.transaction():
            await claim.fetch("SELECT FROM perdure.tasks")
            securing_all = asyncio.create_task(secured(filled, None))
            await until_waiting(filled, 1)
            assert len(await claim.fetch("SELECT FROM perdure.runs FOR UPDATE")) == 2
        assert (await securing_all).is_on
    finally:
        await claim.close()


async def test_the_owner_is_bound_where_that_is_forced(postgres_server: PostgresServer, roles: tuple[str, str]) -> None:
    owner = roles[0]
    async with postgres_server.database() as url:
        await value(url, f"CREATE SCHEMA perdure AUTHORIZATION {owner}")
        own = by(owner, url)
        await secured(own, None)
        await execute(url, ROWS.format(namespace="b", key=B))
        count = "SELECT count(*) FROM perdure.history"
        assert await value(own, count) == 1
        with pytest.raises(UsageError, match="it is the owner of the tables"):
            await secured(own, owner, "a")
        forced = await secured(own, owner, "a", forced=True)
        assert (forced.is_forced, forced.unbound) == (True, {})
        assert await value(own, count) == 0
        undone = await secured(own, None, forced=False)
        assert (undone.is_forced, undone.unbound) == (False, {owner: "it is the owner of the tables"})
        assert await value(own, count) == 1


async def test_a_role_keeps_no_right_of_before_that_heeds_no_policy(filled: str, roles: tuple[str, str]) -> None:
    await execute(filled, f"GRANT ALL ON ALL TABLES IN SCHEMA perdure TO PUBLIC, {roles[0]}")
    await execute(filled, f"GRANT ALL ON SCHEMA perdure TO PUBLIC, {roles[0]}")
    before = await securing.look_at_rows(filled)
    assert set(before.unbound) == {*roles}, "both have it by PUBLIC"
    assert (await secured(filled, roles[0], "a")).unbound == {}
    for attempt in (
        "TRUNCATE perdure.history",
        "CREATE TRIGGER of_a BEFORE UPDATE ON perdure.runs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE FUNCTION perdure.trojan() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ):
        with pytest.raises(asyncpg.PostgresError, match="permission denied"):
            await execute(by(roles[0], filled), attempt)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("SUPERUSER", "it is a superuser"),
        ("BYPASSRLS", "it is a role with BYPASSRLS"),
        ("CREATEROLE", "it is a role with CREATEROLE"),
        ("REPLICATION", "it is a role with REPLICATION"),
        ("IN ROLE pg_execute_server_program", "a member of pg_execute_server_program, a role that uses files or"),
        ("IN ROLE pg_read_server_files", "a member of pg_read_server_files, a role that uses files or programs"),
        ("NOINHERIT IN ROLE pg_write_server_files", "a member of pg_write_server_files, a role that uses files or"),
        ("IN ROLE {owner}", "it is a member of {owner}, the owner of the tables"),
        ("NOINHERIT IN ROLE {owner}", "it is a member of {owner}, the owner of the tables"),
        ("IN ROLE {other}", "it is a member of {other}, a role that sees more"),
        ("IN ROLE {group}", "it is a role that may TRUNCATE"),
        ("NOINHERIT IN ROLE {group}", "it is a member of {group}, a role that may TRUNCATE"),
    ],
)
async def test_a_role_that_has_more_by_another_way_is_not_bound(
    postgres_server: PostgresServer, roles: tuple[str, str], made: str, reason: str
) -> None:
    names = {"owner": roles[0], "other": roles[1], "group": f"group_of_{roles[0]}"}
    role = f"c_of_{roles[0]}"
    async with postgres_server.database() as url:
        await value(url, f"CREATE SCHEMA perdure AUTHORIZATION {roles[0]}")
        own = by(roles[0], url)
        await secured(own, roles[1], "b")
        await execute(url, f"CREATE ROLE {names['group']}; GRANT TRUNCATE ON perdure.history TO {names['group']}")
        await execute(url, f"CREATE ROLE {role} LOGIN {made.format(**names)}")
        try:
            with pytest.raises(UsageError, match=reason.format(**names)):
                await secured(own, role, "a")
            assert (await securing.look_at_rows(own)).roles == {roles[1]: ("b",)}
            await value(url, f"INSERT INTO perdure.role_namespaces VALUES ('{role}', 'a')")
            assert set((await securing.look_at_rows(own)).unbound) == {role}
        finally:
            for name in (role, names["group"]):
                await execute(url, f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_who_may_drop_the_tables_is_not_bound(postgres_server: PostgresServer, roles: tuple[str, str]) -> None:
    async with postgres_server.database() as url:
        await secured(url, roles[0], "a")
        await execute(url, f"ALTER SCHEMA perdure OWNER TO {roles[0]}")
        assert (await securing.look_at_rows(url)).unbound == {roles[0]: "it is the owner of the schema"}
        await execute(url, "ALTER SCHEMA perdure OWNER TO CURRENT_USER")


async def test_a_bound_role_writes_where_functions_are_nobodys_by_default(
    postgres_server: PostgresServer, roles: tuple[str, str]
) -> None:
    async with postgres_server.database() as url:
        await execute(url, "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        await secured(url, roles[0], "a")
        session = await session_of(url, roles[0])
        try:
            await session.create("new", namespace="a")
        finally:
            await session.store.close()


async def test_a_role_that_is_gone_is_told_of_and_forgotten_and_stops_no_upgrade(
    postgres_server: PostgresServer, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_server.database() as url:
        with pytest.raises(UsageError, match="has no role 'gone'"):
            await secured(url, "gone", "a")
        await secured(url, roles[0], "a")
        assert (await secured(url, "gone")).roles == {roles[0]: ("a",)}, "nothing to revoke"
        await execute(url, "INSERT INTO perdure.role_namespaces VALUES ('gone', 'a')")
        assert (await securing.look_at_rows(url)).unbound == {"gone": "the server has no role of this name"}
        await execute(url, securing.securing_script(url, binding=Binding(role="gone", namespaces=()), forced=None))
        assert (await securing.look_at_rows(url)).roles == {roles[0]: ("a",)}
        await execute(url, "INSERT INTO perdure.role_namespaces VALUES ('gone', 'a')")
        migration = Migration(number=99, name="more", text="CREATE TABLE more (number bigint)", checksum="more")
        known = schema.migrations()
        monkeypatch.setattr(schema, "migrations", lambda: (*known, migration))
        store = PostgresHarness(url).new_store()
        await store.open(session_name="newer", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
        await store.close()
        stands = await securing.look_at_rows(url)
        assert (stands.roles, stands.unbound) == ({roles[0]: ("a",)}, {})


MORE: Final = "CREATE TABLE more (run_key bigint NOT NULL, namespace varchar NOT NULL);"


async def test_a_table_that_a_migration_adds_is_usable_by_the_bound_and_a_hidden_row_stops_it(
    url: str, roles: tuple[str, str], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_server.database() as fresh:
        await value(fresh, f"CREATE SCHEMA perdure AUTHORIZATION {roles[0]}")
        own = by(roles[0], fresh)
        await secured(own, roles[0], "a", forced=True)
        await secured(own, roles[1], "b")
        migration = Migration(number=99, name="more", text=MORE, checksum="more")
        hidden = Migration(number=99, name="hidden", text="UPDATE runs SET stage = ''", checksum="hidden")
        known = schema.migrations()
        monkeypatch.setattr(schema, "migrations", lambda: (*known, hidden))
        with pytest.raises(StoreUnavailableError, match="row-level security"):
            await secured(own, None)
        monkeypatch.setattr(schema, "migrations", lambda: (*known, migration))
        monkeypatch.setattr(row_security, "_COMMON", (*row_security._COMMON, "more"))
        store = PostgresHarness(own).new_store()
        await store.open(session_name="newer", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
        await store.close()
        assert await value(by(roles[1], fresh), "SELECT count(*) FROM perdure.more") == 0
