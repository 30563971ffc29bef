"""Every rule by its own examples: the bad one is found, the good one is not."""

import ast

import pytest

from perdure.linting import RULES, Rule, Source, lint
from perdure.linting.forbidden import CALLS, NAMES

HEADER = "import asyncio\n\nfrom perdure import Context, activity, workflow\n\n\n"


def codes(text: str) -> list[str]:
    return [finding.code for finding in lint([Source(path="example.py", module="example", text=HEADER + text)])]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_rule_finds_its_bad_example_and_nothing_in_its_good_one(rule: Rule) -> None:
    assert codes(rule.bad) == [rule.code]
    assert codes(rule.good) == []
    ast.parse(rule.good)


@pytest.mark.parametrize(("meaning", "code"), sorted({**NAMES, **CALLS}.items()))
def test_whatever_is_forbidden_is_found_through_every_kind_of_import(meaning: str, code: str) -> None:
    name = f"{meaning}anything" if meaning.endswith(".") else meaning
    owner, _, last = name.rpartition(".")
    module = name.split("(")[0].rpartition(".")[0] or owner
    texts = [f"import {module}\n\n\n" + in_workflow(f"{name}()")] if owner else [in_workflow(f"{name}()")]
    if owner and "(" not in owner:
        texts.append(f"from {owner} import {last} as alias\n\n\n" + in_workflow("alias()"))
        texts.append(f"import {owner} as alias\n\n\n" + in_workflow(f"alias.{last}()"))
    for text in texts:
        assert code in codes(text), text


def in_workflow(*lines: str) -> str:
    return "@workflow\nasync def example(ctx: Context) -> None:\n" + "".join(f"    {line}\n" for line in lines)


def test_there_are_at_least_25_kinds_of_non_determinism() -> None:
    assert len([code for code in RULES if code >= "PDR100"]) >= 25
