r"""Texts of unknown origin, made harmless before anybody reads them: in a terminal, a log, an error, a history.

**Escaped.** `printable` is for one line of a terminal or a log, `indented` for a text of several lines, `json_escaped`
for JSON that may be shown by a terminal. They escape what a terminal would obey instead of show, and what would make
one line look like two: control characters, overrides of direction, invisible and unassigned characters, ends of lines.

**Hidden.** `redacted` takes secrets out of a free text: values that were registered (`register_secret`), passwords in
URLs, and what follows a name such as ``password=``. `masked` does it in values of JSON, by the names of members.

The registered values are the process': texts arise where no engine is known, as failures do.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from perdure.errors import InvalidArgumentError

__all__ = [
    "HIDDEN",
    "has_secret_names",
    "indented",
    "json_escaped",
    "masked",
    "printable",
    "redacted",
    "register_secret",
]

HIDDEN: Final = "***"
"""What stands for a secret."""

_SHORTEST_SECRET: Final = 6


# --- escaped ---------------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    r"""Return `text` on one line, with everything escaped that a terminal would obey instead of show.

    >>> printable("order\x1b[2J\u202e1")
    'order\\x1b[2J\\u202e1'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def indented(text: str) -> str:
    r"""Return a text of several lines, each printable, all but the first indented: none can pass for a new beginning.

    Lines that are indented already stay as they are.

    >>> indented("it failed\n  File \"a.py\", line 1\nERROR forged\r")
    'it failed\n  File "a.py", line 1\n    ERROR forged\\r'
    """
    if text.isprintable():
        return text
    first, *others = text.split("\n")
    return "\n".join([printable(first), *(_indented_line(printable(line)) for line in others)])


def _indented_line(line: str) -> str:
    return line if not line or line.startswith(" ") else f"{_INDENT}{line}"


_INDENT: Final = "    "


def json_escaped(text: str) -> str:
    r"""Return JSON of the same value, in which every character is printable; ends of lines between tokens stay.

    >>> json_escaped('{"id":"\u202e\x9b1m \U000e0041"}')
    '{"id":"\\u202e\\u009b1m \\udb40\\udc41"}'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in text)


def _in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


# --- hidden ----------------------------------------------------------------------------------------------------------


def register_secret(value: str | bytes) -> None:
    """Hide a value in what this process logs, raises, shows and records of failures, also encoded (base64, hex, URL).

    Values of users are recorded as they are: give secrets to activities by name, not as arguments. Call it at the
    start, for each secret that the process reads. Raises InvalidArgumentError for fewer than six characters, which
    would be found where no secret is.

    >>> register_secret("correct horse")
    """
    if not isinstance(value, str | bytes):
        raise InvalidArgumentError(f"register_secret: a {type(value).__name__} is given; it must be a text or bytes")
    if len(value) < _SHORTEST_SECRET:
        raise InvalidArgumentError(f"register_secret: fewer than {_SHORTEST_SECRET} characters would hide other texts")
    _SECRETS.add(_forms(value))


class _Secrets:
    """The values that were registered, as one pattern."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        self._values = self._values.union(values)
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


_SECRETS: Final = _Secrets()


def _forms(value: str | bytes) -> set[str]:
    """Return the texts as which a value may appear."""
    from base64 import b64encode, urlsafe_b64encode  # noqa: PLC0415 - who registers nothing does not pay for it
    from urllib.parse import quote, quote_plus  # noqa: PLC0415 - as above

    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    text = data.decode("utf-8", "backslashreplace")
    plain = {text, repr(text)[1:-1], repr(data)[2:-1], quote(data, safe=""), quote_plus(data), printable(text)}
    encoded = {data.hex(), data.hex().upper(), b64encode(data).decode(), urlsafe_b64encode(data).decode()}
    return {stripped for form in plain | encoded if len(stripped := form.rstrip("=")) >= _SHORTEST_SECRET}


_NAMES: Final = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|credentials?|authorization|cookie"
    r"|(?:api|access|private|secret|auth|encryption|signing|master|session)[_-]?key"
)


@cache
def _telling() -> tuple[re.Pattern[str], ...]:
    """Return what tells a secret: its place in a URL, a name before it, or the word *bearer*. Made when it is needed.

    All repetitions before a secret are bounded: a long text costs in proportion to its length.
    """
    in_urls = r"""(?P<before>\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@"']{0,200}:)(?!\d{1,5}[/?#])[^\s"']{1,200}(?=@)"""
    named = (
        rf"""(?P<before>\b[\w-]{{0,40}}?(?:{_NAMES})["']?\s{{0,9}}[=:]\s{{0,9}}(?:(?:basic|bearer)\s+)?)"""
        r"""(?!\d+\b)(?:"[^"\n]*"|'[^'\n]*'|[^\s"',;&)\]}]+)"""
    )
    bearer = r"(?P<before>\bbearer\s+)[\w.~+/-]{8,}=*"
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in (in_urls, named, bearer))


@cache
def _secret_member() -> re.Pattern[str]:
    return re.compile(rf"(?:^|[\W_]|(?<=[a-z])(?=[A-Z]))(?i:{_NAMES})$")


@cache
def _maybe_secret() -> re.Pattern[str]:
    return re.compile(_NAMES, re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a free text without the secrets in it.

    >>> redacted("postgres://shop:hunter2@db/x refused password='a b', token=abc-1 after 3 tries")
    'postgres://shop:***@db/x refused password=***, token=*** after 3 tries'
    """
    text = _SECRETS.hide(text)
    for pattern in _telling():
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text


def has_secret_names(text: str) -> bool:
    """Whether a JSON text may have members with names of secrets, or a registered value."""
    return _maybe_secret().search(text) is not None or _SECRETS.hide(text) != text


def masked(value: object) -> object:
    """Return a value of JSON whose members with names of secrets, and whose registered values, are hidden.

    >>> masked({"user": "ann", "dbPassword": "x", "keys": [{"api_key": "y", "tokens": 3}]})
    {'user': 'ann', 'dbPassword': '***', 'keys': [{'api_key': '***', 'tokens': 3}]}
    """
    return _masked(value, depth=0)


def _masked(value: object, *, depth: int) -> object:
    match value:
        case dict() | list() | tuple() if depth == _DEEPEST:
            return HIDDEN
        case dict():
            return {
                name: HIDDEN if _is_secret(name) and _is_told(member) else _masked(member, depth=depth + 1)
                for name, member in ((_masked(name, depth=depth), member) for name, member in value.items())
            }
        case list() | tuple():
            return [_masked(member, depth=depth + 1) for member in value]
        case str():
            return _SECRETS.hide(value)
        case _:
            return value


_DEEPEST: Final = 128
"""Twice as deep as anything that is recorded."""


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and _secret_member().search(name) is not None


def _is_told(value: object) -> bool:
    """Whether a value tells something: numbers are fencing tokens and counts."""
    return not isinstance(value, int | float | None) and value != ""
