"""Makes the saved databases anew, each by the code of its schema: ``python -m tests.data.make_databases [NUMBER ...]``.

The code of a schema is the last commit before the next migration came; that of the newest is what lies here. A released
schema's database is made once and then kept: it is what its users have.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw

from perdure.stores.sql.migrations import migrations

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "databases"
MIGRATIONS = "src/perdure/stores/sql/migrations"


def file_of(number: int) -> Path:
    """Return where the database of a schema is kept, as SQL."""
    return FOLDER / f"{number:04}.sql"


def make(number: int) -> None:
    """Make the database of a schema."""
    with tempfile.TemporaryDirectory() as folder:
        source = _code_of(number, Path(folder))
        database = Path(folder) / "specimen.db"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(ROOT)])}
        program = [sys.executable, "-m", "tests.data.specimen", str(database)]
        subprocess.run(program, check=True, env=environment, cwd=folder)
        file_of(number).write_text(dumped(database), encoding="utf-8")


def _code_of(number: int, folder: Path) -> Path:
    if number == len(migrations()):
        return ROOT / "src"
    following = next((ROOT / MIGRATIONS).glob(f"{number + 1:04}_*.sql")).relative_to(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "--", str(following)).decode().split()[-1]
    archive = _git("archive", f"{added}^", "src")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder / "src"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], check=True, cwd=ROOT, capture_output=True).stdout


def dumped(path: Path) -> str:
    """Return a database as the SQL that makes it, with the marks by which it is known to be Perdure's."""
    connection = apsw.Connection(str(path))
    try:
        lines = [f"PRAGMA {mark} = {connection.pragma(mark)};" for mark in ("application_id", "user_version")]
        schema = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        entries = [entry for entry in connection.execute(schema) if not entry[1].startswith("sqlite_")]
        lines += [f"{sql};" for _, _, sql in entries]
        tables = [name for kind, name, _ in entries if kind == "table"]
        lines += [line for table in [*tables, "sqlite_sequence"] for line in _rows(connection, table)]
        return "\n".join([*lines, ""])
    finally:
        connection.close()


def _rows(connection: apsw.Connection, table: str) -> list[str]:
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
    values = " || ', ' || ".join(f"quote({column})" for column in columns)
    rows = connection.execute(f"SELECT {values} FROM {table}")
    return [f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({row});" for (row,) in rows]


if __name__ == "__main__":
    for wanted in map(int, sys.argv[1:] or [str(len(migrations()))]):
        make(wanted)
