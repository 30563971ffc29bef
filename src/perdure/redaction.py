"""Secrets taken out of texts: the values that this process registered, and what its place tells to be one.

`redacted` and `masked` are for what is shown, `concealed` and `recorded_failure` for what is recorded. The registered
values are the process': texts arise where no engine is known. Nothing that decides may depend on them, so the kernel
gets `concealed` as an argument (the layers forbid it to import this room).
"""

import re
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from perdure.errors import InvalidArgumentError
from perdure.kernel.failure import Failure, failure_from_exception
from perdure.tells import HIDDEN, has_telling_names, without_surely_told, without_told
from perdure.tells import masked as _masked

__all__ = [
    "concealed",
    "has_secrets",
    "masked",
    "recorded_failure",
    "redacted",
    "register_secret",
]


def register_secret(value: str | bytes) -> None:
    """Hide a value in what this process logs, raises, shows and records of failures, also encoded.

    As which it is found, too: as JSON and Python write it, in base64 (within a longer text, too), hexadecimal, quoted
    for a URL and for HTML; of several lines, as a private key has them, each that has twelve characters or more, since
    tracebacks of groups indent them. Values of users are recorded as they are: give secrets to activities by name, not
    as arguments. Call it at the start, for each secret that the process reads. Raises InvalidArgumentError for fewer
    than six characters, which would be found where no secret is.

    >>> register_secret("correct horse")
    """
    if not isinstance(value, str | bytes):
        raise InvalidArgumentError(f"register_secret: a {type(value).__name__} is given; it must be a text or bytes")
    if len(value) < _SHORTEST_SECRET:
        raise InvalidArgumentError(f"register_secret: fewer than {_SHORTEST_SECRET} characters would hide other texts")
    _SECRETS.add(_forms(value))


def redacted(text: str) -> str:
    """Return a text that is shown without the secrets in it.

    >>> redacted("postgres://shop:hunter2@db/x refused password='a b', token: abc after 3 tries")
    'postgres://shop:***@db/x refused password=***, token: *** after 3 tries'
    """
    return without_told(_SECRETS.hide(text))


def concealed(text: str) -> str:
    """Return a text that is recorded without what is surely a secret: see `perdure.tells.without_surely_told`."""
    return without_surely_told(_SECRETS.hide(text))


def recorded_failure(error: BaseException, *, with_traceback: bool = True, room: int = 1) -> Failure:
    """Record an exception as a failure, without the secrets in it; see `failure_from_exception`."""
    return failure_from_exception(error, with_traceback=with_traceback, conceal=concealed, room=room)


def has_secrets(text: str) -> bool:
    """Whether a JSON text may have members with names of secrets, or a registered value."""
    return has_telling_names(text) or _SECRETS.hide(text) != text


def masked(value: object) -> object:
    """Return a value of JSON whose members with names of secrets, and whose registered values, are hidden."""
    return _masked(value, _SECRETS.hide)


# --- registered values -----------------------------------------------------------------------------------------------


_SHORTEST_SECRET: Final = 6

_SHORTEST_LINE: Final = 12
"""A shorter line of a value of several ones may be a word of other texts."""


class _Secrets:
    """The texts that are hidden, found by their first six characters: as many as the shortest one has.

    `hide` takes time in proportion to the text, whatever their number: where one may begin, a look-up for each length.
    What it looks in is made when it is needed first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: set[str] = set()
        self._index: _Index | None = None

    def add(self, texts: Iterable[str]) -> None:
        with self._lock:
            self._texts.update(texts)
            self._index = None

    def hide(self, text: str) -> str:
        return self._indexed().hide(text) if self._texts and len(text) >= _SHORTEST_SECRET else text

    def _indexed(self) -> "_Index":
        with self._lock:
            if self._index is None:
                self._index = _Index(self._texts)
            return self._index


class _Index:
    """What may be hidden, by its beginning, the longest first."""

    def __init__(self, texts: Iterable[str]) -> None:
        known: dict[str, dict[int, set[str]]] = {}
        for text in sorted(texts, key=len, reverse=True):
            known.setdefault(text[:_SHORTEST_SECRET], {}).setdefault(len(text), set()).add(text)
        self._known = known
        self._beginnings = re.compile(_any_of(known))

    def hide(self, text: str) -> str:
        parts: list[str] = []
        shown = 0
        for start, end in self._found(text):
            parts += (text[shown:start], HIDDEN)
            shown = end
        return "".join((*parts, text[shown:])) if parts else text

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        at = 0
        while (found := self._beginnings.search(text, at)) is not None:
            start = found.start()
            by_length = self._known[found[0]]
            length = next((n for n, secrets in by_length.items() if text[start : start + n] in secrets), 0)
            if length:
                yield start, start + length
            at = start + (length or 1)


def _any_of(words: Iterable[str]) -> str:
    """Return the pattern of words of one length, as a tree: at each character only what can follow is tried."""
    following: dict[str, list[str]] = {}
    for word in words:
        if word:
            following.setdefault(word[0], []).append(word[1:])
    branches = [re.escape(first) + _any_of(rest) for first, rest in following.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})" if branches else ""


_SECRETS: Final = _Secrets()


def _forms(value: str | bytes) -> set[str]:
    """Return the texts as which a value may appear."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    text = data.decode("utf-8", "backslashreplace")
    lines = [line for each in text.splitlines() if len(line := each.strip()) >= _SHORTEST_LINE]
    written = {form for part in (text, *lines) for form in _written(part)}
    twice = {form for once in written for form in _written(once)}  # JSON in JSON, the repr of a repr
    forms = {text, *lines, repr(data)[2:-1], *written, *twice, *_for_the_web(data, text), *_in_base64(data)}
    forms |= {data.hex(), data.hex().upper()}
    return {form for form in forms if len(form) >= _SHORTEST_SECRET}


def _written(text: str) -> Iterator[str]:
    """Yield a text as Python and JSON write it between their quotes."""
    import json  # noqa: PLC0415 - who registers nothing does not pay for it

    yield from (repr(text)[1:-1], repr(f'"{text}')[2:-1], ascii(text)[1:-1], text.replace("'", "\\'"))
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])


def _for_the_web(data: bytes, text: str) -> Iterator[str]:
    from html import escape  # noqa: PLC0415 - who registers nothing does not pay for it
    from urllib.parse import quote, quote_plus  # noqa: PLC0415 - as above

    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    yield from (escape(text), escape(text, quote=False))


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of a value alone, and within other data, wherever it begins there."""
    from base64 import b64encode, urlsafe_b64encode  # noqa: PLC0415 - who registers nothing does not pay for it

    for encode in (b64encode, urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        for before, foreign in ((0, 0), (1, 2), (2, 3)):
            encoded = encode(bytes(before) + data).decode()
            yield encoded.rstrip("=")[foreign : -1 if encoded.endswith("=") else None]
