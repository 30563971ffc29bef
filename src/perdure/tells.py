r"""What tells a secret from where it stands: the name before it, its place in a URL, the word *bearer*. Pure.

`without_told` is for texts that are shown once, and rather hides too much. `without_surely_told` is for those that are
recorded for good, where ``unexpected token: EOF`` must not become ``unexpected token: ***``: behind a colon it hides
only what has a quoted name, is quoted itself, follows *Basic* or *Bearer*, or has the look of what no language has.
`masked` goes by the names of members in values of JSON.

All take time in proportion to the length of the text: what repeats before a secret is bounded.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Final

__all__ = ["HIDDEN", "has_telling_names", "masked", "without_surely_told", "without_told"]

HIDDEN: Final = "***"
"""What stands for a secret."""


def without_told(text: str) -> str:
    """Return a text without whatever may be a secret by its place.

    >>> without_told("postgres://shop:hunter2@db/x refused password='a b', token: abc after 3 tries")
    'postgres://shop:***@db/x refused password=***, token: *** after 3 tries'
    """
    return _without(text, _is_told_by_name)


def without_surely_told(text: str) -> str:
    """Return a text without what is a secret by its place, and with what only might be one.

    >>> without_surely_told("unexpected token: EOF in password=hunter2")
    'unexpected token: EOF in password=***'
    """
    return _without(text, _is_surely_told_by_name)


def has_telling_names(text: str) -> bool:
    """Whether a JSON text may have members with names of secrets."""
    return _patterns().name.search(text) is not None


def masked(value: object, hide: Callable[[str], str] = str) -> object:
    """Return a value of JSON whose members with names of secrets are hidden, and whose other texts went through `hide`.

    >>> masked({"user": "ann", "DBPassword": "x", "keys": [{"api_key": "y", "tokens": 3}]})
    {'user': 'ann', 'DBPassword': '***', 'keys': [{'api_key': '***', 'tokens': 3}]}
    """
    return _masked(value, hide, depth=0)


# --- texts -----------------------------------------------------------------------------------------------------------


_NAME: Final = (
    r"(?:(?:password|passwd|pwd|passphrase|passcode|secret|credential"
    r"|(?:api|access|private|auth|encryption|signing|master|session|client)[_-]?key)s?"
    r"|token|authorization|(?P<cookie>cookie)|(?:(?<![A-Za-z])|(?=(?-i:[A-Z][a-z])))pass)(?:[_-]?\d{1,2})?"
)
_WORDS: Final = ("pass", "pwd", "secret", "credential", "key", "token", "authorization", "cookie")
"""Of which each name has one."""
_CLOSING: Final = r"""\s"',;&()\[\]{}<>"""
_VALUE: Final = (
    r"""(?:[bru]{0,2}(?P<quote>\\{0,8}["'])[^\n]*?(?:(?<!\\)(?P=quote)|$|(?=\n))"""
    # Punctuation belongs to an unquoted value where something follows that is neither another name nor an end.
    rf"""|(?:[^{_CLOSING}]|[^\s](?=[^{_CLOSING}])(?![\w.-]{{1,40}}\\?["']?\s?[=:]))+)"""
)
_MORE_COOKIES: Final = r"""(?:;[ \t]?[\w.-]{1,80}=[^\s"',;]*)*"""


class _Patterns:
    """What is looked for; compiled when it is needed first, which who shows no text does not pay for."""

    def __init__(self) -> None:
        self.name = re.compile(_NAME, re.IGNORECASE)
        self.member = re.compile(f"{_NAME}$", re.IGNORECASE)
        self.named = re.compile(
            rf"(?P<name>{_NAME})(?P<before>(?P<end>\\{{0,8}}[\"'])?[ \t]{{0,9}}(?P<sign>[=:]{{1,2}}>?)[ \t]{{0,9}}"
            rf"(?P<scheme>(?:basic|bearer|digest|negotiate)[ \t]{{1,9}})?)"
            rf"(?P<value>{_VALUE}(?(cookie){_MORE_COOKIES}))",
            re.IGNORECASE | re.MULTILINE,
        )
        self.url = re.compile(
            r"""(?P<before>\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@"']*:)(?!\d{1,5}[/?#])"""
            r"""(?P<word>(?:[^\s"']|["'](?=[\w@!#$%^&*./-]))+)""",
            re.IGNORECASE,
        )
        self.bearer = re.compile(r"(?P<before>\bbearer[ \t]{1,9})(?=[\w~+/-]*[\d.])[\w.~+/-]{8,}=*", re.IGNORECASE)


_patterns: Final = cache(_Patterns)

_Told = Callable[[re.Match[str]], bool]


def _without(text: str, is_told: _Told) -> str:
    """Most texts have nothing of the kind, and that is soon found out: the patterns are slow."""
    if "://" in text:
        text = _patterns().url.sub(_without_password, text)
    lower = text.lower()
    if ("=" in text or ":" in text) and any(word in lower for word in _WORDS):
        text = _patterns().named.sub(lambda found: _without_value(found) if is_told(found) else found[0], text)
    return _patterns().bearer.sub(rf"\g<before>{HIDDEN}", text) if "bearer" in lower else text


def _without_password(found: re.Match[str]) -> str:
    password, at, host = found["word"].rpartition("@")
    return f"{found['before']}{HIDDEN}{at}{host}" if password else found[0]


def _without_value(found: re.Match[str]) -> str:
    return f"{found['name']}{found['before']}{HIDDEN}"


def _is_told_by_name(found: re.Match[str]) -> bool:
    value = found["value"]
    return value not in _NOTHING and not (value.isdecimal() and _is_countable(found["name"]))


def _is_surely_told_by_name(found: re.Match[str]) -> bool:
    if not _is_told_by_name(found):
        return False
    is_quoted = found["quote"] is not None and not _is_countable(found["name"])
    is_clear = "=" in found["sign"] or found["end"] is not None or found["scheme"] is not None
    return is_clear or is_quoted or _looks_made_up(found["name"], found["value"])


_NOTHING: Final = frozenset({"None", "null", "True", "true", "False", "false"})
_SHORTEST_MADE_UP: Final = 4


def _is_countable(name: str) -> bool:
    """Whether numbers of this name are no secrets: fencing tokens, and the tokens of parsers."""
    return name.lower() == "token"


def _looks_made_up(name: str, value: str) -> bool:
    """Whether a value has digits, as no word has; where it may be a number or a time, letters as well."""
    has_letters = any(map(str.isalpha, value)) or not _is_countable(name)
    return len(value) >= _SHORTEST_MADE_UP and any(map(str.isdecimal, value)) and has_letters


# --- values of JSON --------------------------------------------------------------------------------------------------


def _masked(value: object, hide: Callable[[str], str], *, depth: int) -> object:
    match value:
        case dict() | list() | tuple() if depth == _DEEPEST:
            return HIDDEN
        case dict():
            return {
                name: HIDDEN if _tells(name, member) else _masked(member, hide, depth=depth + 1)
                for name, member in ((_masked(name, hide, depth=depth), member) for name, member in value.items())
            }
        case list() | tuple():
            return [_masked(member, hide, depth=depth + 1) for member in value]
        case str():
            return hide(value)
        case _:
            return value


_DEEPEST: Final = 128
"""Twice as deep as anything that is recorded."""


def _tells(name: object, member: object) -> bool:
    """Whether a member is hidden for its name: not what tells nothing, nor the numbers that tokens have."""
    if not isinstance(name, str) or isinstance(member, bool | None) or member == "":
        return False
    found = _patterns().member.search(name)
    return found is not None and not (isinstance(member, int | float) and _is_countable(found[0]))
