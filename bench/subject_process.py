"""The process in which one phase of one measurement runs: `python bench/subject_process.py MODULE REQUEST OUTCOME`.

REQUEST is a file with a `bench.records.Request`; the `Outcome` is written to the file OUTCOME. What the subject prints
goes to the harness's error report and nowhere else.
"""

import importlib
import sys
from pathlib import Path

# Run as a script, in this project's environment or a peer's: the modules of the harness are found from the repository.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.records import Request  # noqa: E402 - needs the path above


def main(module: str, request_path: str, outcome_path: str) -> None:
    request = Request.read(Path(request_path).read_text(encoding="utf-8"))
    subject = importlib.import_module(f"bench.subjects.{module}")
    outcome = subject.measure(request)
    Path(outcome_path).write_text(outcome.written_as_json(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
