"""What holds for every test: one printed seed repeats both the order and the generated examples of a run."""

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import core

from tests.postgres_server import PostgresServer, emptied, shared_server

# Here, before the doctests of src import it: failed asserts of the shipped suite say what they compared.
pytest.register_assert_rewrite("perdure.testing.store_conformance")

# No deadline: on shared cores the time of one example says nothing.
# No example database: what a run generates depends on its seed and on nothing that an earlier run left behind.
hypothesis.settings.register_profile("perdure", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("perdure")


# Databases of tests lie in memory where that has a folder with room: what a disk does with a sync no test of a living
# process can see, and each costs some milliseconds on one. The torture tools choose their folders themselves.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 2**30
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Let all processes keep what they compile, also where the environment forbids it: very many are started."""
    if session.config.pluginmanager.has_plugin("cacheprovider"):
        assert session.config.cache is not None
        folder = os.environ.setdefault("PYTHONPYCACHEPREFIX", str(session.config.cache.mkdir("bytecode")))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.pycache_prefix, sys.dont_write_bytecode = folder, False


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: a third of their time tests wait for processes, servers and disks."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever has the time repeat everything in every way."""
    parser.addoption("--whole", action="store_true", help="also all tests that repeat others in another way")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that repeat others in another way: `.ci/run` has all of them."""
    if config.getoption("whole"):
        return
    left_out = {item for item in items if item.get_closest_marker("another_way")}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give hypothesis the seed that pytest-randomly resolved, in the controller and in each worker."""
    if core.global_force_seed is None:
        core.global_force_seed = config.getoption("randomly_seed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Say how to repeat a failed run, also where quiet mode has hidden the header."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        seed = terminalreporter.config.getoption("randomly_seed")
        terminalreporter.write_line(f"Repeat this run with: uv run pytest --randomly-seed={seed}")


@pytest.fixture(autouse=True)
def _logging_is_heard() -> Iterator[None]:
    """Let no earlier test's silence reach this one: tools that provoke warnings turn logging off for their process."""
    logging.disable(logging.NOTSET)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("perdure") and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that whoever runs a server can reach: those of pytest are closed to all others, and root needs
    another."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-", dir="/tmp")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Give the session's PostgreSQL server, one for all its processes."""
    folder = tmp_path_factory.getbasetemp()
    with shared_server(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as server:
        yield server


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a database for all tests of this process."""
    with asyncio.Runner() as runner:
        making = postgres_server.database()
        yield runner.run(making.__aenter__())
        runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def emptied_postgres(shared_database: str) -> AsyncIterator[str]:
    """Give the URL of a database without any rows, which is emptied after the test: sooner than one is made."""
    yield shared_database
    await emptied(shared_database)


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Give the URL of an empty PostgreSQL database of the test's own."""
    async with postgres_server.database() as url:
        yield url
