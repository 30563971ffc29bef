"""Run pytest on an engine with a defect, in this process only: ``python planted_pytest.py DEFECT ARGUMENTS...``.

The defect must be planted before anything of Perdure is imported, so the tool for that is loaded by its path.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

PLANTING = Path(__file__).parents[2] / "src" / "perdure" / "torture" / "planting.py"


def main(defect: str, *arguments: str) -> int:
    spec = importlib.util.spec_from_file_location("planting", PLANTING)
    assert spec is not None
    assert spec.loader is not None
    planting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(planting)
    planting.plant([json.loads(defect)])
    # Perdure has a pytest plugin, so pytest would load all of it past our finder, to rewrite its assertions.
    return pytest.main(["-n0", "--assert=plain", *arguments])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
