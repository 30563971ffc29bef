"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

from tests.linting.test_files import BAD


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def test_a_path_becomes_a_test_that_fails_with_its_findings(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(BAD)
    (tmp_path / "fine.py").write_text("x = 1\n")
    (tmp_path / "test_nothing.py").write_text("def test_nothing() -> None: ...\n")
    ran = run_pytest(tmp_path, "--perdure-lint", "orders.py", "--perdure-lint", "fine.py")
    assert ran.returncode == 1
    assert "2 passed" in ran.stdout
    assert "1 failed" in ran.stdout
    assert "orders.py:8:12: PDR101 wall-clock: time.time (in workflow w)" in ran.stdout


def test_without_the_option_nothing_is_added(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\ndef test_nothing() -> None:\n    assert 'perdure' not in sys.modules\n"
    )
    ran = run_pytest(tmp_path)
    assert "1 passed" in ran.stdout, ran.stdout
