"""What is tested: every option and operation stands on the page with tests that exist and a defect that proves them."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from perdure import Activity, Context, Retry, Run, activity, workflow
from perdure.client.client import Client
from tests.proofs.planted import PLANTED
from tests.proofs.rows import ROOT, exists, proved

PROVED = proved()


def options(prefix: str, function: Callable[..., Any]) -> Iterable[str]:
    """Return `prefix.name` for each keyword that a function takes."""
    keywords = (p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return (f"{prefix}.{keyword.name}" for keyword in keywords)


def operations(prefix: str, owner: type[Any]) -> Iterable[str]:
    """Return `prefix.name` for each public method, property and attribute of a class."""
    return (f"{prefix}.{name}" for name in vars(owner) if re.match(r"[a-z]", name))


OFFERED = {
    "activity": options("activity", activity),
    "workflow": options("workflow", workflow),
    "start": options("start", Client.start),
    "list_runs": options("list_runs", Client.list_runs),
    "start_child": options("ctx.start_child", Context.start_child),
    "ctx": operations("ctx", Context),
    "engine": operations("engine", Client),
    "run": operations("run", Run),
    "Retry": (f"Retry.{field}" for field in Retry.__struct_fields__),
}


@pytest.mark.parametrize("kind", OFFERED)
def test_everything_that_is_offered_has_a_row(kind: str) -> None:
    offered = list(OFFERED[kind])
    assert offered
    assert [name for name in offered if name not in PROVED] == []


def test_what_a_call_may_say_an_activity_may_say() -> None:
    of_a_call = {name.partition(".")[2] for name in options("", Activity.options)}
    of_an_activity = {name.partition(".")[2] for name in options("", activity)}
    assert of_a_call < of_an_activity


def test_the_six_laws_have_rows() -> None:
    assert [subject for subject in PROVED if subject.startswith("law")] == [f"law {number}" for number in range(1, 7)]


def test_every_named_test_exists() -> None:
    assert [test for tests in PROVED.values() for test in tests if not exists(test)] == []


def test_every_row_has_a_defect_that_proves_it_and_every_defect_its_row() -> None:
    assert PLANTED.keys() == PROVED.keys()
    assert all(PLANTED.values())


def test_every_breakage_has_its_place_in_the_engine() -> None:
    package = ROOT / "src" / "perdure"
    stale = [
        f"{subject}: {defect.module}: {defect.old!r}"
        for subject, defects in PLANTED.items()
        for defect in defects
        if (package / f"{defect.module.replace('.', '/')}.py").read_text("utf-8").count(defect.old) != 1
    ]
    assert stale == [], "the engine has changed here: change the breakage with it"
