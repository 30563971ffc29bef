"""Fingerprints of code: the same for the same, wherever it runs, and another for what a run may notice."""

import importlib
import os
import subprocess
import sys
from copy import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure import Context, workflow
from perdure.authoring.fingerprint import fingerprint
from perdure.authoring.registry import Registry

SHOP = """\
import asyncio
from perdure import Context, activity, workflow
from shop import prices

ZONES = {"eu", "us", "asia"}


@activity
async def pay(cents: int) -> int:
    return prices.rounded(cents) if "eu" in {"eu", "us", "asia", "africa"} else 0


class Order:
    def total(self, cents: int) -> int:
        return cents


def twice(step):
    async def both(ctx: Context, cents: int) -> int:
        await step(ctx, cents)
        return await step(ctx, cents)

    return both


async def paying(ctx: Context, cents: int) -> int:
    return await pay(Order().total(cents))


order = workflow(name="order")(twice(paying))
"""
PRICES = """\
def rounded(cents):
    return cents // 10 * 10
"""
UNUSED = """\


def unused():
    return 1
"""
TELL = """\
from perdure.authoring.fingerprint import fingerprint
from perdure.authoring.registry import default_registry
print(fingerprint(default_registry))
"""


def told(folder: Path, *, shop: str = SHOP, prices: str = PRICES, seed: str = "1", as_main: bool = False) -> str:
    """Return what a process tells that has imported a program, or runs it."""
    package = folder / "shop"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "orders.py").write_text(shop + TELL * as_main)
    (package / "prices.py").write_text(prices)
    return output(folder, ["-m", "shop.orders"] if as_main else ["-c", f"import shop.orders\n{TELL}"], seed=seed)


def output(folder: Path, run: list[str], *, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *run], cwd=folder, env=environment, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def test_the_same_code_has_the_same_name_in_each_process_whatever_its_path_lines_and_comments(tmp_path: Path) -> None:
    first = told(tmp_path / "a")
    assert told(tmp_path / "b", shop="# a comment\n\n" + SHOP, seed="2") == first
    assert told(tmp_path / "c", as_main=True, seed="3") == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pay(Order()", "pay(2 * Order()"),
        ('workflow(name="order")', 'workflow(name="orders")'),
        ("        return cents\n", "        return cents + 1\n"),
        ("        await step(ctx, cents)\n", "        await step(ctx, 1)\n"),
        ('"africa"', '"antarctica"'),
    ],
    ids=["workflow", "name", "method", "decorator", "constant"],
)
def test_code_that_does_something_else_has_another_name(tmp_path: Path, old: str, new: str) -> None:
    assert SHOP.count(old) == 1
    assert told(tmp_path / "new", shop=SHOP.replace(old, new)) != told(tmp_path / "old")


def test_a_function_counts_where_it_is_reached_also_in_another_module_of_the_package(tmp_path: Path) -> None:
    first = told(tmp_path / "old")
    assert told(tmp_path / "new", prices=PRICES.replace("10", "100")) != first
    assert told(tmp_path / "same", prices=PRICES + UNUSED) == first


MANY = """\
import contextlib
import enum
import functools
import many.deep
from many import deep, sub


class Base:
    def based(self):
        return 101


class Color(enum.StrEnum):
    RED = "red"


class Item(Base):
    rate = 102
    zones = frozenset({"eu", "us", "asia", "africa"})
    steps = (1, (2, "b"), None, 1.5, b"c")
    loud = functools.partialmethod(lambda self, a: a + 103, 104)

    class Line:
        def of(self):
            return 105

    @functools.cached_property
    def later(self):
        return 106

    @property
    def price(self):
        return 107

    @price.setter
    def price(self, value):
        self.value = value + 108

    def used(self):
        return 109


def defaulted(a=110, *, b=111, step=lambda: 112):
    return a + b


@functools.cache
def cached(a):
    return a + 113


@contextlib.contextmanager
def wrapped():
    yield 114


def first():
    return 115


def second():
    return 116


def third():
    return 117


def fourth():
    return 120


def fifth():
    return 121


def maker(number):
    def made():
        return number

    return made


TABLE = {
    "b": first,
    "a": second,
}
KINDS = {
    Item: fourth,
    Base: fifth,
}
ROW = [third]
ITEM = Item()
made = maker(118)
bound = functools.partial(first, 119)


async def order(ctx):
    made() + bound() + cached(1) + defaulted() + wrapped() + TABLE["a"]() + KINDS[Item]() + ROW[0]() + ITEM.used()
    return many.deep.dotted() + deep.direct() + sub.deeper.deepest(Color.RED)
"""
DEEP = """\
def dotted():
    return 201


def direct():
    return 202
"""
DEEPER = """\
def deepest(color):
    return 301
"""


def named(folder: Path, *, many: str = MANY, deep: str = DEEP, deeper: str = DEEPER) -> str:
    """Return the name of a package of these modules."""
    package = folder / "many"
    (package / "sub").mkdir(parents=True)
    (package / "sub" / "__init__.py").write_text("from many.sub import deeper")
    for file, text in {"__init__": "", "orders": many, "deep": deep, "sub/deeper": deeper}.items():
        (package / f"{file}.py").write_text(text)
    return fingerprint(registry_of(imported(folder, "many.orders").order))


