"""Calls on the way of every run are narrow: CPython packs more than 15 keywords into a dict before it calls."""

import ast

from tests.architecture.repository import PACKAGE, parsed, python_files, relative

MOST_KEYWORDS = 15

ON_THE_WAY = (
    "client/beginning.py",
    "client/client.py",
    "client/starting.py",
    "execution",
    "kernel/advance.py",
    "kernel/effects.py",
    "kernel/state.py",
    "stores/sqlite/encoding.py",
)


def test_no_call_on_the_way_of_every_run_packs_its_keywords() -> None:
    wide = [
        f"{relative(path)}:{node.lineno} {ast.unparse(node.func)}"
        for path in python_files(*(PACKAGE / place for place in ON_THE_WAY))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and len(node.keywords) > MOST_KEYWORDS
    ]
    assert wide == []
