"""The platter: what a loss of power may leave, and what it may not."""

import random

import pytest

from perdure.errors import InternalError
from perdure.torture.disks.operations import (
    Create,
    Delete,
    Grow,
    LostSync,
    Operation,
    Rename,
    Sync,
    SyncFolder,
    Truncate,
    Write,
)
from perdure.torture.disks.platter import Content, Platter

KEPT = [Create("log"), Write("log", 0, b"old!"), Sync("log", enters_folder=True)]


def left(*operations: Operation, draws: int = 60) -> dict[str, list[dict[str, bytes]]]:
    """Return what may be left after some operations, by how it comes about: the bytes of each file."""
    platter = Platter()
    for operation in operations:
        platter.take(operation)
    found: dict[str, list[dict[str, bytes]]] = {}
    for how, image in platter.left_by_a_loss_of_power(random.Random(7), draws=draws):
        files = {name: bytes(content.data).ljust(content.size, b"\0") for name, content in image.items()}
        found.setdefault(how, []).append(files)
    return found


def test_what_was_synced_stays() -> None:
    assert left(*KEPT) == {"nothing pending is there": [{"log": b"old!"}]}


def test_what_was_not_synced_is_there_or_not_whole_or_in_sectors_or_as_garbage() -> None:
    found = left(*KEPT, Write("log", 2, b"NEW"))
    assert found["nothing pending is there"] == [{"log": b"old!"}]
    assert found["all is there"] == [{"log": b"olNEW"}]
    assert {image["log"] for image in found["some writes are there"]} == {b"old!", b"olNEW"}
    garbled = {image["log"] for image in found["some sectors are garbage"]} - {b"old!", b"olNEW"}
    assert garbled
    assert all(one[:2] == b"ol" for one in garbled), "what is not written over is not harmed"


def test_sectors_of_a_write_are_kept_one_by_one() -> None:
    data = bytes([1]) * 512 + bytes([2]) * 512
    images = left(*KEPT, Write("log", 0, data))["some sectors are there"]
    assert {image["log"] for image in images} == {
        b"old!", data, data[:512], b"old!".ljust(512, b"\0") + data[512:]
    }  # fmt: skip


def test_writes_may_come_in_another_order_and_files_apart() -> None:
    found = left(*KEPT, Create("db"), Write("log", 0, b"a"), Write("log", 1, b"b"), Write("db", 0, b"c"))
    assert found["only the last write to log is there"] == [{"log": b"obd!", "db": b""}]
    assert found["all but the first write to log is there"] == [{"log": b"obd!", "db": b""}]
    assert found["only log is there"] == [{"log": b"abd!", "db": b""}]
    assert found["only db is there"] == [{"log": b"old!", "db": b"c"}]


def test_a_new_file_may_be_gone_until_its_folder_is_synced() -> None:
    new: list[Operation] = [*KEPT, Create("db"), Write("db", 0, b"c"), Sync("db")]
    assert left(*new)["new files are gone"] == [{"log": b"old!"}]
    assert "new files are gone" not in left(*new, SyncFolder(""))


def test_a_deleted_file_may_be_back_until_its_folder_is_synced() -> None:
    assert left(*KEPT, Delete("log", is_durable=False))["what was deleted or replaced is there again"] == [
        {"log": b"old!"}
    ]
    assert left(*KEPT, Delete("log", is_durable=True)) == {"nothing pending is there": [{}]}


def test_a_file_that_takes_the_place_of_another_may_not_have_it_yet_until_the_folder_is_synced() -> None:
    replaced = [*KEPT, Create("copy"), Write("copy", 0, b"NEW!"), Sync("copy"), Rename("copy", "log")]
    found = left(*replaced)
    assert found["nothing pending is there"] == [{"log": b"NEW!"}]
    assert found["what was deleted or replaced is there again"] == [{"log": b"old!"}]
    assert left(*replaced, SyncFolder("")) == {"nothing pending is there": [{"log": b"NEW!"}]}


def test_what_a_failed_sync_should_have_written_is_never_written_though_all_see_it() -> None:
    platter = Platter()
    for operation in [*KEPT, Write("log", 0, b"NEW!"), LostSync("log"), Sync("log")]:
        platter.take(operation)
    assert bytes(platter.kept_by_the_kernel()["log"].data) == b"NEW!"
    assert [image["log"].data for _, image in platter.left_by_a_loss_of_power(random.Random(1), draws=3)] == [b"old!"]


def test_files_grow_and_are_cut() -> None:
    found = left(*KEPT, Grow("log", 6), Truncate("log", 2), Grow("log", 3))
    assert found["all is there"] == [{"log": b"ol\0"}]


def test_an_operation_that_is_not_on_bytes_is_refused() -> None:
    with pytest.raises(InternalError, match="does nothing to the bytes"):
        Content().take(Create("log"))
