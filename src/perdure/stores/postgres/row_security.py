"""Row-level security: a second wall between namespaces, which the server keeps, whatever a client says.

**Promise.** A role that is bound sees and writes rows of its namespaces only: through an engine, through a connection
of its own, by a statement that somebody has written by hand. The rows of a run are its namespace's: a policy
compares the namespace where there is one, and asks for a run that is seen where a row belongs to one.

**Who is bound to what** stands in `role_namespaces`, which its owner writes. The table is asked anew by each statement,
for the role that runs it: what a connection sets (as a search path) changes nothing, and a role that becomes another by
SET ROLE is that one. All of it is parsed by a search path of the server's own names, so that nobody's operator gets in,
and who can put one where the statements of engines would find it is not bound. Not bound are superusers, roles with
BYPASSRLS, and the owner of the tables, who can undo all of it; an engine that works as the owner is bound, too, where
that is forced. Nor is a role that is a member of such a one, or has a right that heeds no policy (TRUNCATE, TRIGGER,
REFERENCES, CREATE in the schema, REPLICATION, the server's files and programs): what it was granted before is taken
from it, and where it comes by such a right in another way the command refuses to bind it.

**What stays common** tells nothing of what runs hold, and each session needs it whole: `sessions` and `lanes` (who is
at work, and since when; keys of runs that it has just written, which are numbers), `key_origins`, `store_meta` (the
time; which libraries may open the database, which bound roles only read), the numbers of sequences, the advisory locks,
and the news, in which runs are called by their keys. So a bound role can learn how much is going on, and can disturb
it: by rows of sessions that it removes, by locks, by keys that it takes first. It is a wall around what is recorded,
not a fence against a tenant who wants to be in the way: such a one gets a database of its own.
What is noted of a clock that was set back is common, too, and is forgotten by sessions that have not seen all rows: so
one whose rows are secured looks at its own when it begins (`set_back.hasten_hidden`).

**What it costs.** Of each event that is written, and each row of a history that is read, the key is looked for in the
index of `runs`. Indexes do not know of namespaces: a claim passes over what is due of others, and looks at its row.

**Why a function.** A statement that creates a run and its events does not see that run while it is executed: where none
is seen, a function in plpgsql looks again, whose queries see what the statement has done so far. It names tables and
operators in full, for its caller may have others of these names. It decides nothing: see `perdure.stores.postgres`.
Asked of each event it cost a quarter of the steps.

**Upgrades.** Whoever applies migrations puts the policies on new tables in the same transaction. A migration that would
change rows which the policies hide from it fails (`row_security = off`), instead of leaving them as they are.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from perdure.errors import StoreError, UsageError
from perdure.logs import logger_named
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.names import escaped

__all__ = [
    "NAMES_OF_THE_SERVER",
    "Binding",
    "RowSecurity",
    "demand_rights",
    "forgotten_roles",
    "is_on",
    "is_there",
    "lock_all",
    "read_row_security",
    "refusing_statement",
    "secure_again",
    "securing_statements",
]


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A role, and the namespaces that it sees from now on; none: it sees nothing, and may not even ask."""

    role: str
    namespaces: tuple[str, ...]


class RowSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands: whether rows are secured, whether from the owner of the tables, too, and who is bound to what.

    `unbound` says of those roles that see or do more, nevertheless, why that is so; `forgotten` names those that the
    call has bound to nothing, since nothing is granted to them any more.
    """

    is_on: bool
    is_forced: bool
    roles: dict[str, tuple[str, ...]]
    unbound: dict[str, str] = {}
    forgotten: tuple[str, ...] = ()


def securing_statements(*, schema: str, binding: Binding | None, forced: bool | None) -> list[str]:
    """Return what secures the rows of a schema and binds a role (None: only the former); all of it may be done again.

    `forced`: whether the owner of the tables is bound, too; None leaves that as it is. Raises UsageError for names that
    the server cannot have.
    """
    # all before anything else, so that whoever is in the way costs little: see `securing.secure_rows`
    statements = [NAMES_OF_THE_SERVER, _locked(schema, [*_POLICIES, "store_meta"]), *_secured(schema)]
    if forced is not None:
        force = "FORCE" if forced else "NO FORCE"
        statements += [f"ALTER TABLE {_table(schema, table)} {force} ROW LEVEL SECURITY;" for table in _POLICIES]
    if binding is not None:
        statements += _bound(schema, binding)
    return statements


async def lock_all(connection: Connection, *, schema: str) -> None:
    """Lock what is secured before an upgrade changes any: no order of tables suits all transactions of engines."""
    tables = await connection.fetch(_TABLES, schema, [*_POLICIES, "store_meta", _ROLES], _POLICY)
    await connection.execute(_locked(schema, sorted(row["name"] for row in tables)))


def _locked(schema: str, tables: Iterable[str]) -> str:
    return f"LOCK TABLE {_tables(schema, tables)} IN ACCESS EXCLUSIVE MODE;"


async def secure_again(connection: Connection, *, schema: str) -> None:
    """Secure tables that were added since, and let the bound roles use them, within a transaction.

    Roles that are no more are forgotten: another one of such a name is not bound to what the former saw. It is known by
    having been granted nothing.
    """
    await connection.execute(NAMES_OF_THE_SERVER)
    granted: list[str] = []
    roles = _table(schema, _ROLES)
    for row in await connection.fetch(_ROLES_THERE.format(roles=roles, is_bound=_is_bound(schema))):
        if row["is_bound"]:
            granted += _granted(schema, row["role"])
        else:
            gone = "the role %r, which was bound to namespaces, is gone, or is another one by now; it is forgotten"
            _LOGGER.warning(gone, row["role"])
    back = f"SET LOCAL search_path = {_name(schema)};"
    await connection.execute("\n".join([*_secured(schema), *granted, back]))


def refusing_statement(*, schema: str, role: str) -> str:
    """Return what fails where a role sees or does more than it is bound to, by which all before it is undone."""
    return _REFUSED.format(quote=_QUOTE, unbound=_unbound(schema), role=_text(role))


async def is_on(connection: Connection, *, schema: str) -> bool:
    """Whether the rows of a schema were secured, in whole or in part."""
    found: bool = await connection.fetchval(_IS_ON, schema)
    return found


async def read_row_security(connection: Connection, *, schema: str) -> RowSecurity:
    """Return how it stands. Raises StoreError where the rows are secured in part, as by another's hand."""
    if not await is_on(connection, schema=schema):
        return RowSecurity(is_on=False, is_forced=False, roles={})
    tables = await connection.fetch(_TABLES, schema, list(_POLICIES), _POLICY)
    bare = [row["name"] for row in tables if not row["is_secured"]]
    if bare:
        raise StoreError(
            f"the rows of these tables are not secured: {', '.join(bare)}. `perdure row-security` without a role "
            f"secures them again"
        )
    roles: dict[str, tuple[str, ...]] = {}
    for row in await connection.fetch(f"SELECT role, namespace FROM {_table(schema, _ROLES)} ORDER BY 1, 2"):  # noqa: S608
        roles[row["role"]] = (*roles.get(row["role"], ()), row["namespace"])
    found = await connection.fetch(_unbound(schema))
    unbound = {row["role"]: row["reason"] for row in found}
    is_forced = all(row["is_forced"] for row in tables)
    return RowSecurity(is_on=True, is_forced=is_forced, roles=roles, unbound=unbound)


async def demand_rights(connection: Connection, *, schema: str, location: str) -> None:
    """Raise UsageError for a role that is bound, but may not use some tables, as where an older Perdure has bound it
    that does not know them."""
    lacking = [row["name"] for row in await connection.fetch(_LACKING, schema, [*_POLICIES, *_COMMON])]
    if lacking:
        raise UsageError(
            f"this role may not use these tables of {location}: {', '.join(lacking)}. It was bound to its namespaces "
            f"by an older Perdure, which does not know them, or something was taken from it since. Run `perdure "
            f"row-security` of this version for it, again with its namespaces."
        )


async def forgotten_roles(connection: Connection, *, schema: str) -> list[str]:
    """Return the roles that securing the rows again forgets."""
    if not await is_on(connection, schema=schema):
        return []
    text = _ROLES_THERE.format(roles=_table(schema, _ROLES), is_bound=_is_bound(schema))
    return [row["role"] for row in await connection.fetch(text) if not row["is_bound"]]


