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


REPAIRING = """\
failed: ActivityFailedError
retry: order-1 generation 2, reserved lamp, paid 40
reset to an event: order-1 generation 3, reserved lamp, paid 40
reset to a stage: order-1 generation 4, reserved lamp, paid 40
fork: order-1-copy generation 1, reserved lamp, paid 40
to retry: 0
"""


def test_an_order_is_retried_reset_and_forked(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/repairing.db"
    printed = run_program("examples.features.repairing", database, directory=tmp_path)
    assert printed.endswith(REPAIRING), printed  # behind the log, which tells of the failure


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


def test_primes_are_counted_on_a_cluster_of_this_machine(tmp_path: Path) -> None:
    assert run_program("examples.features.clusters", "dask", directory=tmp_path) == "6057 primes\n"
