"""Whether two databases hold the same: a copy and its original, one before and after."""

from contextlib import closing
from pathlib import Path

import apsw

from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["contents_digest"]


def contents_digest(database: str | Path) -> str:
    """Return a digest of all rows of all tables of a database file: equal if and only if all of them are.

    It reads the whole file, in one moment, and writes nothing; where the pages lie does not count. Compare digests of
    one version of Perdure only. Raises a StoreError for a file that cannot be read.
    """
    path = Path(database)
    try:
        with closing(open_reading(path, settings=SqliteSettings())) as connection:
            connection.execute("BEGIN")
            return digest_of_contents(connection).hex()
    except apsw.Error as error:
        raise store_error(error, path=path, doing="reading") from error
