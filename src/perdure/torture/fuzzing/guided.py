"""Fuzzing guided by coverage: libFuzzer, by way of atheris, chooses the changes by the branches that they reach.

``python -m perdure.torture.fuzzing.guided TARGET [-runs=N] [-max_total_time=SECONDS] [-seed=S] [FOLDER]`` does not
come back from a finding: it prints the input, and saves it beside a name that libFuzzer gives. Without a folder the
corpus is a temporary one. Needs the group `fuzz` of this project: ``uv run --group fuzz``.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from perdure.errors import UsageError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Fuzz the target that the first of `arguments` names; the others are libFuzzer's. Does not return."""
    try:
        import atheris  # noqa: PLC0415 - an optional package
    except ImportError as error:
        message = (
            "guided fuzzing needs the package atheris: uv run --group fuzz python -m perdure.torture.fuzzing.guided"
        )
        raise UsageError(message) from error
    with atheris.instrument_imports(include=["perdure"]):
        from perdure.torture.fuzzing.targets import TARGETS  # noqa: PLC0415 - instrumented while it is imported
        from perdure.torture.fuzzing.trial import what_is_wrong  # noqa: PLC0415 - as above
    name, *options = arguments or [""]
    if name not in TARGETS:
        message = f"there is no target {name!r}; there are {', '.join(TARGETS)}"
        raise UsageError(message)
    target = TARGETS[name]

    def read(data: bytes) -> None:
        wrong = what_is_wrong(target, data)
        if wrong is not None:
            message = f"{name}: {wrong}"
            raise AssertionError(message)

    with tempfile.TemporaryDirectory(prefix="perdure-fuzz-") as folder:
        for number, entry in enumerate(target.corpus()):
            (Path(folder) / str(number)).write_bytes(entry)
        atheris.Setup([sys.argv[0], *options, folder], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
