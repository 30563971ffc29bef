import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.runs import perdure


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("show", "x"),
        ("history", "x"),
        ("signal", "x", "go"),
        ("update", "x", "u"),
        ("query", "x", "q"),
        ("cancel", "x"),
        ("doctor",),
    ],
    ids=lambda command: command[0],
)
def test_a_command_makes_no_database_where_there_is_none(command: tuple[str, ...], tmp_path: Path) -> None:
    called = perdure(*command, directory=tmp_path)
    assert called.code == 1
    assert "there is no database" in called.out + called.err
    assert "PERDURE_URL" in called.out + called.err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_and_a_folder_are_no_databases(tmp_path: Path) -> None:
    (tmp_path / "perdure.db").touch()
    assert perdure("list", directory=tmp_path).code == 1
    assert (tmp_path / "perdure.db").stat().st_size == 0
    assert "folder" in perdure("list", "--db", f"sqlite:///{tmp_path}", directory=tmp_path).err


def test_the_environment_names_the_database(place: Path, tmp_path: Path) -> None:
    called = perdure("list", "--json", directory=tmp_path, PERDURE_URL=f"sqlite:///{place / 'perdure.db'}")
    assert called.code == 0
    assert len(called.json["runs"]) > 1


@pytest.mark.parametrize("url", ["perdure.db", "memory:", "mysql://host/x", ""])
def test_a_url_that_names_no_database_is_a_usage_error(url: str, tmp_path: Path) -> None:
    called = perdure("list", "--db", url, directory=tmp_path)
    assert called.code == 2
    assert "perdure list: " in called.err


def test_an_unknown_command_or_option_is_a_usage_error_with_a_way_out(tmp_path: Path) -> None:
    called = perdure("lsit", directory=tmp_path)
    assert (called.code, called.out) == (2, "")
    assert "Try: perdure --help" in called.err
    called = perdure("list", "--colour", directory=tmp_path)
    assert called.code == 2
    assert "Try: perdure list --help" in called.err
    assert perdure("show", directory=tmp_path).code == 2


def test_version_and_help_are_printed(tmp_path: Path) -> None:
    assert perdure("--version", directory=tmp_path).out.strip() == f"perdure {version('perdure')}"
    text = perdure("--help", directory=tmp_path)
    assert text.code == 0
    for command in ("demo", "list", "show", "history", "signal", "update", "query", "cancel", "doctor"):
        assert command in text.out


def test_a_reader_that_goes_away_is_no_traceback(place: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m perdure history done --json | true"],
        cwd=place,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode in {0, 141}
    assert "Traceback" not in ran.stderr


def test_importing_the_command_line_loads_no_parser_and_no_tables() -> None:
    program = "import perdure.cli, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert {"cyclopts", "rich"} & set(ran.stdout.split()) == set()


def test_listing_for_programs_loads_neither_tables_nor_the_demonstration(place: Path) -> None:
    program = (
        "import sys; from perdure.cli.application import run_command_line; run_command_line(['list', '--json']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, encoding="utf-8", check=True)
    loaded = set(ran.stderr.split())
    assert "perdure.cli.listing" in loaded
    assert not loaded & {"rich.table", "perdure.cli.demo", "perdure.cli.showing", "perdure.cli.examination"}
