"""The tool that damages databases: it finds nothing where nothing is wrong, and its damages are what it says."""

import json
import random
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.kernel.time import Timestamp
from perdure.ports.verification import VerificationWish
from perdure.stores.sqlite.looking import SqliteLook
from perdure.torture.command import main
from perdure.torture.corruption.contents import contents_of
from perdure.torture.corruption.judgement import judge
from perdure.torture.corruption.originals import Original, original
from perdure.torture.corruption.page_damage import damaged_file
from perdure.torture.corruption.row_damage import damage_rows


@pytest.fixture(scope="module")
def made() -> Original:
    return original(1)


@pytest.fixture
def path(made: Original, tmp_path: Path) -> Path:
    path = tmp_path / "perdure.db"
    path.write_bytes(made.latest)
    return path


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corrupt", "--count", "60", "--seed", "1", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["runs"], result["violations"]) == ("corrupt", 60, 0)


async def test_an_undamaged_database_is_sound_and_its_runs_come_to_their_end(made: Original, path: Path) -> None:
    assert await judge(made, path, frozenset(), goes_on=True) == []


async def test_what_the_original_holds_is_what_a_look_finds(made: Original, path: Path) -> None:
    assert contents_of(path).unlike(made.contents) == []
    async with SqliteLook(path) as look:
        found = await look.verify(VerificationWish(now=Timestamp(0)))
    assert found.events == sum(map(len, made.histories.values()))
    assert len(made.plans) == found.runs


def test_each_damage_of_rows_changes_what_it_says_and_no_other_run(made: Original, path: Path) -> None:
    for seed in range(60):
        path.write_bytes(made.latest)
        for left in path.parent.glob("perdure.db-*"):
            left.unlink()
        touched, what = damage_rows(path, random.Random(seed))
        now = contents_of(path)
        changed = {key for key in made.plans if now.of_run(key) != made.contents.of_run(key)}
        assert changed <= touched, what


def test_a_damaged_file_is_another_one_but_for_copies_of_what_was_there(made: Original) -> None:
    damaged = [damaged_file(made.latest, made.earlier, random.Random(seed)) for seed in range(100)]
    alike = [what for data, what in damaged if data == made.latest]
    assert all(what.startswith(("an old", "a copy", "a sector of zeros")) for what in alike)
    assert len(alike) < 60


async def test_a_history_that_is_read_otherwise_is_found(made: Original, path: Path) -> None:
    """As if no digest were checked: the original is another one than what is read."""
    key = max(made.histories, key=lambda key: len(made.histories[key]))
    shorter = {**made.histories, key: made.histories[key][:-1]}
    other = Original(
        earlier=made.earlier, latest=made.latest, contents=made.contents, histories=shorter, plans=made.plans
    )
    [wrong] = await judge(other, path, frozenset(), goes_on=False)
    assert wrong == f"the history of run {key} was read, and is another one"


async def test_damage_that_nobody_reports_is_found(made: Original, path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE message_requests SET id = 'nobody'")
        connection.execute("DELETE FROM message_requests WHERE id = 'nobody'")
    rows = {**made.contents.rows, "runs": frozenset[tuple[object, ...]]()}
    contents = type(made.contents)(rows=rows, keys=made.contents.keys)
    other = Original(
        earlier=made.earlier, latest=made.latest, contents=contents, histories=made.histories, plans=made.plans
    )
    assert await judge(other, path, frozenset(), goes_on=False) == ["runs is not what it was, and nothing is reported"]
