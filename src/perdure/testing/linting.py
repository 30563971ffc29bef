"""The determinism linter on files: for the command line, and for a test of your own suite.

from perdure.testing.linting import assert_deterministic

def test_workflows_replay_as_they_ran() -> None:
    assert_deterministic("src")
"""

import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.linting import RULES, Finding, Source, lint
from perdure.testing.named_paths import is_file, is_folder

__all__ = ["Choice", "assert_deterministic", "choice_of_project", "finding_text", "lint_paths"]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which rules count, by the beginnings of their codes, and which files do not, by parts of their paths."""

    select: tuple[str, ...] = ("PDR",)
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, finding: Finding) -> bool:
        """Whether a finding counts."""
        return finding.code.startswith(self.select) and not (self.ignore and finding.code.startswith(self.ignore))


def assert_deterministic(*paths: str | Path, choice: Choice | None = None) -> None:
    """Fail with every finding in the workflow code of files and folders. Raises InvalidArgumentError for none."""
    findings = lint_paths(paths, choice=choice)
    if findings:
        raise AssertionError("\n".join([f"{len(findings)} findings in workflow code", *map(finding_text, findings)]))


def lint_paths(paths: Iterable[str | Path], *, choice: Choice | None = None) -> list[Finding]:
    """Check the workflow code of files and folders; `choice` is the project's unless it is given.

    Raises InvalidArgumentError for a path that is not there, and where there is no Python file.
    """
    given = [_existing(Path(path)) for path in paths]
    chosen = choice_of_project(given) if choice is None else choice
    sources = [_source(path) for path in dict.fromkeys(_files(given, exclude=chosen.exclude))]
    if not sources:
        message = f"there is no Python file in {', '.join(map(str, given)) or 'nothing'}"
        raise InvalidArgumentError(message)
    return [finding for finding in lint(sources) if chosen.takes(finding)]


def finding_text(finding: Finding) -> str:
    """Return a finding on one line, as compilers do: ``path:line:column: CODE name: message``."""
    name = RULES[finding.code].name if finding.code in RULES else "syntax-error"
    where = f" (in workflow {finding.workflow})" if finding.workflow else ""
    return f"{finding.path}:{finding.line}:{finding.column}: {finding.code} {name}: {finding.message}{where}"


def choice_of_project(paths: Sequence[Path]) -> Choice:
    """Return what ``[tool.perdure.lint]`` says in the nearest pyproject.toml above the first path.

    Raises InvalidArgumentError for what it must not say.
    """
    start = (paths[0] if paths else Path()).absolute()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if is_file(file):
            try:
                return msgspec.convert(_section(tomllib.loads(file.read_text("utf-8"))), Choice)
            except (ValueError, RecursionError, msgspec.ValidationError) as error:  # no TOML is a ValueError, too
                message = f"{file}: [tool.perdure.lint]: {error}"
                raise InvalidArgumentError(message) from error
    return Choice()


def _section(said: dict[str, Any]) -> dict[str, Any]:
    section = said
    for name in ("tool", "perdure", "lint"):
        section = section.get(name, {})
        if not isinstance(section, dict):
            message = f"{name} is no table"
            raise ValueError(message)  # noqa: TRY004 - its caller names the file
    unknown = section.keys() - set(Choice.__struct_fields__)
    if unknown:
        message = f"there is no {min(unknown)!r}; there are {', '.join(Choice.__struct_fields__)}"
        raise ValueError(message)
    return section


def _existing(path: Path) -> Path:
    """Return a path that is there. Raises InvalidArgumentError."""
    if is_folder(path) or is_file(path):
        return path
    message = f"there is no file or folder {path!s:.300}"
    raise InvalidArgumentError(message)


def _files(paths: Iterable[Path], *, exclude: tuple[str, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = (file for file in sorted(path.rglob("*.py")) if _is_of_project(file.relative_to(path)))
            yield from (file for file in inside if not any(part in file.as_posix() for part in exclude))
        else:
            yield path


def _is_of_project(file: Path) -> bool:
    return not any(part.startswith(".") or part in _NOT_OURS for part in file.parts[:-1])


_NOT_OURS: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"})


def _source(path: Path) -> Source:
    parts = [path.stem] if path.stem != "__init__" else []
    folder = path.absolute().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    try:
        with tokenize.open(path) as file:  # in the encoding that the file declares
            text = file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as Python: {error}"
        raise InvalidArgumentError(message) from error
    return Source(path=str(path), module=".".join(parts), text=text)
