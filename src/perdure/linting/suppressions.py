"""Suppressions: comments that allow what a rule forbids, with the reason why.

``# perdure: allow PDR101 it is compared with the real clock`` on the line of the finding, or alone on the line above.
``# noqa: PDR101`` works as well, on the line itself and without a reason. Codes of other tools are theirs.
"""

import contextlib
import re
import tokenize
from collections.abc import Iterator
from typing import Final

import msgspec

from perdure.linting.finding import Finding
from perdure.linting.rules import RULES

__all__ = ["Suppressions"]

_ALLOW: Final = re.compile(r"#\s*perdure:\s*allow\s+(?P<codes>[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)(?P<reason>.*)")
_NOQA: Final = re.compile(r"#\s*noqa:\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)(?P<reason>)")
_OWN_CODES: Final = "PDR"


class _Suppression(msgspec.Struct):
    code: str
    reason: str
    line: int
    column: int
    end_column: int
    concerns: int
    must_say_why: bool
    is_used: bool = False


class Suppressions:
    """The suppressions of one module."""

    def __init__(self, path: str, source: str) -> None:
        """Read the comments of a source that can be parsed."""
        self._path: Final = path
        self._all: Final = list(_read(source))

    def allow(self, finding: Finding) -> bool:
        """Whether a finding is allowed; then the suppression has been of use."""
        allowed = False
        for each in self._all:
            if each.code == finding.code and each.concerns == finding.line and (each.reason or not each.must_say_why):
                each.is_used = allowed = True
        return allowed

    def complaints(self) -> Iterator[Finding]:
        """Yield what is wrong with the suppressions themselves, once all findings have been asked about."""
        for each in self._all:
            if each.code not in RULES:
                yield self._finding(each, "PDR001", f"there is no rule {each.code}")
            elif each.must_say_why and not each.reason:
                yield self._finding(each, "PDR001", f"no reason is given for {each.code}")
            elif not each.is_used:
                yield self._finding(each, "PDR002", each.code)

    def _finding(self, each: _Suppression, code: str, message: str) -> Finding:
        return Finding(
            path=self._path,
            line=each.line,
            column=each.column,
            end_line=each.line,
            end_column=each.end_column,
            code=code,
            message=message,
        )


def _comments(source: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the comments of a source that can be parsed; those until where the standard library's tokenizer fails."""
    lines = (line + "\n" for line in source.split("\n"))  # `splitlines` also splits at what Python takes for a blank
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(lambda: next(lines, "")):
            if token.type == tokenize.COMMENT:
                yield token


def _read(source: str) -> Iterator[_Suppression]:
    if _ALLOW.search(source) is None and _OWN_CODES not in source:
        return  # as in most: to tell comments from strings takes as long as all else
    for token in _comments(source):
        line, column = token.start
        is_alone = not token.line[:column].strip()
        for pattern, must_say_why in ((_ALLOW, True), (_NOQA, False)):
            found = pattern.search(token.string)
            if found is None:
                continue
            for code in re.split(r"[,\s]+", found["codes"]):
                if not must_say_why and not code.startswith(_OWN_CODES):
                    continue
                yield _Suppression(
                    code=code,
                    reason=found["reason"].strip(" :-"),
                    line=line,
                    column=column + 1,
                    end_column=token.end[1] + 1,
                    concerns=line + 1 if is_alone and must_say_why else line,
                    must_say_why=must_say_why,
                )
