"""Break each subject and see its tests fail; see the package."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.proofs.defect import Defect
from tests.proofs.planted import PLANTED
from tests.proofs.rows import ROOT, proved

RUNNER = Path(__file__).with_name("planted_pytest.py")
HANGS_AFTER_SECONDS = 20


def main(subjects: Sequence[str]) -> int:
    """Prove these subjects, or all; print what was not proved. Return a status of a process."""
    rows = {subject: tests for subject, tests in proved().items() if not subjects or subject in subjects}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = pool.map(_unproved, rows, rows.values())
    unproved = [finding for found in findings for finding in found]
    for finding in unproved:
        print(finding)  # noqa: T201 - a tool of the command line
    print(f"{len(rows)} subjects broken, {sum(map(len, rows.values()))} tests tried, {len(unproved)} unproved")  # noqa: T201
    return 1 if unproved or not rows else 0


def _unproved(subject: str, tests: list[str]) -> list[str]:
    """Return a sentence for each test that no defect of its subject makes fail."""
    failed: set[str] = set()
    for defect in PLANTED[subject]:
        if not failed.issuperset(tests):
            failed |= _failing(defect, tests)
    return [f"{subject}: {test} passes without it" for test in tests if test not in failed]


def _failing(defect: Defect, tests: list[str]) -> set[str]:
    """Return those of the tests that fail on an engine with the defect. A test that hangs fails; so do those after."""
    patch = json.dumps({"module": f"perdure.{defect.module}", "old": defect.old, "new": defect.new})
    # Plain asserts: the hook that rewrites them would load the shipped pytest plugin's whole package past the defect.
    options = ["-q", "--tb=no", "-rfE", "--assert=plain", "-p", "no:cacheprovider"]
    options += ["-o", f"faulthandler_timeout={HANGS_AFTER_SECONDS}"]
    command = [sys.executable, str(RUNNER), patch, *options, *tests]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if "Timeout (" in done.stderr:
        return set(tests)
    if "occurs" in done.stderr:
        print(f"stale: {defect.module}: {defect.old!r}")  # noqa: T201 - as above
    return set(re.findall(r"^(?:FAILED|ERROR) (tests/[\w/]+\.py::\w+)", done.stdout, flags=re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
