"""How large an installation of the core is: the wheel and everything it needs, in an environment of its own.

uv run --group bench python bench/install_size.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOAL_MEGABYTES = 21.0


def main() -> int:
    """Install, measure, print a table; return 1 if the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "core"
        subprocess.run(["uv", "venv", "--quiet", str(environment)], check=True)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(environment), str(ROOT)], check=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        sizes = {entry.name: size_of(entry) for entry in packages.iterdir() if not entry.name.endswith(".dist-info")}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size >= _SMALLEST_BYTES:
            print(f"{size / 1e6:8.2f} MB  {name}")
    total = sum(sizes.values()) / 1e6
    print(f"{total:8.2f} MB  all; the goal is at most {GOAL_MEGABYTES:g} MB")
    return 0 if total <= GOAL_MEGABYTES else 1


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder, without compiled bytecode."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc")


_SMALLEST_BYTES = 100_000

if __name__ == "__main__":
    sys.exit(main())
