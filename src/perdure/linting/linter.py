"""The linter: sources in, findings out."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from perdure.linting.checks import CHECKS
from perdure.linting.code import Code
from perdure.linting.finding import Finding
from perdure.linting.modules import Module, parse_module
from perdure.linting.project import Project
from perdure.linting.sets import check_sets
from perdure.linting.suppressions import Suppressions

__all__ = ["SYNTAX_ERROR", "Source", "lint"]

SYNTAX_ERROR: Final = "PDR000"
"""The code of what cannot be parsed."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A module's text, with its path as it shall be shown and its dotted name, by which others import it."""

    path: str
    module: str
    text: str


def lint(sources: Sequence[Source]) -> list[Finding]:
    """Check the workflow code of all sources together; return the findings in the order of their places."""
    modules: list[Module] = []
    findings: list[Finding] = []
    for source in sources:
        try:
            modules.append(parse_module(source.module, source.path, source.text))
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # a null character; nested too deep
            findings.append(_syntax_error(source, error))
    project = Project(modules)
    suppressions = {module.path: Suppressions(module.path, module.source) for module in modules}
    for code, workflow in project.codes():
        for found in _check(code, project):
            placed = msgspec.structs.replace(found, path=code.module.path, workflow=workflow)
            if not suppressions[code.module.path].allow(placed):
                findings.append(placed)
    for each in suppressions.values():
        findings += each.complaints()
    return sorted(set(findings))


def _check(code: Code, project: Project) -> Iterator[Finding]:
    for check in (*CHECKS, check_sets):
        yield from check(code, project)


def _syntax_error(source: Source, error: Exception) -> Finding:
    if not isinstance(error, SyntaxError):
        error = SyntaxError(str(error) or "it is nested too deep")
    line, column = error.lineno or 1, error.offset or 1
    return Finding(
        path=source.path,
        line=line,
        column=column,
        end_line=error.end_lineno or line,
        end_column=error.end_offset or column,
        code=SYNTAX_ERROR,
        message=f"it cannot be parsed: {error.msg}",
    )
