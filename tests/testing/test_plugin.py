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
