"""Fingerprints of code: the same for the same, wherever it runs, and another for what a run may notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    run = ["-m", "shop.orders"] if as_main else ["-c", f"import shop.orders\n{TELL}"]
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