async def is_there(connection: Connection, *, role: str) -> bool:
    """Whether the server has a role of this name."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
    return found


# --- texts: a script, which an operator may read and run himself -----------------------------------------------------


def _secured(schema: str) -> Iterable[str]:
    runs, roles = _table(schema, "runs"), _table(schema, _ROLES)
    yield (
        f"CREATE TABLE IF NOT EXISTS {roles} (\n"
        f'    role name NOT NULL, namespace varchar COLLATE "C" NOT NULL, PRIMARY KEY (role, namespace)\n);'
    )
    yield f"ALTER TABLE {roles} ENABLE ROW LEVEL SECURITY;"
    yield from _policy(schema, _ROLES, using="role = current_user", check="false")
    yield f"DELETE FROM {roles} WHERE NOT {_is_bound(schema)};"  # noqa: S608 - texts of ours
    yield _FUNCTION.format(function=_table(schema, _SEES_RUN), runs=runs)
    own = f"namespace = ANY (ARRAY(SELECT bound.namespace FROM {roles} AS bound WHERE bound.role = current_user))"  # noqa: S608
    for table, columns in _POLICIES.items():
        yield f"ALTER TABLE {_table(schema, table)} ENABLE ROW LEVEL SECURITY;"
        # no EXISTS, for which the server may choose to read all runs first
        seen = f"(SELECT true FROM {runs} AS run WHERE run.run_key = {_name(table)}.run_key)"  # noqa: S608
        of_run = f"{seen} OR {_table(schema, _SEES_RUN)}({_name(table)}.run_key)"
        match columns:
            case "namespace":
                yield from _policy(schema, table, using=own, check=own)
            case "run":
                yield from _policy(schema, table, using=seen, check=of_run)
            case "both":
                yield from _policy(schema, table, using=own, check=f"{own} AND ({of_run})")
    yield from _fenced(schema)
    yield f"REVOKE ALL ON {_tables(schema, _all_tables())} FROM PUBLIC;"
    yield f"REVOKE CREATE ON SCHEMA {_name(schema)} FROM PUBLIC;"


def _fenced(schema: str) -> Iterable[str]:
    """Let all read which libraries may open the database, and no bound role write it."""
    table = _table(schema, "store_meta")
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
    yield from _policy(schema, "store_meta", using=_NO_FENCE, check=_NO_FENCE)
    yield f"DROP POLICY IF EXISTS {_READ_BY_ALL} ON {table};"
    yield f"CREATE POLICY {_READ_BY_ALL} ON {table} FOR SELECT USING (true);"


def _policy(schema: str, table: str, *, using: str, check: str) -> Iterable[str]:
    yield f"DROP POLICY IF EXISTS {_POLICY} ON {_table(schema, table)};"
    yield f"CREATE POLICY {_POLICY} ON {_table(schema, table)}\n    USING ({using})\n    WITH CHECK ({check});"


def _bound(schema: str, binding: Binding) -> Iterable[str]:
    roles, role = _table(schema, _ROLES), _text(binding.role)
    yield f"DELETE FROM {roles} WHERE role = {role};"  # noqa: S608 - texts of ours, and quoted
    if not binding.namespaces:
        yield from _revoked(schema, binding.role)
        return
    rows = ", ".join(f"({role}, {_text(escaped(namespace))})" for namespace in sorted(set(binding.namespaces)))
    yield f"INSERT INTO {roles} (role, namespace) VALUES {rows};"  # noqa: S608 - as above
    yield from _granted(schema, binding.role)


def _granted(schema: str, role: str) -> Iterable[str]:
    """Let a role use all tables, and no more: what it had before may be TRUNCATE or TRIGGER, which heed no policy."""
    place, name = _name(schema), _name(role)
    yield from _revoked(schema, role)
    yield f"GRANT USAGE ON SCHEMA {place} TO {name};"
    yield f"GRANT SELECT ON {_tables(schema, _ONLY_READ)} TO {name};"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_tables(schema, (*_POLICIES, *_COMMON))} TO {name};"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {place} TO {name};"
    yield f"GRANT EXECUTE ON FUNCTION {_table(schema, _SEES_RUN)}(bigint) TO {name};"


def _revoked(schema: str, role: str) -> Iterable[str]:
    place, name = _name(schema), _name(role)
    revokes = "\n    ".join(
        f"REVOKE ALL ON {what} FROM {name};"
        for what in (
            f"FUNCTION {_table(schema, _SEES_RUN)}(bigint)",
            f"ALL SEQUENCES IN SCHEMA {place}",
            _tables(schema, _all_tables()),
            f"SCHEMA {place}",
        )
    )
    if _QUOTE in revokes:
        raise UsageError(f"a name with {_QUOTE!r} in it cannot be used here: {role!r:.80}")
    yield _UNLESS_OWNER.format(quote=_QUOTE, runs=_text(_table(schema, "runs")), role=_text(role), statements=revokes)


def _is_bound(schema: str) -> str:
    """Return the condition that the role which a row names is the one that was bound: the server forgets what was
    granted to a role that is dropped."""
    return _IS_BOUND.format(runs=_text(_table(schema, "runs")))


def _unbound(schema: str) -> str:
    """Return the question which roles see or do more than they are bound to, and why."""
    return _UNBOUND.format(
        roles=_table(schema, _ROLES),
        is_bound=_is_bound(schema),
        schema=_text(schema),
        tables=_texts(_all_tables()),
        secured=_texts(_POLICIES),
    )


def _texts(names: Iterable[str]) -> str:
    return ", ".join(map(_text, names))


def _all_tables() -> list[str]:
    return [*_POLICIES, *_COMMON, *_ONLY_READ]


def _tables(schema: str, tables: Iterable[str]) -> str:
    return ", ".join(_table(schema, table) for table in tables)


def _table(schema: str, table: str) -> str:
    return f"{_name(schema)}.{_name(table)}"


def _name(name: str) -> str:
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise UsageError(f"{name!r:.80} is no name of a role: such have from 1 to {_LONGEST_NAME} bytes")
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    """Return a literal that means the same whatever `standard_conforming_strings` says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


