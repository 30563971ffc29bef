"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

WORKFLOW = """
from datetime import timedelta

from perdure import Context, activity, workflow
from perdure.testing import SyncTestEnvironment, TestEnvironment

@activity
async def debit(month: int) -> str:
    return f"billed {month}"

@workflow
async def subscription(ctx: Context, months: int) -> list[str]:
    bills = []
    for month in range(months):
        await ctx.sleep(timedelta(days=30))
        bills.append(await debit(month))
    return bills
"""


def run_pytest(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a test module that begins with the workflow."""
    (folder / "test_it.py").write_text(WORKFLOW + source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error"]
    if "no:asyncio" not in arguments:
        command += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=100)


ASYNCHRONOUS = """
async def test_months(perdure_env: TestEnvironment) -> None:
    run = await perdure_env.start(subscription, 2)
    assert await run.result() == ["billed 0", "billed 1"]

async def test_another_environment(perdure_env: TestEnvironment) -> None:
    assert await perdure_env.count_runs() == 0
"""


def test_the_fixture_works_with_pytest_asyncio(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, ASYNCHRONOUS, "-p", "no:anyio")
    assert "2 passed" in ran.stdout, ran.stdout


def test_the_fixture_works_with_anyio(tmp_path: Path) -> None:
    marked = f"import pytest\n{ASYNCHRONOUS}\npytestmark = pytest.mark.anyio\n"
    marked += "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    ran = run_pytest(tmp_path, marked, "-p", "no:asyncio")
    assert "2 passed" in ran.stdout, ran.stdout


def test_the_fixture_of_synchronous_tests_works(tmp_path: Path) -> None:
    ran = run_pytest(
        tmp_path,
        """
def test_months(perdure_sync_env: SyncTestEnvironment) -> None:
    assert perdure_sync_env.start(subscription, 2).result() == ["billed 0", "billed 1"]
""",
        "-p",
        "no:asyncio",
    )
    assert "1 passed" in ran.stdout, ran.stdout


def test_a_suite_may_describe_its_own_environment(tmp_path: Path) -> None:
    ran = run_pytest(
        tmp_path,
        """
import pytest

@pytest.fixture
def perdure_env():
    environment = TestEnvironment("sqlite:", strict=True)
    environment.replace(debit, lambda month: "free")
    yield environment
    environment.dispose()

async def test_months(perdure_env: TestEnvironment) -> None:
    run = await perdure_env.start(subscription, 1)
    assert await run.result() == ["free"]
""",
    )
    assert "1 passed" in ran.stdout, ran.stdout


GOLDEN = """
import pytest

@pytest.mark.parametrize("months", [1, 2])
async def test_kept(perdure_env: TestEnvironment, perdure_golden, months: int) -> None:
    run = await perdure_env.start(subscription, months)
    await run.result()
    perdure_golden(await perdure_env.history(run))
    perdure_golden(await perdure_env.history(run), "twice")
"""


def test_golden_histories_are_kept_compared_and_shown(tmp_path: Path) -> None:
    missing = run_pytest(tmp_path, GOLDEN)
    assert "2 failed" in missing.stdout
    assert "there is no golden history golden/test_it/test_kept-1.jsonl; look at this one" in missing.stdout
    assert "2 passed" in run_pytest(tmp_path, GOLDEN, "--perdure-update-golden").stdout
    assert sorted(file.name for file in (tmp_path / "golden" / "test_it").iterdir()) == [
        "test_kept-1-twice.jsonl",
        "test_kept-1.jsonl",
        "test_kept-2-twice.jsonl",
        "test_kept-2.jsonl",
    ]
    assert "2 passed" in run_pytest(tmp_path, GOLDEN).stdout
    changed = run_pytest(tmp_path, GOLDEN.replace("subscription, months", "subscription, months + 1"))
    assert "2 failed" in changed.stdout
    assert "E       -run created: subscription(1)" in changed.stdout
    assert "E       if this run is right, keep its history with: pytest --perdure-update-golden" in changed.stdout
    assert "perdure_pytest.py" not in changed.stdout


CRASHING = """
import pytest
from perdure.testing import assert_history

counted: list[int] = []

@workflow
async def counts_outside(ctx: Context) -> int:
    for month in range(3):
        await debit(month)
        counted.append(month)
    return len(counted)

@pytest.mark.perdure_crash_everywhere
async def test_whole(perdure_env: TestEnvironment) -> None:
    run = await perdure_env.start(subscription, 2)
    assert await run.result() == ["billed 0", "billed 1"]

@pytest.mark.perdure_crash_everywhere(passes=3, seed=11)
class TestSampled:
    async def test_in_a_class(self, perdure_env: TestEnvironment, tmp_path) -> None:
        run = await perdure_env.start(subscription, 2)
        assert await run.result() == ["billed 0", "billed 1"]

    def test_synchronous(self, perdure_sync_env: SyncTestEnvironment) -> None:
        assert perdure_sync_env.start(subscription, 2).result() == ["billed 0", "billed 1"]

@pytest.mark.perdure_crash_everywhere
async def test_broken(perdure_env: TestEnvironment) -> None:
    counted.clear()
    run = await perdure_env.start(counts_outside)
    assert await run.result() == 3

@pytest.mark.perdure_crash_everywhere
async def test_fails_with_pytest(perdure_env: TestEnvironment) -> None:
    await (await perdure_env.start(subscription, 1)).result()
    if perdure_env.crashes:
        pytest.fail("crashed, said pytest")

@pytest.mark.perdure_crash_everywhere
async def test_without_environment() -> None: ...

@pytest.mark.perdure_crash_everywhere
def test_of_the_other_kind(perdure_env: TestEnvironment) -> None: ...

@pytest.mark.perdure_crash_everywhere(100)
async def test_wrong_arguments(perdure_env: TestEnvironment) -> None: ...
"""


def test_the_marker_crashes_everywhere_and_says_what_broke(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, CRASHING)
    assert "2 failed, 3 passed, 3 errors" in ran.stdout, ran.stdout
    for line in (
        "test_it.py::test_whole crashed everywhere: 14 points, 28 deaths in 17 passes",
        "::test_in_a_class crashed everywhere: 14 points, 17 deaths in 6 passes, a sample with seed 11",
        "::test_synchronous crashed everywhere: 14 points, 17 deaths in 6 passes, a sample with seed 11",
        "E       AssertionError: the scenario breaks when the process dies at each of its 14 points in turn",
        "in pytest with --perdure-crash-point=",
        ">       assert await run.result() == 3",
        "it raises AssertionError: crashed, said pytest",
        "@pytest.mark.perdure_crash_everywhere: the test must take perdure_env or perdure_sync_env itself",
        "@pytest.mark.perdure_crash_everywhere: a coroutine function takes perdure_env, a plain function",
        "@pytest.mark.perdure_crash_everywhere: its arguments are passes=COUNT and seed=NUMBER",
    ):
        assert line in ran.stdout, f"{line}\n{ran.stdout}"


def test_a_failure_is_repeated_and_a_sample_taken_by_options(tmp_path: Path) -> None:
    one = run_pytest(tmp_path, CRASHING, "-k", "test_whole", "--perdure-crash-point=5")
    assert "test_it.py::test_whole crashed everywhere: 14 points, 1 deaths in 2 passes" in one.stdout
    few = run_pytest(tmp_path, CRASHING, "-k", "test_whole", "--perdure-crash-passes=2", "--perdure-crash-seed=4")
    assert "14 points, 16 deaths in 5 passes, a sample with seed 4" in few.stdout
    none = run_pytest(tmp_path, CRASHING, "-k", "test_whole", "--perdure-crash-point=99")
    assert "there is no crash point 99: the undisturbed pass has 14, counted from 1" in none.stdout


def test_the_marker_works_with_anyio_and_xdist(tmp_path: Path) -> None:
    marked = f"{CRASHING}\npytestmark = pytest.mark.anyio\n"
    marked += "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    ran = run_pytest(tmp_path, marked, "-p", "no:asyncio", "-n", "1", "-k", "whole or Sampled")
    assert "3 passed" in ran.stdout, ran.stdout
    assert "test_it.py::test_whole crashed everywhere: 14 points, 28 deaths in 17 passes" in ran.stdout
