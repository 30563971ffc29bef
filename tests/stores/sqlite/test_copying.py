"""Copying the log while somebody reads: no page is in the kernel only when the log begins anew."""

import random
from pathlib import Path

import apsw
import pytest

from perdure.stores.sqlite.connection import open_writing, use_log
from perdure.stores.sqlite.copying import copy_log
from perdure.stores.sqlite.presence import copying_mark
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.torture.disks.life import DATABASE_NAME
from perdure.torture.disks.losses import lose_power
from perdure.torture.disks.recording import RecordingDisk

LARGE = 40_000
"""Fills pages of its own, which no later commit writes again."""


def reading(path: Path, disk: RecordingDisk) -> apsw.Connection:
    reader = apsw.Connection(str(path), vfs=disk.vfs)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM rows").get
    return reader


def test_pages_that_were_copied_before_a_failed_sync_are_written_anew(tmp_path: Path) -> None:
    (tmp_path / "life").mkdir()
    path, disk = tmp_path / "life" / DATABASE_NAME, RecordingDisk()
    mark = copying_mark(path)
    mark.parent.mkdir()
    answered: list[int] = []
    connection = open_writing(path, settings=SqliteSettings(), vfs=disk.vfs)
    use_log(connection)

    def insert(size: int) -> None:
        connection.execute("INSERT INTO rows (data) VALUES (zeroblob(?))", (size,))
        answered.append(len(disk.operations))

    def copy() -> None:
        copy_log(connection, disk, path)

    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
    insert(1)
    copy()
    first = reading(path, disk)
    insert(LARGE)
    second = reading(path, disk)
    first.close()
    insert(1)
    copy()  # as far as the second reads: the large row, which is not synced yet
    second.close()
    disk.fail_sync(DATABASE_NAME, 1, on_death=None)
    with pytest.raises(apsw.IOError):
        copy()
    assert not mark.exists()
    for _ in range(3):
        insert(1)
        copy()
    assert not mark.exists()
    connection.close()
    disk.close()
    losses = list(
        lose_power(disk.operations, answered, tmp_path, random.Random(1), share=1.0, draws=3, is_of_a_store=False)
    )
    assert [str(loss) for loss in losses if loss.wrong is not None] == []
