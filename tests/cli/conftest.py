import shutil
from pathlib import Path

import pytest

from tests.cli.runs import make_runs


@pytest.fixture(scope="session")
def original_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs")
    make_runs(directory / "perdure.db")
    return directory


@pytest.fixture
def place(original_runs: Path, tmp_path: Path) -> Path:
    """A directory with a database of the test's own, called perdure.db."""
    directory = tmp_path / "place"
    shutil.copytree(original_runs, directory)
    return directory
