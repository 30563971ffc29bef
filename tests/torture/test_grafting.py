"""Grafts: a bug within functions comes into them where they are, whoever holds them; any other is no graft."""

import subprocess
import sys

import pytest

from perdure.torture.grafting import Graft, StaleTextError, demand_texts, graft, grafts_of
from perdure.torture.planted import Patch

BUG = Patch(
    module="perdure.torture.programs.steps", old="return next(self._numbers, 0) % bound", new="return bound - 1"
)
WITHIN = Patch(
    module="perdure.torture.programs.world",
    old="self.numbers = {key: number for number, key in enumerate(self.keys)}",
    new="self.numbers = {key: 0 for number, key in enumerate(self.keys)}",
)
"""Within a comprehension, which is a function of its own, made of the outer one's code when that runs."""
WITH_THE_BUG = """
from perdure.torture.grafting import graft, grafts_of
from perdure.torture.planted import Patch
from perdure.torture.programs.steps import Draws
drawn, below = Draws([0, 0]), Draws([0]).below
assert (drawn.below(7), below(7)) == (0, 0)
graft(grafts_of([Patch(module={module!r}, old={old!r}, new={new!r})]))
assert (drawn.below(7), below(7), drawn.of("abc")) == (6, 6, "c")
"""


def test_a_graft_comes_into_functions_that_others_hold_already() -> None:
    program = WITH_THE_BUG.format(module=BUG.module, old=BUG.old, new=BUG.new)
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_RARITY: Final = 6", "_RARITY: Final = 7"),
        ("class Step(msgspec.Struct, frozen=True):", "class Step(msgspec.Struct):"),
        ("length: int = 40", "length: int = 41"),
        ("    draws: tuple[int, ...]\n", "    draws: tuple[int, ...] = ()\n"),
    ],
    ids=["a constant", "a class", "a default", "a field"],
)
def test_what_a_module_does_when_it_is_imported_is_no_graft(old: str, new: str) -> None:
    assert grafts_of([Patch(module=BUG.module, old=old, new=new)]) is None


def test_what_a_function_made_while_its_module_was_imported_stays_and_is_no_graft() -> None:
    statement = Patch(module="perdure.stores.sql.statements", old="        ELSE n.column7\n", new="        ELSE NULL\n")
    assert grafts_of([statement]) is None


def test_a_bug_in_an_inner_function_comes_with_the_outer_one() -> None:
    changed = grafts_of([WITHIN])
    assert changed is not None
    assert changed[0].new.co_qualname == "World.open"


def test_a_graft_that_nobody_can_take_over_is_stale() -> None:
    changed = grafts_of([BUG])
    assert changed is not None
    other = [Graft(each.new, each.old) for each in changed]
    with pytest.raises(StaleTextError, match=r"no function has the code of Draws\.below"):
        graft(other)


def test_code_that_only_moves_is_left_as_it_is() -> None:
    longer = Patch(module=BUG.module, old=BUG.old, new=f"x = bound\n        {BUG.new}")
    changed = grafts_of([longer])
    assert changed is not None
    assert [each.new.co_qualname for each in changed] == ["Draws.below"]


def test_a_text_that_does_not_occur_is_stale() -> None:
    demand_texts([BUG])
    with pytest.raises(StaleTextError, match=r"occurs 0 times in perdure\.torture\.programs\.steps"):
        demand_texts([Patch(module=BUG.module, old="no such text", new="")])
