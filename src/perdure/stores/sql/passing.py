"""Statements on many runs that pass over some: those whose rows lie on damaged pages.

A statement that comes to such a row raises, and what it would have found beside it is lost. SQLite asks an index all
that the index can answer before it reads a row, and an index holds the keys of its rows: so what names them never comes
to their pages.
"""

from typing import Final

from perdure.kernel.identity import RunKey

__all__ = ["NONE_PASSED", "PASSING", "Passing", "passing_condition", "passing_over"]

Passing = frozenset[RunKey]
"""The runs that are passed over."""

NONE_PASSED: Final[Passing] = frozenset()

PASSING: Final = "/* passing over */"
"""Where in a statement's WHERE it says which runs it passes over: none."""


def passing_over(statement: str, run_keys: Passing) -> str:
    """Return a statement, with its mark `PASSING`, that passes over these runs."""
    return statement.replace(PASSING, passing_condition(run_keys)) if run_keys else statement


def passing_condition(run_keys: Passing, *, table: str = "runs") -> str:
    """Return the condition by which these runs are passed over, if there are any; `table` has their keys."""
    return f" AND {table}.run_key NOT IN ({', '.join(map(str, sorted(run_keys)))})" if run_keys else ""
