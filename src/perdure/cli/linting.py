"""`perdure lint`: what workflow code does that does not replay, as text, for programs and for other tools."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.exits import ExitCode
from perdure.cli.printing import complain, printable
from perdure.errors import UsageError
from perdure.linting import RULES, Finding, Rule
from perdure.testing.linting import choice_of_project, finding_text, lint_paths

__all__ = ["FORMATS", "explain", "lint"]


def lint(paths: list[Path], *, select: list[str], ignore: list[str], form: str) -> int:
    """Check files and folders, print the findings. Raises UsageError and InvalidArgumentError for wrong calls."""
    for code in (*select, *ignore):
        if not any(known.startswith(code) for known in RULES):
            message = f"no rule begins with {code!r}; perdure lint --explain all shows them"
            raise UsageError(message)
    chosen = choice_of_project(paths)
    chosen = msgspec.structs.replace(chosen, select=tuple(select) or chosen.select, ignore=(*chosen.ignore, *ignore))
    findings = lint_paths(paths, choice=chosen)
    for line in FORMATS[form](findings):
        print(line)
    return ExitCode.ERROR if findings else ExitCode.OK


def explain(code: str) -> int:
    """Print what a rule is about, with a bad and a good example; `all` of them on a line each."""
    if code == "all":
        for rule in RULES.values():
            print(f"{rule.code} {rule.name}: {rule.why}")
        return ExitCode.OK
    if code not in RULES:
        complain(f"there is no rule {code!r}; perdure lint --explain all shows them", command="lint")
        return ExitCode.USAGE
    print("\n".join(_explained(RULES[code])))
    return ExitCode.OK


def _explained(rule: Rule) -> list[str]:
    bad, good = rule.bad.strip("\n"), rule.good.strip("\n")
    return [f"{rule.code} {rule.name}", "", rule.why, rule.instead, "", "Wrong:", "", bad, "", "Right:", "", good]


def _as_text(findings: list[Finding]) -> Iterable[str]:
    for finding in findings:
        yield printable(finding_text(finding))
        yield from _shown(finding)
        if finding.code in RULES:
            yield f"  {RULES[finding.code].why} {RULES[finding.code].instead}"
        yield ""
    yield "no findings" if not findings else f"{len(findings)} findings; perdure lint --explain CODE says more"


def _shown(finding: Finding) -> Iterable[str]:
    lines = Path(finding.path).read_text("utf-8", "replace").splitlines()
    if finding.line <= len(lines):
        line = lines[finding.line - 1]
        end = finding.end_column if finding.end_line == finding.line else len(line) + 1
        yield f"  {finding.line:>4} | {printable(line)}"
        yield f"       | {' ' * (finding.column - 1)}{'^' * max(end - finding.column, 1)}"


def _as_ruff(findings: list[Finding]) -> Iterable[str]:
    yield from map(finding_text, findings)


def _as_json(findings: list[Finding]) -> Iterable[str]:
    yield msgspec.json.format(msgspec.json.encode(findings)).decode()


def _as_github(findings: list[Finding]) -> Iterable[str]:
    for finding in findings:
        text = finding_text(finding).partition(": ")[2].replace("%", "%25").replace("\n", "%0A")
        place = f"file={finding.path},line={finding.line},endLine={finding.end_line},col={finding.column}"
        yield f"::error {place},endColumn={finding.end_column},title={finding.code}::{text}"


def _as_sarif(findings: list[Finding]) -> Iterable[str]:
    rules = [
        {"id": rule.code, "name": rule.name, "shortDescription": {"text": rule.why}, "help": {"text": rule.instead}}
        for rule in RULES.values()
    ]
    driver = {"name": "perdure", "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_sarif_result(finding) for finding in findings]}
    yield json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def _sarif_result(finding: Finding) -> dict[str, object]:
    region = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    location = {"artifactLocation": {"uri": Path(finding.path).as_posix()}, "region": region}
    return {
        "ruleId": finding.code,
        "level": "error",
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
    }


FORMATS: Final[dict[str, Callable[[list[Finding]], Iterable[str]]]] = {
    "text": _as_text,
    "ruff": _as_ruff,
    "json": _as_json,
    "github": _as_github,
    "sarif": _as_sarif,
}
"""How findings can be printed."""
