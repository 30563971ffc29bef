"""Grafts: a bug within functions comes into them where they are, whoever holds them; any other is no graft."""

import subprocess
import sys

import pytest

from perdure.torture.grafting import StaleTextError, demand_texts, grafts_of
from perdure.torture.planted import Patch

BUG = Patch(
    module="perdure.torture.programs.steps", old="return next(self._numbers, 0) % bound", new="return bound - 1"
)
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


def test_code_that_only_moves_is_left_as_it_is() -> None:
    longer = Patch(module=BUG.module, old=BUG.old, new=f"x = bound\n        {BUG.new}")
    changed = grafts_of([longer])
    assert changed is not None
    assert [each.new.co_qualname for each in changed] == ["Draws.below"]


def test_a_text_that_does_not_occur_is_stale() -> None:
    demand_texts([BUG])
    with pytest.raises(StaleTextError, match=r"occurs 0 times in perdure\.torture\.programs\.steps"):
        demand_texts([Patch(module=BUG.module, old="no such text", new="")])
