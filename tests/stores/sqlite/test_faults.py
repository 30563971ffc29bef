"""What SQLite's errors are told as."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure import Engine
from perdure.errors import StoreCorruptError
from perdure.stores.sqlite.faults import is_damage, store_error


async def test_tables_that_have_lost_a_column_are_damage(tmp_path: Path) -> None:
    """As after a flipped bit of the text by which a table was made: found by `corrupt --count 1 --seed 7454`."""
    path = tmp_path / "perdure.db"
    async with Engine(f"sqlite:///{path}"):
        pass
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("ALTER TABLE locks RENAME COLUMN holding TO iolding")
    with pytest.raises(StoreCorruptError, match=r"there is no locks\.holding"):
        async with Engine(f"sqlite:///{path}") as engine:
            await engine.locks()


def test_a_row_that_says_of_itself_that_it_is_too_long_is_damage() -> None:
    error = store_error(apsw.TooBigError("string or blob too big"), path=Path("perdure.db"), doing="reading")
    assert isinstance(error, StoreCorruptError)
    assert is_damage(apsw.TooBigError())
