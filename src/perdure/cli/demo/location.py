"""Where the example is: beside `src` in a clone, inside the package in an installed wheel."""

from pathlib import Path
from typing import Final

from perdure.errors import InternalError

__all__ = ["PROGRAM", "WORKFLOWS", "examples_root", "orders_file"]

PROGRAM: Final = "examples.order_processing"
"""The module that the demonstration runs."""
WORKFLOWS: Final = f"{PROGRAM}.workflow"
"""The module of its workflow, for workers."""

_HERE: Final = Path(__file__).resolve().parent
_ROOTS: Final = (_HERE / "packaged", _HERE.parents[3])


def examples_root() -> Path:
    """Return the folder from which `PROGRAM` can be imported. Raises InternalError if the installation lacks it."""
    for root in _ROOTS:
        if (root / "examples" / "order_processing" / "__main__.py").is_file():
            return root
    message = (
        f"the example of the demonstration is missing from this installation; looked in {', '.join(map(str, _ROOTS))}"
    )
    raise InternalError(message)


def orders_file() -> Path:
    """Return the file of the twenty orders."""
    return examples_root() / "examples" / "data" / "orders.json"
