"""The pytest plugin: test environments as fixtures, and the linter as a test.

``perdure_env`` and ``perdure_sync_env`` give each test an environment of its own. ``pytest --perdure-lint src`` adds a
test that fails with what the linter finds there.

pytest loads it by itself where perdure is installed. It stands beside the package, not in it, so that a suite which
does not ask for anything imports nothing of Perdure: neither slower, nor past whoever measures what is imported.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure.testing import SyncTestEnvironment, TestEnvironment

__all__ = ["perdure_env", "perdure_sync_env", "pytest_addoption", "pytest_collection_modifyitems"]


@pytest.fixture
def perdure_env() -> Iterator["TestEnvironment"]:
    """Give a test that is a coroutine function an engine in memory with a virtual clock; see `TestEnvironment`."""
    from perdure.testing import TestEnvironment  # noqa: PLC0415 - only for who asks

    environment = TestEnvironment()
    yield environment
    environment.dispose()


@pytest.fixture
def perdure_sync_env() -> Iterator["SyncTestEnvironment"]:
    """Give a test that is a plain function an engine in memory with a virtual clock; see `SyncTestEnvironment`."""
    from perdure.testing import SyncTestEnvironment  # noqa: PLC0415 - only for who asks

    with SyncTestEnvironment() as environment:
        yield environment


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("perdure")
    group.addoption(
        "--perdure-lint",
        action="append",
        default=[],
        metavar="PATH",
        help="check the workflow code of a file or folder for what does not replay; may be given several times",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each path."""
    items.extend(_Lint.from_parent(session, name=f"perdure lint {path}", path_checked=path) for path in _paths(config))


def _paths(config: pytest.Config) -> Iterator[str]:
    yield from config.getoption("perdure_lint")


class _Lint(pytest.Item):
    def __init__(self, *, path_checked: str, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]  # what pytest itself passes on
        self._path_checked = path_checked

    def runtest(self) -> None:
        from perdure.testing.linting import assert_deterministic  # noqa: PLC0415 - only for who asks

        assert_deterministic(self._path_checked)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]  # a text will do
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, int | None, str]:
        return self._path_checked, None, self.name
