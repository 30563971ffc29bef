"""`perdure lint` as it is called."""

import json
from pathlib import Path

import pytest

from tests.cli.runs import perdure
from tests.linting.test_files import BAD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(BAD)
    return tmp_path


def test_findings_are_shown_with_their_line_and_what_to_do(folder: Path) -> None:
    ran = perdure("lint", directory=folder)
    assert ran.code == 1
    assert "orders.py:8:12: PDR101 wall-clock: time.time (in workflow w)" in ran.out
    assert "     8 |     return time.time()" in ran.out
    assert "       |            ^^^^^^^^^" in ran.out
    assert "Use `ctx.now()`" in ran.out


def test_no_findings_are_a_success(folder: Path) -> None:
    (folder / "orders.py").write_text("x = 1\n")
    ran = perdure("lint", "orders.py", directory=folder)
    assert (ran.code, ran.out.strip()) == (0, "no findings")


def test_findings_come_in_the_forms_of_other_tools(folder: Path) -> None:
    def printed(form: str) -> str:
        return perdure("lint", "orders.py", "--format", form, directory=folder).out

    assert printed("ruff") == "orders.py:8:12: PDR101 wall-clock: time.time (in workflow w)\n"
    assert printed("github").startswith("::error file=orders.py,line=8,endLine=8,col=12,endColumn=21,title=PDR101::")
    [finding] = json.loads(printed("json"))
    assert (finding["code"], finding["line"], finding["workflow"]) == ("PDR101", 8, "w")
    [run] = json.loads(printed("sarif"))["runs"]
    assert run["results"][0]["ruleId"] == "PDR101"
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 8
    assert "PDR101" in {rule["id"] for rule in run["tool"]["driver"]["rules"]}


def test_rules_are_chosen_by_the_beginning_of_their_codes(folder: Path) -> None:
    assert perdure("lint", "--ignore", "PDR10", directory=folder).code == 0
    assert perdure("lint", "--select", "PDR2", "--select", "PDR3", directory=folder).code == 0
    assert perdure("lint", "--select", "PDR1", directory=folder).code == 1
    wrong = perdure("lint", "--select", "PDR9", directory=folder)
    assert wrong.code == 2
    assert "no rule begins with 'PDR9'" in wrong.err


def test_a_rule_is_explained_with_both_examples(folder: Path) -> None:
    explained = perdure("lint", "--explain", "PDR101", directory=folder).out
    assert explained.startswith("PDR101 wall-clock\n")
    assert "return time.time()" in explained
    assert "return ctx.now().timestamp()" in explained
    assert "PDR503 exit: " in perdure("lint", "--explain", "all", directory=folder).out
    assert perdure("lint", "--explain", "PDR9", directory=folder).code == 2


def test_a_path_that_is_not_there_is_a_wrong_call(folder: Path) -> None:
    ran = perdure("lint", "missing.py", directory=folder)
    assert ran.code == 2
    assert "there is no file or folder missing.py" in ran.err
