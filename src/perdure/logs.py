"""Perdure's loggers: what they say cannot forge a line, command a terminal, or tell a secret.

**Promise.** Of each record the message, its arguments, the traceback and the fields that name a run are printable, but
for the ends of lines in tracebacks and errors, whose further lines are indented: only the first line of a record begins
where a line begins. Secrets that were registered (`perdure.register_secret`), passwords in URLs and what follows a name
such as ``password=`` are hidden. This happens at the logger, before any handler, so every handler gets it.

What is printable stays as it is, and the message stays a template with arguments, by which tools group records.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, Final, Self

from perdure.redaction import redacted
from perdure.texts import indented, printable

__all__ = ["Lines", "logger_named"]


class Lines(str):
    """An argument of several lines that are to stay lines: a stack, a traceback."""

    __slots__ = ()


def logger_named(name: str) -> logging.Logger:
    """Return a logger whose records are harmless. Raises nothing, and changes no handler."""
    logger = logging.getLogger(name)
    if _HARMLESS not in logger.filters:
        logger.addFilter(_HARMLESS)
    return logger


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
