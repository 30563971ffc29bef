"""The programs of examples/features: each prints what its page says."""

from functools import partial
from pathlib import Path

from examples.features.locks import RUNS
from tests.examples.programs import kill_when, run_program, start_program

STARTING_BY_KEY = """\
--- debounced
one run for the burst: True
rebuilt draft
--- deduplicated
rebuilt delivered
the same run: True
--- rejected
a rebuild is under way
--- returned
the open run: True
--- lined_up
waiting: 3
rebuilt index 0
rebuilt index 1
withdrawn
rebuilt index 3
--- replaced
cancelled
rebuilt new plan
--- repeated
the same run: True
rebuilt mail again
"""


def test_every_option_of_starts_by_a_key_does_what_it_says(tmp_path: Path) -> None:
    assert (
        run_program("examples.features.starting_by_key", f"sqlite:///{tmp_path}/starting.db", directory=tmp_path)
        == STARTING_BY_KEY
    )


def _has_lines(file: Path, count: int) -> bool:
    return file.exists() and len(file.read_text().splitlines()) >= count


def test_many_runs_write_into_one_file_one_at_a_time_although_their_process_is_killed(tmp_path: Path) -> None:
    file, arguments = tmp_path / "file", [str(tmp_path / "locks.db"), str(tmp_path / "file")]
    for lines in (1, 4):
        program = start_program("examples.features.locks", *arguments, directory=tmp_path)
        kill_when(program, partial(_has_lines, file, lines))
    run_program("examples.features.locks", *arguments, directory=tmp_path)
    written = [line.split(" ", 1) for line in file.read_text().splitlines()]
    tokens = [int(token) for token, _ in written]
    assert tokens == sorted(set(tokens))
    assert sorted(line for _, line in written) == sorted(f"line {number}" for number in range(RUNS))
