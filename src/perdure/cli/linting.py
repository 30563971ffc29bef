"""`perdure lint`: what workflow code does that does not replay, as text, for programs and for other tools."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.annotations import Annotation, as_github, as_ruff, as_sarif
from perdure.cli.exits import ExitCode
from perdure.cli.printing import complain, json_text, printable
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
    lines = Path(finding.path).read_text("utf-8", "replace").split("\n")
    if finding.line <= len(lines):
        line = lines[finding.line - 1]
        end = finding.end_column if finding.end_line == finding.line else len(line) + 1
        yield f"  {finding.line:>4} | {printable(line)}"
        yield f"       | {' ' * (finding.column - 1)}{'^' * max(end - finding.column, 1)}"


def _as_json(findings: list[Finding]) -> Iterable[str]:
    yield json_text(findings, is_answer=True)


def _as_sarif(findings: list[Finding]) -> Iterable[str]:
    rules = [
        {"id": rule.code, "name": rule.name, "shortDescription": {"text": rule.why}, "help": {"text": rule.instead}}
        for rule in RULES.values()
    ]
    yield as_sarif(map(_annotation, findings), rules=rules)


def _annotation(finding: Finding) -> Annotation:
    place = {name: getattr(finding, name) for name in ("path", "line", "end_line", "column", "end_column")}
    text = finding_text(finding).partition(f": {finding.code} ")[2]
    return Annotation(code=finding.code, text=text, **place)


FORMATS: Final[dict[str, Callable[[list[Finding]], Iterable[str]]]] = {
    "text": _as_text,
    "ruff": lambda findings: as_ruff(map(_annotation, findings)),
    "json": _as_json,
    "github": lambda findings: as_github(map(_annotation, findings)),
    "sarif": _as_sarif,
}
"""How findings can be printed."""
