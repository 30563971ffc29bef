"""Perdure's loggers: what they say cannot forge a line, command a terminal, or tell a secret.

**Promise.** Of each record the message, its arguments, the traceback and the fields that name a run are printable, but
for the ends of lines in tracebacks and errors, whose further lines are indented: only the first line of a record begins
where a line begins. Secrets that were registered (`perdure.register_secret`), passwords in URLs and what follows a name
such as ``password=`` are hidden. This happens at the logger, before any handler, so every handler gets it.

What is printable stays as it is, and the message stays a template with arguments, by which tools group records.

What goes wrong again and again for one cause is said at once, and then with a growing distance (`Recurring`): a damaged
file must not fill the disk with lines about it.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, Final, Self

import msgspec

from perdure.redaction import redacted
from perdure.texts import indented, printable

__all__ = ["Lines", "Recurring", "logger_named"]


class Lines(str):
    """An argument of several lines that are to stay lines: a stack, a traceback."""

    __slots__ = ()


def logger_named(name: str) -> logging.Logger:
    """Return a logger whose records are harmless. Raises nothing, and changes no handler."""
    logger = logging.getLogger(name)
    if _HARMLESS not in logger.filters:
        logger.addFilter(_HARMLESS)
    return logger


class Recurring:
    """Logs what may go wrong any number of times: for each text and cause at once, then after a minute, two, ..., an
    hour, with how many times it was left out in between. What has not recurred for as long is said at once again.

    So many causes are remembered; the one of which nothing was heard for longest is forgotten first.
    """

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        """Log to the logger of this name; `now` gives seconds that never go back, as `loop.time` does."""
        self._name: Final = name
        self._now: Final = now
        self._told: Final[dict[tuple[str, str], _Told]] = {}

    def warning(self, text: str, *arguments: object, cause: object, with_lines: bool = False) -> bool:
        """Warn that something went wrong for a cause, `with_lines` with its traceback; return whether that was said."""
        return self._log(logging.WARNING, text, arguments, cause, with_lines=with_lines)

    def error(self, text: str, *arguments: object, cause: object, with_lines: bool = False) -> bool:
        """As `warning`, as an error."""
        return self._log(logging.ERROR, text, arguments, cause, with_lines=with_lines)

    def critical(self, text: str, *arguments: object, cause: object, with_lines: bool = False) -> bool:
        """As `warning`, as a critical one."""
        return self._log(logging.CRITICAL, text, arguments, cause, with_lines=with_lines)

    def _log(self, level: int, text: str, arguments: tuple[object, ...], cause: object, *, with_lines: bool) -> bool:
        now, key = self._now(), (text, f"{type(cause).__name__}: {cause}")
        told = self._told.pop(key, None)
        if told is None or now >= told.again_at + told.distance_seconds:
            told = _Told()
        if len(self._told) >= _REMEMBERED_CAUSES:
            del self._told[next(iter(self._told))]
        self._told[key] = told
        if now < told.again_at:
            told.left_out += 1
            return False
        if told.left_out:
            text, arguments = (
                f"{text} (and %d times since that was said last, of this or others)",
                (*arguments, told.left_out),
            )
        logger_named(self._name).log(
            level, text, *arguments, exc_info=cause if with_lines and isinstance(cause, BaseException) else None
        )
        told.left_out = 0
        told.distance_seconds = min(told.distance_seconds * 2, _LONGEST_DISTANCE_SECONDS)
        told.again_at = now + told.distance_seconds
        return True


class _Told(msgspec.Struct):
    """When something may be said again, how long after it was said last, and how often it was left out since."""

    again_at: float = -math.inf
    distance_seconds: float = 30.0
    left_out: int = 0


_LONGEST_DISTANCE_SECONDS: Final = 3600.0
_REMEMBERED_CAUSES: Final = 1_000


class _Harmless(logging.Filter):
    """Lets every record pass, made harmless."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = {name: _harmless(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_harmless, record.args))
        _hide_secrets(record)
        record.msg = indented(str(record.msg))
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = indented(redacted(_FORMATTER.formatException(record.exc_info)))
        for name in _FIELDS & record.__dict__.keys():
            record.__dict__[name] = printable(redacted(str(record.__dict__[name])))
        return True


def _hide_secrets(record: logging.LogRecord) -> None:
    """Hide what only the whole message shows to be a secret, as ``password=%s``; it has no arguments any more then."""
    with contextlib.suppress(Exception):  # arguments that do not fit are the business of logging
        message = record.getMessage()
        hidden = redacted(message)
        if hidden != message:
            record.msg, record.args = hidden, ()


class _Shown(str):
    """An argument as `%s` and, with another text, `%r` show it."""

    __slots__ = ("_represented",)
    _represented: str

    @classmethod
    def of(cls, value: object, show: Callable[[str], str]) -> Self:
        shown = cls(show(redacted(str(value) or type(value).__name__)))
        shown._represented = show(redacted(repr(value)))
        return shown

    def __repr__(self) -> str:
        return self._represented


def _harmless(value: Any) -> Any:  # noqa: ANN401 - an argument of a log record
    match value:
        case None | Number() if printable(redacted(str(value))) == str(value):  # `%d` and `%.2f` want the number
            return value
        case Lines() | BaseException():
            return _Shown.of(value, indented)
        case _:
            return _Shown.of(value, printable)


_HARMLESS: Final = _Harmless()
_FORMATTER: Final = logging.Formatter()
_FIELDS: Final = frozenset({"activity", "error_type", "namespace", "run_id", "workflow"})