NAMES_OF_THE_SERVER: Final = "SET LOCAL search_path = pg_catalog, pg_temp;"
"""What is parsed after it has the server's operators and functions: one for `varchar` that somebody has put where the
search path of the session leads fits better than `text`'s, and would be in the policies from then on."""

_LOGGER: Final = logger_named("perdure.store")
_LONGEST_NAME: Final = 63
_POLICY: Final = "perdure_namespaces"
_READ_BY_ALL: Final = "perdure_read_by_all"
_NO_FENCE: Final = "name <> 'oldest_library'"
_ROLES: Final = "role_namespaces"
_SEES_RUN: Final = "sees_run"
_ONLY_READ: Final = ("schema_migrations", _ROLES)
_COMMON: Final = ("sessions", "lanes", "key_origins", "store_meta")
"""Tables of which all see, and write, all, but for the version that a library must know (`schema`)."""

_POLICIES: Final[dict[str, Literal["namespace", "run", "both"]]] = {
    "runs": "namespace",
    "agenda": "namespace",
    "task_shares": "namespace",
    "history": "run",
    "inbox": "run",
    "message_requests": "both",
    "run_labels": "both",
    "locks": "both",
    "tasks": "both",
}
"""Table -> what its rows have: a namespace, by which they are seen, or a run, and then whoever sees it sees them.
Whoever writes a row that has both must see its run, too."""

_QUOTE: Final = "$revoked$"

# the owner of the tables, which may be bound, too, has rights of its own: without these it could make no upgrade; and
# a role that is gone has none
_UNLESS_OWNER: Final = """\
DO {quote} BEGIN IF EXISTS (
    SELECT FROM pg_roles WHERE rolname = {role} AND oid <> (SELECT relowner FROM pg_class WHERE oid = {runs}::regclass)
) THEN
    {statements}
END IF; END {quote};"""

_FUNCTION: Final = """\
CREATE OR REPLACE FUNCTION {function}(key bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    RETURN EXISTS (SELECT FROM {runs} AS run WHERE run.run_key OPERATOR(pg_catalog.=) key);
END
$function$;"""

# schema
_IS_ON: Final = f"SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = '{_ROLES}')"  # noqa: S608

# schema, names of tables
_LACKING: Final = """
SELECT relname::text AS name FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text) AND relname = ANY ($2::text[])
    AND relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'role_namespaces')
    AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    )
ORDER BY 1
"""

# schema, names of tables, policy
_TABLES: Final = """
SELECT relname::text AS name, relforcerowsecurity AS is_forced,
    relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = $3::text) AS is_secured
FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text)
    AND relname = ANY ($2::text[]) AND relkind IN ('r', 'p')
"""

_IS_BOUND: Final = """\
EXISTS (
    SELECT FROM pg_roles AS other, pg_class AS runs WHERE other.rolname = role AND runs.oid = {runs}::regclass AND (
        other.oid = runs.relowner OR EXISTS (
            SELECT FROM aclexplode(runs.relacl) WHERE grantee = other.oid AND privilege_type = 'SELECT'
        )
    )
)"""

