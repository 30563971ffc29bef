"""Nothing else is written where a database's files are, whatever name it is given."""

from pathlib import Path

import pytest

from perdure.errors import UsageError
from perdure.ports.database_files import demand_no_database, demand_no_part


@pytest.mark.parametrize("name", ["data.db-wal", "data.db-shm", "data.db-journal", "DATA.DB-WAL", "link-to-log"])
def test_a_name_that_sqlite_would_take_for_a_part_of_a_database_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "link-to-log").symlink_to(tmp_path / "data.db-wal")
    with pytest.raises(UsageError, match=r"a part of the database data\.db|DATA\.DB"):
        demand_no_part(tmp_path / name)


@pytest.mark.parametrize("name", ["data.db.perdure", "data.db.perdure/writer.lock", "data.db.perdure/copy"])
def test_nothing_is_written_among_lock_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.db.perdure").mkdir()
    demand_no_part(tmp_path / name)
    (tmp_path / "data.db.perdure" / "presence.lock").touch()
    with pytest.raises(UsageError, match="holds the lock files"):
        demand_no_part(tmp_path / name)


@pytest.mark.parametrize("beside", ["data.db-wal", "data.db-journal", "data.db.perdure"])
def test_what_has_a_log_or_lock_files_is_a_database(tmp_path: Path, beside: str) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "data.db")
    demand_no_database(tmp_path / "link.db")
    (tmp_path / beside).touch()
    for name in ("data.db", "link.db"):
        demand_no_part(tmp_path / name)
        with pytest.raises(UsageError, match="is a database"):
            demand_no_database(tmp_path / name)
