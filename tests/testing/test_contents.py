"""Digests of whole databases: equal if and only if all rows of all tables are."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure import Context, Engine, workflow
from perdure.errors import StoreError
from perdure.testing import contents_digest


@workflow(name="contents.nothing")
async def nothing(_ctx: Context) -> None: ...


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "runs.db"
    async with Engine(f"sqlite:///{path}") as engine:
        await (await engine.start(nothing, id="one", labels={"colour": "red"})).result()
    return path


def roots(path: Path) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as connection:
        return list(connection.execute("SELECT name, rootpage FROM sqlite_schema"))


async def test_a_copy_has_the_digest_of_its_original_though_its_pages_lie_otherwise(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    assert roots(copy) != roots(path)
    assert contents_digest(copy) == contents_digest(str(path))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET wake_at = 1",
        "UPDATE history SET digest = NULL WHERE sequence = 2",
        "UPDATE run_labels SET value = 'Red'",
        "DELETE FROM store_meta",
        "UPDATE history SET data = CAST(x'ff' AS TEXT) WHERE sequence = 1",
        "INSERT INTO inbox (run_key, message_id, data, at) VALUES (1, '', '{}', 1)",
    ],
)
async def test_any_other_row_gives_another_digest(path: Path, change: str) -> None:
    before = contents_digest(path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(change)
        assert connection.changes() > 0
    assert contents_digest(path) != before


async def test_what_follows_a_zero_in_damaged_text_counts(path: Path) -> None:
    digests = set()
    for text in ("ff006161", "ff006162", "ff"):
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute(f"UPDATE history SET data = CAST(x'{text}' AS TEXT) WHERE sequence = 1")
        digests.add(contents_digest(path))
    assert len(digests) == 3


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, by far " * 500)
    with pytest.raises(StoreError):
        contents_digest(tmp_path / "text.db")
