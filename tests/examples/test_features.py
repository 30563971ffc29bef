"""The programs of examples/features: each prints what its page says."""

from pathlib import Path

from tests.examples.programs import run_program

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
