"""Files of others in the folder of a copy: they stay, and keep nobody from copying."""

from pathlib import Path

from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.points import read_contents
from tests.stores.sqlite.copies.live_database import create, opened, replicating

STRANGERS = (
    "generation-000001/.DS_Store",
    "generation-000001/notes",
    "unfinished-000002/.nfs0001",
    "unfinished-business/base.db",
    "generation-old/base.db",
)


async def test_what_others_keep_in_the_folder_stays_and_old_generations_go(tmp_path: Path) -> None:
    database, target = tmp_path / "data.db", tmp_path / "copy"
    strangers = [target / stranger for stranger in STRANGERS]
    async with opened(database) as session:
        with replicating(database, target) as replication:
            replication.follow()
        for stranger in strangers:
            stranger.parent.mkdir(exist_ok=True)
            stranger.write_text("not yours")
        (target / "generation-000001" / ".snapshot").mkdir()
        left = target / "generation-000001" / ".00000007.part.perdure-unfinished"
        left.touch()
        with replicating(database, target, keep_seconds=8) as replication:
            assert not left.exists()
            for number in range(24):
                await create(session, f"r{number}")
                replication.follow()
        points = read_contents(target).points
    assert len({point.generation for point in points}) > 1
    assert points[0].generation != "generation-000001"
    assert not CopyFolder(target).generation("generation-000001").base.exists()
    assert (target / "generation-000001" / ".snapshot").exists()
    assert all(stranger.exists() for stranger in strangers)
