"""Each command on a database of a PostgreSQL server: it works, or says what is used there instead."""

import json
from pathlib import Path

import pytest

from perdure import Engine
from perdure.cli.finding import Verdict
from perdure.cli.server_examination import server_checks
from perdure.errors import UsageError
from perdure.ports.store import StoreStatus
from perdure.stores.opening import open_store
from tests.cli.runs import fill, perdure
from tests.postgres_server import value

COMMANDS = {
    "list": (0, "done"),
    "show failed": (0, "the reactor is hot"),
    "history done": (0, "run_completed"),
    "replay --from-store --app shop": (1, "histories replayed"),
    "locks": (0, "No locks"),
    "waiting": (0, "No start waits"),
    "schedules list": (0, ""),
    "verify": (0, "nothing is found damaged"),
    "verify done": (0, "1 runs"),
    "verify missing": (3, "there is no run"),
    "verify --repair": (2, "its backups bring back"),
    "signal waiting review true": (0, "is in the inbox"),
    "retry failed": (0, "goes on after"),
    "cancel family": (0, "asked to cancel"),
    "export --to runs.jsonl": (0, "runs.jsonl"),
    "import runs.jsonl --skip-existing": (0, "were there already"),
    "prune --older-than 1h --dry-run": (0, "None was"),
    "compact": (2, "autovacuum"),
    "backup --to copy.db": (2, "pg_dump"),
    "replicate --to copies": (2, "pg_dump"),
}


@pytest.mark.parametrize("command", ["list", "doctor", "verify", "prune --older-than 1h --no-archive"])
async def test_a_command_that_reads_makes_no_tables(postgres: str, tmp_path: Path, command: str) -> None:
    called = perdure(*command.split(), directory=tmp_path, PERDURE_URL=postgres)
    assert called.code == 1
    assert "there are no tables of Perdure" in called.out + called.err
    assert await value(postgres, "SELECT count(*) FROM pg_namespace WHERE nspname = 'perdure'") == 0


async def test_each_command_works_or_says_what_to_use_instead(emptied_postgres: str, tmp_path: Path) -> None:
    await fill(emptied_postgres)
    (tmp_path / "shop.py").touch()  # which has no code for any run
    for command, (code, text) in COMMANDS.items():
        called = perdure(*command.split(), directory=tmp_path, PERDURE_URL=emptied_postgres)
        assert (command, called.code, called.err * (called.code != code)) == (command, code, "")
        assert text in called.out + called.err, command


async def test_the_doctor_examines_the_server(emptied_postgres: str, tmp_path: Path) -> None:
    other = open_store(emptied_postgres)
    await other.open(session_name="other", lease_seconds=30, on_changes=lambda _: None)
    called = perdure("doctor", "--json", directory=tmp_path, PERDURE_URL=emptied_postgres)
    await other.close()
    checks = {check["name"]: check for check in called.json["checks"]}
    assert set(checks) == {
        "perdure", "python", "asyncpg", "database", "durability", "encryption", "connections", "transactions",
        "sessions", "agenda", "runs", "parked",
    }  # fmt: skip
    assert {name for name, check in checks.items() if check["verdict"] != "ok"} == {"durability"}
    assert "fsync off" in checks["durability"]["finding"], "as a throw-away server's"
    assert checks["sessions"]["finding"].startswith("alive: other (process ")


SOUND = {
    "server": "18.6",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_checksums": "on",
    "encryption": "TLSv1.3",
    "address": "10.0.0.1",
    "connections": "5",
    "max_connections": "100",
    "oldest_transaction_seconds": "0",
    "present": "worker (process 7 on host)",
    "absent": "",
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, {}),
        ({"fsync": "off", "synchronous_commit": "off"}, {"durability": Verdict.FAIL}),
        ({"full_page_writes": "off"}, {"durability": Verdict.FAIL}),
        ({"synchronous_commit": "off"}, {"durability": Verdict.WARN}),
        ({"synchronous_commit": "remote_apply"}, {}),
        ({"encryption": ""}, {"encryption": Verdict.WARN}),
        ({"encryption": "", "address": "::1"}, {}),
        ({"encryption": "", "address": ""}, {}),
        ({"connections": "80"}, {"connections": Verdict.WARN}),
        ({"oldest_transaction_seconds": "300"}, {"transactions": Verdict.WARN}),
        ({"absent": "gone (process 8 on host)"}, {"sessions": Verdict.WARN}),
    ],
)
def test_what_a_server_tells_is_judged(facts: dict[str, str], expected: dict[str, Verdict]) -> None:
    status = StoreStatus(location="h", schema_version=1, size_bytes=0, facts=SOUND | facts)
    found = {check.name: check.verdict for check in server_checks(status) if check.verdict is not Verdict.OK}
    assert found == expected


async def test_nothing_is_repaired_in_a_database_of_a_server(emptied_postgres: str) -> None:
    async with Engine(emptied_postgres, works=False) as engine:
        assert (await engine.verify()).is_sound
        with pytest.raises(UsageError, match="its backups bring back"):
            await engine.verify(repair=True)


async def test_rows_are_secured_by_a_command_that_also_prints_what_it_would_run(postgres: str, tmp_path: Path) -> None:
    role = f"reader_{Path(postgres.partition('?')[0]).name}"
    secure = ("row-security", role, "here", "it's")
    shown = perdure("row-security", "--show", directory=tmp_path, PERDURE_URL=postgres)
    assert (shown.code, "not secured" in shown.out) == (0, True)
    script = perdure(*secure, "--sql", directory=tmp_path, PERDURE_URL=postgres)
    assert "cannot be bound to namespaces" in script.out, "it refuses what the command does"
    assert "E'it''s'" in script.out
    await value(postgres, f"CREATE ROLE {role} LOGIN")
    try:
        called = perdure(*secure, directory=tmp_path, PERDURE_URL=postgres)
        assert (called.code, called.err) == (0, "")
        assert called.out.splitlines()[-1] == f"{role} sees here, it's"
        assert called.out == perdure(*secure, directory=tmp_path, PERDURE_URL=postgres).out
        revoked = perdure("row-security", role, "--revoke", "--json", directory=tmp_path, PERDURE_URL=postgres)
        stands = {"is_on": True, "is_forced": False, "roles": {}, "unbound": {}, "forgotten": []}
        assert json.loads(revoked.out) == stands
        await value(postgres, "INSERT INTO perdure.role_namespaces VALUES ('gone', 'here')")
        again = perdure("row-security", directory=tmp_path, PERDURE_URL=postgres)
        assert again.out.splitlines()[-1].startswith("gone is forgotten: ")
    finally:
        await value(postgres, f"DROP OWNED BY {role}")
        await value(postgres, f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("row-security", "role"), "which namespaces"),
        (("row-security", "role", "here", "--revoke"), "which namespaces"),
        (("row-security", "--revoke"), "name the role first"),
        (("row-security", "--db", "sqlite:///orders.db"), "a file of its own"),
    ],
)
def test_securing_rows_needs_a_server_and_a_role_with_namespaces(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    called = perdure(*arguments, directory=tmp_path)
    assert (called.code, reason in called.err) == (2, True)
