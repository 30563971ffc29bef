"""Findings at lines of source files, in the forms in which other tools read them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from perdure.texts import printable

__all__ = ["Annotation", "as_github", "as_ruff", "as_sarif"]


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """A finding: `code` names its kind. An empty `path`: it is about no file. Lines and columns count from 1,
    `end_column` is the first one after it; a column of 0 means whole lines."""

    code: str
    text: str
    path: str = ""
    line: int = 1
    end_line: int = 1
    column: int = 0
    end_column: int = 0


def as_ruff(annotations: Iterable[Annotation]) -> Iterable[str]:
    """Yield each finding on one line, as compilers do: ``path:line:column: CODE text``."""
    for each in annotations:
        place = f"{each.path}:{each.line}:{each.column or 1}: " if each.path else ""
        yield printable(f"{place}{each.code} {each.text}")


def as_github(annotations: Iterable[Annotation]) -> Iterable[str]:
    """Yield the workflow commands by which GitHub shows each finding at its line."""
    for each in annotations:
        place: dict[str, object] = {}
        if each.path:
            place = {"file": each.path, "line": each.line, "endLine": each.end_line}
        if each.column:
            place |= {"col": each.column, "endColumn": each.end_column}
        place["title"] = each.code
        properties = ",".join(f"{name}={_escaped_property(value)}" for name, value in place.items())
        yield f"::error {properties}::{_escaped(each.text)}"


def as_sarif(annotations: Iterable[Annotation], *, rules: Iterable[Mapping[str, object]]) -> str:
    """Return the findings as a SARIF document; `rules` describe the kinds by their ids."""
    driver = {"name": "perdure", "rules": list(rules)}
    run = {"tool": {"driver": driver}, "results": [_sarif_result(each) for each in annotations]}
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def _sarif_result(each: Annotation) -> dict[str, object]:
    result: dict[str, object] = {"ruleId": each.code, "level": "error", "message": {"text": each.text}}
    if each.path:
        region = {"startLine": each.line, "endLine": each.end_line}
        if each.column:
            region |= {"startColumn": each.column, "endColumn": each.end_column}
        location = {"artifactLocation": {"uri": Path(each.path).as_posix()}, "region": region}
        result["locations"] = [{"physicalLocation": location}]
    return result


def _escaped(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _escaped_property(value: object) -> str:
    return _escaped(str(value)).replace(":", "%3A").replace(",", "%2C")
