"""The linter on files: what is read, what the project says, and how little is found that is right as it is."""

import random
import textwrap
from pathlib import Path

import pytest

from perdure.errors import InvalidArgumentError
from perdure.linting import RULES
from perdure.testing.linting import Choice, assert_deterministic, lint_paths
from tests.architecture.repository import python_files
from tests.linting.rules_page import PAGE, whole_page

ROOT = Path(__file__).resolve().parents[2]
BAD = "import time\n\nfrom perdure import workflow\n\n\n@workflow\nasync def w(ctx):\n    return time.time()\n"

# Workflows of tests that do on purpose what a rule forbids: each is a true finding.
ON_PURPOSE = {
    ("src/perdure/torture/simulation/workloads/control.py", "PDR501"),
    ("src/perdure/torture/simulation/workloads/lifecycles.py", "PDR501"),
    ("tests/authoring/test_definitions.py", "PDR406"),
    ("tests/hostile/test_canaries.py", "PDR302"),
    ("tests/authoring/test_definitions.py", "PDR407"),
    ("tests/journeys/test_client.py", "PDR406"),
    ("tests/journeys/test_codeless.py", "PDR501"),
    ("tests/journeys/test_endings.py", "PDR501"),
    ("tests/journeys/test_options.py", "PDR501"),
    ("tests/kernel/test_cancellation_everywhere.py", "PDR501"),
    ("tests/kernel/test_coroutine_program.py", "PDR501"),
    ("tests/kernel/test_journal.py", "PDR501"),
}


def test_nothing_is_found_in_the_examples() -> None:
    assert_deterministic(ROOT / "examples", choice=Choice())


def test_nothing_is_found_in_hundreds_of_workflows_but_what_they_do_on_purpose() -> None:
    files = python_files(ROOT / "tests", ROOT / "src", ROOT / "bench")
    paths = [path for path in files if "workflow" in path.read_text("utf-8")]
    found = {(Path(each.path).relative_to(ROOT).as_posix(), each.code) for each in lint_paths(paths, choice=Choice())}
    assert found - ON_PURPOSE == set()


def test_every_kind_of_mistake_is_found_when_it_is_planted_into_the_example(tmp_path: Path) -> None:
    source = (ROOT / "examples" / "order_processing" / "workflow.py").read_text("utf-8")
    place = '        async with ctx.stage("verify"):\n'
    assert source.count(place) == 1
    chance = random.Random(7)
    for code, mistake in MISTAKES.items():
        planted = source.replace(place, f"{textwrap.indent(mistake, ' ' * 8)}\n{place}")
        assert_only(code, planted, tmp_path / f"{code}_{chance.randrange(10**6)}.py")
    for code, declaration in DECLARATIONS.items():
        assert source.count(DECLARATION) == 1
        assert_only(code, source.replace(DECLARATION, declaration), tmp_path / f"{code}.py")


def test_every_kind_of_mistake_is_planted() -> None:
    about_suppressions = {"PDR001", "PDR002"}
    assert MISTAKES.keys() | DECLARATIONS.keys() | about_suppressions == RULES.keys()


def assert_only(code: str, source: str, file: Path) -> None:
    file.write_text(IMPORTS + source)
    assert [each.code for each in lint_paths([file], choice=Choice())] == [code]


IMPORTS = """
import asyncio, datetime, gc, logging, os, platform, random, secrets, socket, sqlite3
import subprocess, sys, threading, time, uuid
from perdure import Context, Engine, activity, heartbeat, workflow
SEEN = []

@activity
async def step(number: int) -> int:
    return number

@workflow
async def child(ctx: Context) -> int:
    return 1
"""
DECLARATION = "async def process_order(ctx: Context, order: Order) -> Receipt:"
DECLARATIONS = {
    "PDR303": "async def process_order(ctx: Context, order: Order, seen: list[str] = []) -> Receipt:",
    "PDR406": "def process_order(ctx: Context, order: Order) -> Receipt:",
    "PDR407": "async def process_order(*, ctx: Context, order: Order) -> Receipt:",
}
MISTAKES = {
    "PDR101": "at = datetime.datetime.now(datetime.UTC)",
    "PDR102": "number = random.random()",
    "PDR103": "token = secrets.token_hex()",
    "PDR104": "key = uuid.uuid4()",
    "PDR105": "home = os.environ.get('HOME')",
    "PDR106": "text = open('orders.txt')",
    "PDR107": "connection = socket.create_connection(('shop', 80))",
    "PDR108": "database = sqlite3.connect('shop.db')",
    "PDR109": "subprocess.check_call(['true'])",
    "PDR110": "lock = threading.Lock()",
    "PDR111": "time.sleep(1)",
    "PDR112": "loop = asyncio.get_event_loop()",
    "PDR113": "name = platform.node()",
    "PDR114": "print(order)",
    "PDR115": "logging.getLogger('shop').info('order')",
    "PDR116": "at = time.localtime(0)",
    "PDR201": "carriers = list({'dhl', 'ups'})",
    "PDR202": "number = hash(order.id)",
    "PDR203": "gc.collect()",
    "PDR301": "global SEEN",
    "PDR302": "SEEN.append(order)",
    "PDR304": "total = eval('1 + 1')",
    "PDR401": "ctx.sleep(1)",
    "PDR402": "await step('one', 'two')",
    "PDR403": "await child(ctx)",
    "PDR404": "engine = Engine('memory:')",
    "PDR405": "heartbeat()",
    "PDR501": "try:\n    await step(1)\nexcept BaseException:\n    pass",
    "PDR502": "while True:\n    order.id",
    "PDR503": "sys.exit(1)",
}