def imported(folder: Path, name: str) -> ModuleType:
    """Import a module of a folder as if it were the first one of that name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for known in [known for known in sys.modules if known.partition(".")[0] in {"many", "flat", "beside"}]:
            del sys.modules[known]
        return importlib.import_module(name)


@workflow(name="fingerprinted")
async def fingerprinted(_: Context) -> None: ...


def registry_of(function: Any) -> Registry:
    definition, registry = copy(fingerprinted), Registry()
    definition.function = function
    registry.add_workflow(definition)
    return registry


@pytest.mark.parametrize(
    "number", [str(number) for first, last in ((101, 122), (201, 203), (301, 302)) for number in range(first, last)]
)
def test_a_number_counts_wherever_it_is_reached(tmp_path: Path, number: str) -> None:
    texts = {"many": MANY, "deep": DEEP, "deeper": DEEPER}
    assert "".join(texts.values()).count(number) == 1
    changed = {name: text.replace(number, "77") for name, text in texts.items()}
    assert named(tmp_path / "new", **changed) != named(tmp_path / "old")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"red"', '"crimson"'),
        ('"africa"', '"antarctica"'),
        ("1.5", "2.5"),
        ('b"c"', 'b"d"'),
        ('(2, "b")', '(2, "c")'),
        ("None, 1.5", "True, 1.5"),
        ("rate = 102", "rate = 1 << 40_000"),
        ('"b": first', '"b": third'),
    ],
)
def test_a_value_counts_that_was_bound_to_what_is_reached(tmp_path: Path, old: str, new: str) -> None:
    assert MANY.count(old) == 1
    assert named(tmp_path / "new", many=MANY.replace(old, new)) != named(tmp_path / "old")


@pytest.mark.parametrize(
    ("moved", "before"),
    [
        ("    rate = 102\n", "    steps ="),
        ("    def used(self):\n        return 109\n", "    @property\n"),
        ("def first():\n    return 115\n", "def third():\n"),
        ('    "b": first,\n', "}\nKINDS"),
        ("    Item: fourth,\n", "}\nROW"),
    ],
    ids=["attribute", "method", "function", "table of texts", "table of classes"],
)
def test_the_order_of_definitions_does_not_matter(tmp_path: Path, moved: str, before: str) -> None:
    assert (MANY.count(moved), MANY.count(before)) == (1, 1)
    text = MANY.replace(moved, "").replace(before, moved + before)
    assert named(tmp_path / "new", many=text) == named(tmp_path / "old")


def test_what_is_bound_has_the_same_text_in_each_process(tmp_path: Path) -> None:
    first = named(tmp_path / "a")
    last = f"from perdure import workflow\nworkflow(name='fingerprinted')(order)\n{TELL}"
    assert output(tmp_path / "a", ["-c", f"from many.orders import order\n{last}"], seed="2") == first
    named(tmp_path / "b", many=f"# a comment\n\n{MANY}\n\nif __name__ == '__main__':\n    exec({last!r})\n")
    assert output(tmp_path / "b", ["-m", "many.orders"], seed="3") == first


@pytest.mark.parametrize("is_changed", [False, True])
def test_modules_of_no_package_belong_to_those_of_their_folder(tmp_path: Path, *, is_changed: bool) -> None:
    names: list[str] = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "flat.py").write_text("import beside\n\n\nasync def order(ctx):\n    return beside.helped()\n")
        (folder / "beside.py").write_text(f"def helped():\n    return {number * is_changed}\n")
        names.append(fingerprint(registry_of(imported(folder, "flat").order)))
    assert (names[0] != names[1]) == is_changed


def test_a_class_is_looked_at_once_however_often_it_is_named() -> None:
    assert calls_for(naming="Wide") < 2 * calls_for(naming="wide")


def calls_for(*, naming: str) -> int:
    """Return how many calls it takes to name 100 functions that name this, and a class of 100 methods."""
    methods = "".join(f"    def method_{number}(self): ...\n" for number in range(100))
    functions = "".join(f"def function_{number}(): return {naming}, {number}\n" for number in range(100))
    whole = ", ".join(f"function_{number}" for number in range(100))
    module = ModuleType("wide")
    exec(f"class Wide:\n{methods}{functions}async def order(ctx): return Wide, {whole}", vars(module))
    registry, calls = registry_of(vars(module)["order"]), 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        fingerprint(registry)
    finally:
        sys.setprofile(before)
    return calls


def test_a_name_stays_until_new_code_comes() -> None:
    module = ModuleType("lazy")
    exec("def late(): ...\nfound = None\nasync def order(ctx): return found", vars(module))
    registry = registry_of(vars(module)["order"])
    first = fingerprint(registry)
    vars(module)["found"] = vars(module)["late"]
    assert fingerprint(registry) == first
    registry.add_workflow(registry.workflow("fingerprinted"))
    assert fingerprint(registry) != first