_ROLES_THERE: Final = """
SELECT role, {is_bound} AS is_bound FROM (SELECT DISTINCT role FROM {roles}) AS bound ORDER BY 1
"""

_REFUSED: Final = """\
DO {quote} DECLARE why text; BEGIN
    SELECT reason INTO why FROM ({unbound}) AS found WHERE role = {role};
    IF FOUND THEN
        RAISE EXCEPTION 'the role % cannot be bound to namespaces: %', {role}, why;
    END IF;
END {quote};"""

# of each role the gravest reason, also where it has that of a role that it can become
_UNBOUND: Final = """
WITH bound AS (SELECT DISTINCT role::text AS role FROM {roles}),
place AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = {schema}),
tables AS (
    SELECT oid, relowner, relname IN ({secured}) AND NOT relforcerowsecurity AS is_free FROM pg_class
    WHERE relnamespace = (SELECT oid FROM place) AND relname IN ({tables}) AND relkind IN ('r', 'p')
),
owners AS (
    SELECT relowner AS owner FROM pg_class WHERE relnamespace = (SELECT oid FROM place)
    UNION SELECT proowner FROM pg_proc WHERE pronamespace = (SELECT oid FROM place)
    UNION SELECT oprowner FROM pg_operator WHERE oprnamespace = (SELECT oid FROM place)
    UNION SELECT typowner FROM pg_type WHERE typnamespace = (SELECT oid FROM place)
    EXCEPT SELECT relowner FROM tables
),
reasons AS (
    SELECT bound.role, other.rolname, CASE
        WHEN other.rolsuper THEN 'a superuser'
        WHEN other.rolbypassrls THEN 'a role with BYPASSRLS'
        WHEN other.rolcreaterole THEN 'a role with CREATEROLE'
        WHEN other.rolreplication THEN 'a role with REPLICATION'
        WHEN other.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
            THEN 'a role that uses files or programs of the server'
        WHEN other.oid = (SELECT nspowner FROM place)
            AND (other.oid <> own.oid OR EXISTS (SELECT FROM tables WHERE is_free))
            AND other.oid NOT IN (SELECT relowner FROM tables) THEN 'the owner of the schema'
        WHEN other.oid IN (SELECT relowner FROM tables)
            AND (other.oid <> own.oid OR EXISTS (SELECT FROM tables WHERE is_free))
            THEN 'the owner of the tables'
        WHEN other.oid IN (SELECT owner FROM owners) THEN 'a role that owns something in the schema'
        WHEN other.oid NOT IN (SELECT relowner FROM tables)
            AND has_schema_privilege(other.oid, (SELECT oid FROM place), 'CREATE')
            THEN 'a role that may create something in the schema'
        WHEN EXISTS (
            SELECT FROM tables WHERE relowner <> other.oid AND (
                has_table_privilege(other.oid, tables.oid, 'TRUNCATE, TRIGGER')
                OR has_any_column_privilege(other.oid, tables.oid, 'REFERENCES')
            )
        ) THEN 'a role that may TRUNCATE, or put a TRIGGER or REFERENCES on tables'
        WHEN EXISTS (
            SELECT namespace FROM {roles} WHERE role = other.rolname
            EXCEPT SELECT namespace FROM {roles} WHERE role = bound.role
        ) THEN 'a role that sees more'
    END AS reason
    FROM bound JOIN pg_roles AS own ON own.rolname = bound.role
        JOIN pg_roles AS other ON pg_has_role(own.oid, other.oid, 'MEMBER')
)
SELECT role, 'the server has no role of this name' AS reason FROM bound
WHERE role NOT IN (SELECT rolname FROM pg_roles)
UNION ALL SELECT role, 'it was made anew since, and was granted nothing' FROM bound
WHERE role IN (SELECT rolname FROM pg_roles) AND NOT {is_bound}
UNION ALL SELECT * FROM (
    SELECT DISTINCT ON (role) role,
        CASE WHEN rolname = role THEN 'it is ' ELSE 'it is a member of ' || rolname || ', ' END || reason AS reason
    FROM reasons WHERE reason IS NOT NULL ORDER BY role, reason LIKE 'a role that may %', rolname <> role, rolname
) AS found
ORDER BY 1
"""
