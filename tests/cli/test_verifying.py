"""`perdure verify`, on a database in whose tables something was changed."""

from contextlib import closing
from pathlib import Path

import apsw

from tests.cli.runs import perdure


def damage(place: Path, statement: str, name: str) -> None:
    with closing(apsw.Connection(str(place / "perdure.db"))) as connection:
        connection.execute(statement, (name,))
        assert connection.changes() > 0


def some_run(place: Path, which: str) -> str:
    with closing(apsw.Connection(str(place / "perdure.db"))) as connection:
        is_plain = "id NOT GLOB '*[^a-z0-9-]*' AND sequence > 2"
        query = f"SELECT id FROM runs WHERE {is_plain} AND {which} ORDER BY run_key LIMIT 1"
        found: str = connection.execute(query).get
        return found


EVENT = "UPDATE history SET at = at + 1 WHERE sequence = 3 AND run_key = (SELECT run_key FROM runs WHERE id = ?)"


def test_a_sound_database_is_said_to_be_sound(place: Path) -> None:
    called = perdure("verify", directory=place)
    assert called.code == 0, called.out
    assert called.out.endswith("nothing is found damaged.\n")
    assert perdure("verify", "--json", directory=place).json["is_sound"] is True


def test_a_damaged_history_is_shown_with_what_can_be_read_and_fails_the_command(place: Path) -> None:
    name = some_run(place, "closed_at IS NOT NULL")
    damage(place, EVENT, name)
    called = perdure("verify", directory=place)
    assert called.code == 1
    assert f"run default/{name} (ended" in called.out
    assert f"history: event 3 of run default/{name} is damaged" in called.out
    assert "perdure fork ID --event N" in called.out
    [run] = perdure("verify", name, "--json", directory=place).json["damaged"]
    assert (run["ref"]["id"], run["readable"], run["defects"][0]["place"]) == (name, 2, "history")


def test_what_is_certain_is_repaired_if_that_is_said(place: Path) -> None:
    name = some_run(place, "closed_at IS NOT NULL")
    damage(place, "UPDATE runs SET tenant = 'x\x1b[2J' WHERE id = ?", name)
    called = perdure("verify", directory=place)
    assert called.code == 1
    assert "[with --repair it is taken from the history]" in called.out
    assert "\x1b" not in called.out
    repaired = perdure("verify", "--repair", directory=place)
    assert repaired.code == 0, repaired.out
    assert "[repaired]" in repaired.out
    assert perdure("verify", directory=place).code == 0


def test_a_damaged_open_run_is_parked_if_that_is_said(place: Path) -> None:
    name = some_run(place, "closed_at IS NULL AND parked IS NULL")
    damage(place, EVENT, name)
    assert perdure("verify", name, "--quarantine", directory=place).code == 1
    assert name in [run["id"] for run in perdure("list", "--parked", "--json", directory=place).json["runs"]]


def test_a_run_that_is_not_there_and_a_database_that_is_not_there_are_said_so(place: Path, tmp_path: Path) -> None:
    assert perdure("verify", "nobody", directory=place).code == 3
    assert "there is no database" in perdure("verify", directory=tmp_path).err
