"""The pytest plugin: test environments as fixtures, crashes at every step, golden histories, the linter as a test.

* ``perdure_env`` and ``perdure_sync_env`` give each test an environment of its own.
* ``@pytest.mark.perdure_crash_everywhere`` runs the body of a test again with a death of the process at every point.
* ``perdure_golden`` compares a history with the one that is kept beside the test.
* ``pytest --perdure-lint src`` adds a test that fails with what the linter finds there.

pytest loads it by itself where perdure is installed. It stands beside the package, not in it, so that a suite which
does not ask for anything imports nothing of Perdure: neither slower, nor past whoever measures what is imported.
"""

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from perdure import RecordedEvent
    from perdure.testing import SyncTestEnvironment, TestEnvironment

__all__ = [
    "PerdureGolden",
    "perdure_env",
    "perdure_golden",
    "perdure_sync_env",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_itemcollected",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("perdure")
    group.addoption(
        "--perdure-lint",
        action="append",
        default=[],
        metavar="PATH",
        help="check the workflow code of a file or folder for what does not replay; may be given several times",
    )
    group.addoption(
        "--perdure-update-golden",
        action="store_true",
        help="keep the histories that perdure_golden is given, instead of comparing them",
    )
    group.addoption(
        "--perdure-crash-point",
        type=int,
        metavar="NUMBER",
        help="of tests that crash everywhere, strike at this point only, as a failure names it",
    )
    group.addoption(
        "--perdure-crash-passes",
        type=int,
        metavar="COUNT",
        help="of tests that crash everywhere, strike at most so many points alone",
    )
    group.addoption(
        "--perdure-crash-seed",
        type=int,
        metavar="SEED",
        help="of tests that crash everywhere, repeat the sample of points that was taken with this seed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(passes=50, seed=None): run the body of the test, which takes perdure_env or perdure_sync_env, "
        "again with a death of the process at every commit and every effect, and compare",
    )


# --- environments ----------------------------------------------------------------------------------------------------


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


# --- golden histories ------------------------------------------------------------------------------------------------

PerdureGolden = Callable[..., None]
"""What the fixture is: ``perdure_golden(history, name="")``."""


@pytest.fixture
def perdure_golden(request: pytest.FixtureRequest) -> PerdureGolden:
    """Give a test a function that fails unless a history is the kept one, in ``golden/`` beside the test's module.

    ``perdure_golden(await perdure_env.history(run))``; with a `name` for each, where a test has several.
    ``pytest --perdure-update-golden`` keeps what it is given.
    """
    from perdure.testing import assert_golden  # noqa: PLC0415 - only for who asks

    folder = request.path.parent / "golden" / request.path.stem

    def golden(history: Iterable["RecordedEvent"], name: str = "") -> None:
        __tracebackhide__ = True
        file = folder / f"{_file_name(request.node.name)}{f'-{_file_name(name)}' if name else ''}.jsonl"
        assert_golden(history, _from_here(file), update=request.config.getoption("perdure_update_golden"))

    return golden


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=-]+", "-", text).strip("-")


def _from_here(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


# --- crashes at every step -------------------------------------------------------------------------------------------

_MARKER: Final = "perdure_crash_everywhere"
_ENVIRONMENTS: Final = ("perdure_env", "perdure_sync_env")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put the passes around the body of a test that has the marker."""
    marker = item.get_closest_marker(_MARKER)
    if marker is not None and not _misuse(item, marker):
        assert isinstance(item, pytest.Function)
        name = _environment_of(item)
        around = _around_async if inspect.iscoroutinefunction(item.obj) else _around_sync
        item.obj = around(item, name, _options(item.config, marker))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker cannot work."""
    marker = item.get_closest_marker(_MARKER)
    if marker is not None and (problem := _misuse(item, marker)):
        pytest.fail(f"@pytest.mark.{_MARKER}: {problem}", pytrace=False)


def _misuse(item: pytest.Item, marker: pytest.Mark) -> str:
    """Say what is wrong with a marker; nothing: an empty text."""
    if marker.args or marker.kwargs.keys() - {"passes", "seed"}:
        return "its arguments are passes=COUNT and seed=NUMBER"
    name = _environment_of(item)
    if not name:
        return (
            "the test must take perdure_env or perdure_sync_env itself, because each pass gets another one; elsewhere, "
            "as in unittest, call perdure.testing.crash_everywhere with a function that takes the environment"
        )
    is_async = inspect.iscoroutinefunction(getattr(item, "obj", None))
    if is_async != (name == "perdure_env"):
        return "a coroutine function takes perdure_env, a plain function perdure_sync_env"
    return ""


def _environment_of(item: pytest.Item) -> str:
    taken = inspect.signature(item.obj).parameters if isinstance(item, pytest.Function) else {}
    return next((name for name in _ENVIRONMENTS if name in taken), "")


def _options(config: pytest.Config, marker: pytest.Mark) -> dict[str, Any]:
    said = {name: config.getoption(f"perdure_crash_{name}") for name in ("passes", "seed")}
    told = {name: value for name, value in said.items() if value is not None}
    return {**marker.kwargs, **told, "only": config.getoption("perdure_crash_point")}


def _around_async(item: pytest.Function, name: str, options: dict[str, Any]) -> Callable[..., Awaitable[None]]:
    body = item.obj

    @functools.wraps(body)
    async def everywhere(*args: object, **kwargs: object) -> None:
        __tracebackhide__ = True
        from perdure.testing import crash_everywhere  # noqa: PLC0415 - only for who asks

        async def scenario(environment: "TestEnvironment") -> None:
            __tracebackhide__ = True
            try:
                await body(*args, **{**kwargs, name: environment})
            except pytest.fail.Exception as failed:  # no Exception, and a finding all the same
                raise AssertionError(str(failed)) from failed

        template: Any = kwargs[name]
        _tell(item, await crash_everywhere(scenario, environment=template, **options))

    return everywhere


def _around_sync(item: pytest.Function, name: str, options: dict[str, Any]) -> Callable[..., None]:
    body = item.obj

    @functools.wraps(body)
    def everywhere(*args: object, **kwargs: object) -> None:
        __tracebackhide__ = True
        from perdure.testing import crash_everywhere_sync  # noqa: PLC0415 - only for who asks

        def scenario(environment: "SyncTestEnvironment") -> None:
            __tracebackhide__ = True
            try:
                body(*args, **{**kwargs, name: environment})
            except pytest.fail.Exception as failed:  # no Exception, and a finding all the same
                raise AssertionError(str(failed)) from failed

        template: Any = kwargs[name]
        _tell(item, crash_everywhere_sync(scenario, environment=template, **options))

    return everywhere


def _tell(item: pytest.Item, report: object) -> None:
    item.user_properties.append((_MARKER, str(report)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each test that crashed everywhere how often it did, and with which seed."""
    for passed in terminalreporter.getreports("passed"):
        for name, said in getattr(passed, "user_properties", ()):
            if name == _MARKER and passed.when == "call":
                terminalreporter.write_line(f"{passed.nodeid} crashed everywhere: {said}")


# --- the linter ------------------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each path to check."""
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
