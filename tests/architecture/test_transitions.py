"""Whoever makes a transition says all that follows from its events, or an end leaves behind what the run held."""

import ast

from tests.architecture.repository import PACKAGE, parsed, python_files, relative


def test_whoever_makes_a_transition_says_what_becomes_of_the_runs_locks() -> None:
    makers = {
        relative(path): {keyword.arg for keyword in node.keywords}
        for path in python_files(PACKAGE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Transition"
    }
    assert makers
    assert [path for path, said in makers.items() if not {"locks", "deliveries", "creations"} <= said] == []