def test_the_project_says_which_rules_and_files_count(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.py").write_text(BAD)
    (tmp_path / "shop" / "legacy").mkdir()
    (tmp_path / "shop" / "legacy" / "old.py").write_text(BAD)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text(BAD)
    assert [each.code for each in lint_paths([tmp_path])] == ["PDR101", "PDR101"]
    (tmp_path / "pyproject.toml").write_text('[tool.perdure.lint]\nexclude = ["legacy/"]\n')
    assert [Path(each.path).name for each in lint_paths([tmp_path / "shop"])] == ["orders.py"]
    (tmp_path / "pyproject.toml").write_text('[tool.perdure.lint]\nignore = ["PDR1"]\n')
    assert lint_paths([tmp_path]) == []
    for wrong, says in (('ignores = ["PDR1"]', "there is no 'ignores'"), ("ignore = 5", "Expected `array`")):
        (tmp_path / "pyproject.toml").write_text(f"[tool.perdure.lint]\n{wrong}\n")
        with pytest.raises(InvalidArgumentError, match=says):
            lint_paths([tmp_path])


def test_a_path_without_python_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="there is no file or folder"):
        lint_paths([tmp_path / "missing"])
    with pytest.raises(InvalidArgumentError, match="there is no Python file"):
        lint_paths([tmp_path])


def test_a_file_that_is_no_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    with pytest.raises(InvalidArgumentError, match=r"latin\.py cannot be read as Python"):
        lint_paths([tmp_path])
    (tmp_path / "latin.py").write_bytes(b"# coding: latin-1\n# \xe9\n")
    (tmp_path / "null.py").write_bytes(b"x = '\0'\n")
    assert [(Path(each.path).name, each.code) for each in lint_paths([tmp_path])] == [("null.py", "PDR000")]
    (tmp_path / "pyproject.toml").write_text("[tool.perdure")
    with pytest.raises(InvalidArgumentError, match=r"pyproject\.toml: \[tool\.perdure\.lint\]"):
        lint_paths([tmp_path])


def test_a_file_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("x = " + "not " * 100_000 + "x\n")
    assert [each.code for each in lint_paths([tmp_path])] == ["PDR000"]
    for text in ("a = " + "[" * 100_000, "tool = 3", "[tool]\nperdure = []"):
        (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(InvalidArgumentError, match=r"pyproject\.toml: \[tool\.perdure\.lint\]"):
            lint_paths([tmp_path])


@pytest.mark.parametrize("separator", ["\f", "\x1e", "\x85", "\u2028"])
def test_what_is_no_end_of_a_line_for_python_moves_no_suppression(tmp_path: Path, separator: str) -> None:
    allowed = BAD.replace("time.time()", "time.time()  # perdure: allow PDR101 it is compared")
    (tmp_path / "old.py").write_text(f"# one{separator}line\n{allowed}", "utf-8")
    assert lint_paths([tmp_path]) == []


def test_a_failed_check_shows_every_finding(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text(BAD)
    with pytest.raises(AssertionError, match=r"orders\.py:8:12: PDR101 wall-clock: time\.time \(in workflow w\)"):
        assert_deterministic(file)


def test_the_reference_shows_every_rule() -> None:
    assert PAGE.read_text(encoding="utf-8") == whole_page(), "run: uv run python -m tests.linting.rules_page"
    assert all(f"### {code} " in whole_page() for code in RULES)
