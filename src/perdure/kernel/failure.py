"""Failures as data: what of an exception crosses the history. Never a pickle, never a class to import."""

import re
import traceback as _traceback
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from perdure.errors import ActivityError, NonRetryableError, PerdureError, UsageError

__all__ = [
    "RECORDED_AS",
    "TRACEBACK_LIMIT_CHARACTERS",
    "Conceal",
    "Failure",
    "as_it_is",
    "concealed_failure",
    "failure_from_exception",
]

Conceal: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text. Which there are is the process' business, so it is an argument wherever the kernel
makes texts: it holds for whole texts only, before they are cut."""


def as_it_is(text: str) -> str:
    """Conceal nothing."""
    return text


TRACEBACK_LIMIT_CHARACTERS = 4_000
"""How much of a traceback's end is kept in a history."""

RECORDED_AS: Final = "__perdure_recorded_as__"
"""The attribute of a class of exceptions that holds the class whose name is recorded instead of its own: that may be
another when the run's code is run again (`perdure.authoring.declared_errors`)."""

_MESSAGE_LIMIT_CHARACTERS = 4_000
_CAUSE_DEPTH_LIMIT = 5
_GROUP_MEMBERS_NAMED = 3


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as recorded.

    `type` is its class name (but see `RECORDED_AS`), `types` the names of that class and its bases up to Exception (for
    policies that match a base class), `message` its text, `retryable` False where another try cannot help (the raiser
    said so, or the code has to be changed), `traceback` the end of the formatted traceback or None, `cause` the failure
    it was raised from or None.
    """

    type: str
    message: str
    types: tuple[str, ...] = ()
    retryable: bool = True
    traceback: str | None = None
    cause: "Failure | None" = None

    def __str__(self) -> str:
        """Return type and message, as the last line of a traceback."""
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def sentence(self) -> str:
        """What failed: the message where that names the activity or the child run, else as `str` has it."""
        return self.message if ActivityError.__name__ in self.types else str(self)

    @property
    def place(self) -> str | None:
        """The line that raised, as ``file:line in function``: the last one outside of Perdure. None if unknown."""
        lines = _LINES.findall(self.traceback or "")
        own = [line for line in lines if not line[0].startswith(_PERDURE)]
        return "{}:{} in {}".format(*own[-1]) if own else None

    @property
    def explanation(self) -> str:
        """The sentence, with the place where there is one."""
        return self.sentence if self.place is None else f"{self.sentence} ({self.place})"


_LINES: Final = re.compile(r'File "([^"\n]+)", line (\d+), in (.+)')
_PERDURE: Final = __file__.rsplit("kernel", 1)[0]


def failure_from_exception(
    error: BaseException, *, with_traceback: bool = True, conceal: Conceal = as_it_is, room: int = 1
) -> Failure:
    """Record an exception as a failure, with its chain of causes (at most five deep).

    Its texts are concealed, then cut; `room` times as long where another process, which knows more secrets, is to do
    both once more (`concealed_failure`).
    """
    return _failure(error, with_traceback=with_traceback, conceal=conceal, room=room, depth=0)


def concealed_failure(failure: Failure, conceal: Conceal) -> Failure:
    """Return a failure from elsewhere as this process records it."""
    cause, traceback = failure.cause, failure.traceback
    return msgspec.structs.replace(
        failure,
        message=conceal(failure.message)[:_MESSAGE_LIMIT_CHARACTERS],
        traceback=None if traceback is None else conceal(traceback)[-TRACEBACK_LIMIT_CHARACTERS:],
        cause=None if cause is None else concealed_failure(cause, conceal),
    )


def _failure(error: BaseException, *, with_traceback: bool, conceal: Conceal, room: int, depth: int) -> Failure:
    cause = error.__context__ if error.__cause__ is None and not error.__suppress_context__ else error.__cause__
    return Failure(
        type=getattr(type(error), RECORDED_AS, type(error)).__name__,
        types=tuple(c.__name__ for c in type(error).__mro__ if c not in _UNSPECIFIC),
        message=_valid_text(conceal(_message(error))[: room * _MESSAGE_LIMIT_CHARACTERS]),
        retryable=not isinstance(error, NonRetryableError | UsageError),
        traceback=_valid_text(conceal(_formatted(error))[-room * TRACEBACK_LIMIT_CHARACTERS :])
        if with_traceback
        else None,
        cause=None
        if cause is None or depth >= _CAUSE_DEPTH_LIMIT
        else _failure(cause, with_traceback=False, conceal=conceal, room=room, depth=depth + 1),
    )


_UNSPECIFIC = frozenset({object, BaseException, Exception, PerdureError})


def _message(error: BaseException) -> str:
    text = _text(error)
    if isinstance(error, BaseExceptionGroup):  # its own text only counts them
        members = (f"{type(each).__name__}: {_text(each)}" for each in error.exceptions[:_GROUP_MEMBERS_NAMED])
        text = f"{text}: {'; '.join(members)}"
    return text


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything; the failure must still be recorded
        return "<the exception's __str__ raised>"


def _formatted(error: BaseException) -> str:
    return "".join(_traceback.format_exception(type(error), error, error.__traceback__, chain=False))


def _valid_text(text: str) -> str:
    """Replace lone surrogates, which JSON and UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
